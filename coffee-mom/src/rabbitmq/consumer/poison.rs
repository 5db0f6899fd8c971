//! Counts how often one consumer has requeued a message: RabbitMQ does not count for classic queues.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem;
use std::num::NonZeroU32;

use crate::message::Message;
use crate::route::Route;

/// Messages that are remembered at the least; those that were requeued longest ago are forgotten.
const REMEMBERED: usize = 2048;

/// The requeues of messages that have not been acked since. A message is known by its id, else by
/// where it was published to and its body.
#[derive(Debug)]
pub(super) struct Requeues {
    limit: u32,
    hasher: RandomState,
    recent: HashMap<u64, u32>,
    /// The last generation of `recent`.
    older: HashMap<u64, u32>,
}

impl Requeues {
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self { limit: limit.get(), hasher: RandomState::new(), recent: HashMap::new(), older: HashMap::new() }
    }

    /// Whether a message may be requeued once more. If so it is counted, else forgotten.
    pub(super) fn may_requeue(&mut self, message: &Message, route: &Route) -> bool {
        let key = self.key(message, route);
        let requeued = self.take(key).unwrap_or(0);
        if requeued >= self.limit {
            return false;
        }
        if self.recent.len() >= REMEMBERED {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(key, requeued + 1);
        true
    }

    /// A message is done with.
    pub(super) fn forget(&mut self, message: &Message, route: &Route) {
        // Most of the time there is no poison, and nothing to look up.
        if !self.recent.is_empty() || !self.older.is_empty() {
            let key = self.key(message, route);
            self.take(key);
        }
    }

    fn take(&mut self, key: u64) -> Option<u32> {
        self.recent.remove(&key).or_else(|| self.older.remove(&key))
    }

    fn key(&self, message: &Message, route: &Route) -> u64 {
        match &message.properties().message_id {
            Some(id) => self.hasher.hash_one((true, id)),
            None => self.hasher.hash_one((false, route, &message.body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Properties;
    use crate::name::Name;

    fn requeues(limit: u32) -> (Requeues, Route) {
        (Requeues::new(NonZeroU32::new(limit).unwrap()), Route::queue(&Name::new("orders").unwrap()))
    }

    #[test]
    fn a_message_comes_back_so_many_times() {
        let (mut requeues, route) = requeues(2);
        let (poison, other) = (Message::new("poison"), Message::new("other"));
        let tries: Vec<_> = (0..6).map(|_| requeues.may_requeue(&poison, &route)).collect();
        assert_eq!(tries, [true, true, false, true, true, false], "forgotten when it is over");
        assert!(requeues.may_requeue(&other, &route));
        assert!(requeues.may_requeue(&other, &route));
        requeues.forget(&other, &route);
        assert!(requeues.may_requeue(&other, &route));
    }

    #[test]
    fn an_id_counts_more_than_a_body() {
        let (mut requeues, route) = requeues(1);
        let message = |id: &str, body: &'static str| Message::new(body).with(Properties::default().message_id(id));
        assert!(requeues.may_requeue(&message("1", "a"), &route));
        assert!(requeues.may_requeue(&message("2", "a"), &route));
        assert!(!requeues.may_requeue(&message("1", "b"), &route));
    }

    #[test]
    fn the_space_is_bounded() {
        let (mut requeues, route) = requeues(9);
        for body in 0..20_000_u32 {
            assert!(requeues.may_requeue(&Message::new(body.to_be_bytes().to_vec()), &route));
        }
        assert!(requeues.recent.len() + requeues.older.len() <= 2 * REMEMBERED);
    }
}
