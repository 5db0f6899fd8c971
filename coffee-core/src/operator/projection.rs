//! Makes another row of each row.

/// Maps a row to the row that travels on, usually to fewer columns.
///
/// Law: `project` is a function of the row alone. Checked by [`laws::projection`](super::laws::projection).
pub trait Projection<R>: Send + 'static {
    /// What it makes.
    type Out;

    /// The row's image.
    fn project(&self, row: &R) -> Self::Out;
}

impl<R, O, F: Fn(&R) -> O + Send + 'static> Projection<R> for F {
    type Out = O;

    fn project(&self, row: &R) -> O {
        self(row)
    }
}

#[cfg(test)]
mod tests {
    use crate::operator::laws;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_closure_keeps_the_law(rows in prop::collection::vec(any::<i16>(), 0..50), cut: usize) {
            laws::projection(&|r: &i16| i32::from(*r) * 2, &rows, cut)?;
        }
    }
}
