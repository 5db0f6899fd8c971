//! Keeps rows that meet a condition.

/// Decides row by row which rows stay.
///
/// Law: `keep` is a function of the row alone; so filtering a batch is filtering its parts, in any grouping.
/// Checked by [`laws::filter`](super::laws::filter).
pub trait Filter<R>: Send + 'static {
    /// Whether the row stays.
    fn keep(&self, row: &R) -> bool;
}

impl<R, F: Fn(&R) -> bool + Send + 'static> Filter<R> for F {
    fn keep(&self, row: &R) -> bool {
        self(row)
    }
}

/// Keeps rows whose value is one of a few.
#[derive(Clone, Debug)]
pub struct OneOf<F, V> {
    value: F,
    allowed: Vec<V>,
}

impl<F, V> OneOf<F, V> {
    /// Keeps the rows whose `value` is among `allowed`; meant for a handful, which are compared one by one.
    pub fn new(value: F, allowed: impl IntoIterator<Item = V>) -> Self {
        OneOf { value, allowed: allowed.into_iter().collect() }
    }
}

impl<R, V, F> Filter<R> for OneOf<F, V>
where
    V: PartialEq + Send + 'static,
    F: Fn(&R) -> V + Send + 'static,
{
    #[inline]
    fn keep(&self, row: &R) -> bool {
        self.allowed.contains(&(self.value)(row))
    }
}

/// Keeps rows whose value lies between two bounds, both included.
#[derive(Clone, Debug)]
pub struct Between<F, V> {
    value: F,
    low: V,
    high: V,
}

impl<F, V> Between<F, V> {
    /// Keeps the rows with `low <= value <= high`.
    pub fn new(value: F, low: V, high: V) -> Self {
        Between { value, low, high }
    }
}

impl<R, V, F> Filter<R> for Between<F, V>
where
    V: PartialOrd + Send + 'static,
    F: Fn(&R) -> V + Send + 'static,
{
    #[inline]
    fn keep(&self, row: &R) -> bool {
        let value = (self.value)(row);
        // Not short-circuited: two compares are cheaper than a branch that data decides.
        (self.low <= value) & (value <= self.high)
    }
}

/// Keeps rows whose value is no less than a bound.
#[derive(Clone, Debug)]
pub struct AtLeast<F, V> {
    value: F,
    low: V,
}

impl<F, V> AtLeast<F, V> {
    /// Keeps the rows with `low <= value`.
    pub fn new(value: F, low: V) -> Self {
        AtLeast { value, low }
    }
}

impl<R, V, F> Filter<R> for AtLeast<F, V>
where
    V: PartialOrd + Send + 'static,
    F: Fn(&R) -> V + Send + 'static,
{
    #[inline]
    fn keep(&self, row: &R) -> bool {
        self.low <= (self.value)(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::laws;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shipped_filters_keep_the_law(rows in prop::collection::vec(any::<i16>(), 0..50), low: i16, high: i16, cut: usize) {
            laws::filter(&Between::new(|r: &i16| *r, low, high), &rows, cut)?;
            laws::filter(&AtLeast::new(|r: &i16| *r, low), &rows, cut)?;
            laws::filter(&OneOf::new(|r: &i16| *r % 7, [low % 7, high % 7]), &rows, cut)?;
        }
    }

    #[test]
    fn bounds_are_included() {
        let hours = Between::new(|r: &u32| *r, 6, 23);
        assert_eq!((0..25).filter(|r| hours.keep(r)).collect::<Vec<u32>>(), (6..=23).collect::<Vec<_>>());
        assert!(AtLeast::new(|r: &u32| *r, 75).keep(&75));
        assert!(!AtLeast::new(|r: &u32| *r, 75).keep(&74));
        assert!(!OneOf::new(|r: &u32| *r, [1, 2]).keep(&3));
    }
}
