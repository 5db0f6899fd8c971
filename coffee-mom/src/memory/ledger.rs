//! The settlements of one producer: numbered, joined to ranges, never more than the channel holds.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::producer::{Outcome, PublishId, Settled};

/// Most settlements that wait for the producer's owner; a window above it is cut down to it.
const MAX_WINDOW: usize = 65_536;

/// Hands out publish numbers and settles each when it is handed out.
#[derive(Debug)]
pub(super) struct Ledger {
    next: u64,
    to_owner: Sender<Settled>,
    settled: Receiver<Settled>,
}

impl Ledger {
    pub(super) fn new(window: usize) -> Self {
        let (to_owner, settled) = bounded(window.clamp(1, MAX_WINDOW));
        Self { next: 0, to_owner, settled }
    }

    pub(super) fn settled(&self) -> &Receiver<Settled> {
        &self.settled
    }

    pub(super) fn has_room(&self) -> bool {
        !self.to_owner.is_full()
    }

    /// Settles the next number; there has to be room.
    pub(super) fn settle(&mut self, outcome: Outcome) -> PublishId {
        let id = PublishId(self.next);
        self.next += 1;
        let mut settled = Settled { first: id, last: id, outcome };
        // A single settlement that still waits is the latest, as none came after it: so it can be
        // taken back and made longer.
        if self.settled.len() == 1
            && let Ok(waiting) = self.settled.try_recv()
        {
            if waiting.outcome == outcome {
                settled.first = waiting.first;
            } else {
                self.send(waiting);
            }
        }
        self.send(settled);
        id
    }

    fn send(&self, settled: Settled) {
        let sent = self.to_owner.try_send(settled);
        debug_assert!(sent.is_ok(), "publishing is refused while there is no room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is published and taken in whatever order: each number is settled once, in order.
        #[test]
        fn each_number_settles_once(steps in prop::collection::vec((any::<bool>(), any::<bool>()), 0..200)) {
            let mut ledger = Ledger::new(7);
            let (mut published, mut taken) = (Vec::new(), Vec::new());
            for (publish, confirmed) in steps {
                if publish && ledger.has_room() {
                    let outcome = if confirmed { Outcome::Confirmed } else { Outcome::Returned };
                    published.push((ledger.settle(outcome).0, outcome));
                } else if let Ok(settled) = ledger.settled().try_recv() {
                    taken.extend(settled.ids().map(|id| (id, settled.outcome)));
                }
            }
            while let Ok(settled) = ledger.settled().try_recv() {
                taken.extend(settled.ids().map(|id| (id, settled.outcome)));
            }
            prop_assert_eq!(taken, published);
        }
    }

    #[test]
    fn like_outcomes_wait_as_one_range() {
        let mut ledger = Ledger::new(1);
        for _ in 0..1000 {
            assert!(ledger.has_room() || ledger.settled().len() == 1);
            ledger.settle(Outcome::Confirmed);
        }
        assert_eq!(ledger.settled().try_recv().unwrap().ids(), 0..=999);
        assert!(ledger.settled().is_empty());
    }
}
