//! The deliveries of one consumer that wait for an ack, by number.

use std::collections::{BTreeMap, VecDeque};

/// Values by consecutive numbers, taken out mostly in order.
///
/// A window of the newest numbers makes that cheap. Values that stay while many newer ones pass move
/// out of it, so the space is bounded by what is held and not by how long one of them is held.
#[derive(Debug)]
pub(crate) struct Unacked<T> {
    /// The number of the window's first place.
    first: u64,
    /// Law: its first place, if there is one, holds a value.
    window: VecDeque<Option<T>>,
    stragglers: BTreeMap<u64, T>,
    span: usize,
    held: usize,
}

impl<T> Unacked<T> {
    /// For about `expected` values at a time.
    pub(crate) fn new(expected: usize) -> Self {
        Self {
            first: 0,
            window: VecDeque::new(),
            stragglers: BTreeMap::new(),
            span: expected.saturating_mul(2).max(16),
            held: 0,
        }
    }

    /// How many values are held.
    pub(crate) fn len(&self) -> usize {
        self.held
    }

    /// The lowest number that is held.
    pub(crate) fn first_number(&self) -> Option<u64> {
        let straggler = self.stragglers.first_key_value().map(|(number, _)| *number);
        straggler.or_else(|| (!self.window.is_empty()).then_some(self.first))
    }

    /// How many values are held by this number and higher ones. Looks at each.
    pub(crate) fn count_from(&self, number: u64) -> usize {
        let place = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let window = self.window.iter().skip(place).filter(|value| value.is_some()).count();
        window + self.stragglers.range(number..).count()
    }

    /// The number that the next value gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.first.saturating_add(self.window.len() as u64)
    }

    /// Adds a value under the next number.
    pub(crate) fn push(&mut self, value: T) {
        if self.window.len() >= self.span
            && let Some(Some(straggler)) = self.window.pop_front()
        {
            self.stragglers.insert(self.first, straggler);
            self.first += 1;
            self.trim();
        }
        self.window.push_back(Some(value));
        self.held += 1;
    }

    /// Takes out the value of a number, if it is there.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        let value = match number.checked_sub(self.first) {
            Some(place) => self.window.get_mut(usize::try_from(place).ok()?)?.take(),
            None => self.stragglers.remove(&number),
        }?;
        self.held -= 1;
        self.trim();
        Some(value)
    }

    /// Takes out the lowest value, if its number is not above `last`.
    pub(crate) fn take_first_through(&mut self, last: u64) -> Option<T> {
        if let Some(straggler) = self.stragglers.first_entry() {
            if *straggler.key() > last {
                return None;
            }
            self.held -= 1;
            return Some(straggler.remove());
        }
        if self.first > last {
            return None;
        }
        self.take(self.first)
    }

    /// Moves the window's start to its first value.
    fn trim(&mut self) {
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Take(u64),
        Through(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Push),
            3 => (0..200u64).prop_map(Step::Take),
            1 => (0..200u64).prop_map(Step::Through),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in steps()) {
            let (mut unacked, mut model, mut next) = (Unacked::new(1), BTreeMap::new(), 0u64);
            for step in steps {
                match step {
                    Step::Push => {
                        prop_assert_eq!(unacked.next_number(), next);
                        unacked.push(next);
                        model.insert(next, next);
                        next += 1;
                    }
                    Step::Take(number) => {
                        prop_assert_eq!(unacked.take(number), model.remove(&number));
                    }
                    Step::Through(last) => {
                        let later = model.split_off(&(last + 1));
                        let taken: Vec<_> =
                            std::iter::from_fn(|| unacked.take_first_through(last)).collect();
                        prop_assert_eq!(taken, model.into_values().collect::<Vec<_>>());
                        model = later;
                    }
                }
                prop_assert_eq!(unacked.len(), model.len());
                prop_assert_eq!(unacked.first_number(), model.keys().next().copied());
                prop_assert_eq!(unacked.count_from(next / 2), model.range(next / 2..).count());
            }
        }
    }

    #[test]
    fn one_value_held_for_long_keeps_no_space_of_the_others() {
        let mut unacked = Unacked::new(10);
        unacked.push("held");
        for number in 1..10_000 {
            unacked.push("passing");
            assert_eq!(unacked.take(number), Some("passing"));
        }
        assert!(unacked.window.len() <= 20);
        assert_eq!(unacked.len(), 1);
        assert_eq!(unacked.take(0), Some("held"));
    }
}
