//! How far one table is: what is in hand, and up to where all is confirmed.

use std::collections::VecDeque;

use crate::job::{Mark, Place};

/// The chunks of one table that are in hand, and its mark behind all that are confirmed without a gap.
#[derive(Debug)]
pub(super) struct Progress {
    mark: Mark,
    /// In order from the mark on.
    in_hand: VecDeque<Item>,
}

#[derive(Debug)]
struct Item {
    /// Where the next chunk begins; `None` for the table's end.
    next: Option<Place>,
    bytes: u64,
    confirmed: bool,
}

impl Progress {
    /// Begins at a mark.
    pub fn new(mark: Mark) -> Self {
        Progress { mark, in_hand: VecDeque::new() }
    }

    /// All before it is confirmed.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// As [`mark`](Self::mark); of a job that is done, all that is in hand has arrived, and nothing follows.
    pub fn mark_of(&self, done: bool) -> Mark {
        if !done {
            return self.mark;
        }
        let last = self.in_hand.iter().rev().find_map(|item| item.next);
        let next = self.mark.next + self.in_hand.len() as u64 - u64::from(self.ends());
        Mark { next, place: last.unwrap_or(self.mark.place), bytes: self.bytes(), finished: true, ..self.mark }
    }

    /// Bytes of the chunks that are confirmed or in hand.
    pub fn bytes(&self) -> u64 {
        self.in_hand.iter().fold(self.mark.bytes, |sum, item| sum.saturating_add(item.bytes))
    }

    /// How many are in hand, the end included.
    pub fn in_hand(&self) -> usize {
        self.in_hand.len()
    }

    /// The number of the chunk that comes next; `None` behind the table's end.
    pub fn expects_chunk(&self) -> Option<u64> {
        (!self.mark.finished && !self.ends()).then(|| self.chunks())
    }

    /// How many chunks there are if the table ends here; `None` while its end is in hand. A confirmed end may come again.
    pub fn expects_end(&self) -> Option<u64> {
        (!self.ends()).then(|| self.chunks())
    }

    /// Takes the next chunk in hand, of so many bytes, or with `None` the end; returns its number.
    pub fn take(&mut self, next: Option<Place>, bytes: u64) -> u64 {
        let number = self.chunks();
        self.in_hand.push_back(Item { next, bytes, confirmed: false });
        number
    }

    /// One in hand is confirmed; true where the mark moves.
    pub fn confirm(&mut self, number: u64) -> bool {
        let at = number.checked_sub(self.mark.next).and_then(|at| usize::try_from(at).ok());
        if let Some(item) = at.and_then(|at| self.in_hand.get_mut(at)) {
            item.confirmed = true;
        }
        let mut moved = false;
        while let Some(item) = self.in_hand.pop_front_if(|item| item.confirmed) {
            moved = true;
            self.mark.bytes = self.mark.bytes.saturating_add(item.bytes);
            match item.next {
                Some(place) => {
                    self.mark.next += 1;
                    self.mark.place = place;
                }
                None => self.mark.finished = true,
            }
        }
        moved
    }

    fn ends(&self) -> bool {
        self.in_hand.back().is_some_and(|item| item.next.is_none())
    }

    fn chunks(&self) -> u64 {
        self.mark.next + self.in_hand.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(offset: u64) -> Place {
        Place { file: 0, offset, line: offset + 1 }
    }

    proptest! {
        #[test]
        fn the_mark_is_behind_the_first_that_is_not_confirmed(
            start in 0..5u64,
            chunks in 0..20u64,
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let mut progress = Progress::new(Mark { next: start, place: place(start), ..Mark::default() });
            for number in start..start + chunks {
                prop_assert_eq!(progress.expects_chunk(), Some(number));
                prop_assert_eq!(progress.take(Some(place(number + 1)), 5), number);
            }
            prop_assert_eq!(progress.expects_end(), Some(start + chunks));
            prop_assert_eq!(progress.take(None, 0), start + chunks);
            prop_assert_eq!((progress.expects_chunk(), progress.expects_end()), (None, None));
            let mut confirmed = vec![false; chunks as usize + 1];
            for index in order {
                let at = index.index(confirmed.len());
                let before = progress.mark();
                let moved = progress.confirm(start + at as u64);
                confirmed[at] = true;
                let all = confirmed.iter().take_while(|confirmed| **confirmed).count() as u64;
                let next = start + all.min(chunks);
                let bytes = 5 * (next - start);
                let mark = Mark { table: 0, next, place: place(next), bytes, finished: all > chunks };
                prop_assert_eq!(progress.mark(), mark);
                prop_assert_eq!(moved, mark != before);
            }
        }
    }

    #[test]
    fn a_confirmed_end_may_come_again_but_no_chunk_behind_it() {
        let mut progress = Progress::new(Mark { next: 3, finished: true, ..Mark::default() });
        assert_eq!(progress.expects_chunk(), None);
        assert_eq!(progress.expects_end(), Some(3));
        assert_eq!(progress.take(None, 0), 3);
        assert!(progress.confirm(3));
        assert_eq!(progress.mark().next, 3);
    }

    #[test]
    fn numbers_that_are_not_in_hand_change_nothing() {
        let mut progress = Progress::new(Mark { next: 3, ..Mark::default() });
        progress.take(Some(place(1)), 5);
        for number in [0, 2, 4, u64::MAX] {
            assert!(!progress.confirm(number));
        }
        assert_eq!(progress.mark().next, 3);
    }
}
