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

/// What a delivery is counted by.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) message: Message,
    pub(super) route: Route,
    /// False: this is another message than all that were counted.
    pub(super) redelivered: bool,
}

/// What was counted of all messages that can't be told apart.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    messages: u32,
    /// At most the limit times `messages`.
    requeued: u32,
}

/// The requeues of messages that have not been acked since.
///
/// A message is known by its id, else by where it was published to and its body. Messages that are
/// alike in that share their requeues: each adds as many as the limit allows for one.
#[derive(Debug)]
pub(super) struct Requeues {
    limit: u32,
    hasher: RandomState,
    recent: HashMap<u64, Count>,
    /// The last generation of `recent`.
    older: HashMap<u64, Count>,
}

impl Requeues {
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self { limit: limit.get(), hasher: RandomState::new(), recent: HashMap::new(), older: HashMap::new() }
    }

    /// Whether a message may be requeued once more. If so it is counted, else forgotten.
    pub(super) fn may_requeue(&mut self, traced: &Traced) -> bool {
        let key = self.key(traced);
        let mut count = self.take(key).unwrap_or_default();
        if !traced.redelivered || count.messages == 0 {
            count.messages = count.messages.saturating_add(1);
        }
        let may_requeue = count.requeued < count.messages.saturating_mul(self.limit);
        if may_requeue {
            count.requeued += 1;
        } else {
            count.messages -= 1;
            count.requeued -= self.limit;
        }
        if count.messages > 0 {
            self.remember(key, count);
        }
        may_requeue
    }

    /// A message is done with, and those that are like it are taken for new ones.
    pub(super) fn forget(&mut self, traced: &Traced) {
        // Most of the time there is no poison, and nothing to look up.
        if !self.recent.is_empty() || !self.older.is_empty() {
            let key = self.key(traced);
            self.take(key);
        }
    }

    fn remember(&mut self, key: u64, count: Count) {
        if self.recent.len() >= REMEMBERED {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(key, count);
    }

    fn take(&mut self, key: u64) -> Option<Count> {
        self.recent.remove(&key).or_else(|| self.older.remove(&key))
    }

    fn key(&self, Traced { message, route, .. }: &Traced) -> u64 {
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

    fn requeues(limit: u32) -> Requeues {
        Requeues::new(NonZeroU32::new(limit).unwrap())
    }

    fn first(message: Message) -> Traced {
        Traced { message, route: Route::queue(&Name::new("orders").unwrap()), redelivered: false }
    }

    fn again(message: Message) -> Traced {
        Traced { redelivered: true, ..first(message) }
    }

    #[test]
    fn a_message_comes_back_so_many_times() {
        let mut requeues = requeues(2);
        assert!(requeues.may_requeue(&first(Message::new("poison"))));
        let poison = again(Message::new("poison"));
        let tries: Vec<_> = (0..5).map(|_| requeues.may_requeue(&poison)).collect();
        assert_eq!(tries, [true, false, true, true, false], "forgotten when it is over");
    }

    #[test]
    fn a_message_that_is_done_with_is_forgotten() {
        let mut requeues = requeues(1);
        let message = again(Message::new("work"));
        assert!(requeues.may_requeue(&message));
        requeues.forget(&message);
        assert!(requeues.may_requeue(&message));
        assert!(!requeues.may_requeue(&message));
    }

    #[test]
    fn an_id_counts_more_than_a_body() {
        let mut requeues = requeues(1);
        let message =
            |id: &str, body: &'static str| again(Message::new(body).with(Properties::default().message_id(id)));
        assert!(requeues.may_requeue(&message("1", "a")));
        assert!(requeues.may_requeue(&message("2", "a")));
        assert!(!requeues.may_requeue(&message("1", "b")));
    }

    #[test]
    fn equal_messages_share_what_each_may_do() {
        let mut requeues = requeues(2);
        for _ in 0..3 {
            assert!(requeues.may_requeue(&first(Message::new("tick"))), "it never came back");
        }
        let later: Vec<_> = (0..7).map(|_| requeues.may_requeue(&again(Message::new("tick")))).collect();
        assert_eq!(later, [true, true, true, false, false, false, true], "3 messages, 6 requeues, 3 ends");
    }

    #[test]
    fn the_space_is_bounded() {
        let mut requeues = requeues(9);
        for body in 0..20_000_u32 {
            assert!(requeues.may_requeue(&first(Message::new(body.to_be_bytes().to_vec()))));
        }
        assert!(requeues.recent.len() + requeues.older.len() <= 2 * REMEMBERED);
    }
}
