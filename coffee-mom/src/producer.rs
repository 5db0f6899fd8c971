//! The contract of a producer: publishes go in, settlements come out.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Instant;

use crossbeam_channel::Receiver;
use thiserror::Error;

use crate::message::{Message, PropertyError};
use crate::name::Name;
use crate::route::Route;

/// The number of a publish of one producer: 0, 1, 2, ... in the order of the calls that were Ok.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u64);

impl fmt::Display for PublishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Every queue it was routed to has it, as safe as the queue can keep it. Without
    /// [`mandatory`](ProducerOptions::mandatory) that may have been no queue at all.
    Confirmed,
    /// No queue was bound for it and it was mandatory: nobody has it.
    Returned,
    /// The broker refused it: at least one of its queues does not have it, others may.
    Nacked,
    /// The broker will never take it: nobody has it.
    Refused(Refusal),
    /// The connection was closed before an answer: the broker may or may not have it.
    Unknown,
}

/// Why a broker will never take a message, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such exchange. If it was deleted a moment ago, some of its queues may have it.
    #[error("there is no such exchange")]
    UnknownExchange,
    /// The body is larger than the broker takes.
    #[error("the body is larger than the broker takes")]
    TooLarge,
    /// The user may not publish there.
    #[error("the user may not publish there")]
    Denied,
    /// The broker does not take the message as it is, for a reason that is not among these.
    #[error("the broker does not take the message as it is")]
    Other,
}

/// Consecutive publishes that ended alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The first of them.
    pub first: PublishId,
    /// The last of them; not before the first.
    pub last: PublishId,
    /// How they ended.
    pub outcome: Outcome,
}

impl Settled {
    /// The numbers of the publishes, both ends included.
    #[must_use]
    pub fn ids(&self) -> RangeInclusive<u64> {
        self.first.0..=self.last.0
    }

    /// How many publishes it settles: at least 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1)
    }
}

/// What a producer is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerOptions {
    /// Most publishes that the broker has not answered yet; brought into 1 to 65,536.
    pub window_messages: usize,
    /// Most bytes of bodies that the broker has not answered yet; a larger body goes alone.
    pub window_bytes: usize,
    /// Most bytes a body may have.
    pub max_body_bytes: usize,
    /// Whether a message without a queue is [`Returned`](Outcome::Returned) instead of dropped.
    pub mandatory: bool,
    /// Whether durable queues keep the messages over a restart of the broker. Costs its disk.
    pub persistent: bool,
}

impl Default for ProducerOptions {
    /// 1,024 messages and 64 MiB in flight, bodies of up to 16 MiB (the limit of RabbitMQ 4),
    /// mandatory, persistent.
    fn default() -> Self {
        Self {
            window_messages: 1024,
            window_bytes: 64 << 20,
            max_body_bytes: 16 << 20,
            mandatory: true,
            persistent: true,
        }
    }
}

impl ProducerOptions {
    /// Sets the window.
    #[must_use]
    pub fn window(mut self, messages: usize, bytes: usize) -> Self {
        self.window_messages = messages;
        self.window_bytes = bytes;
        self
    }

    /// Sets the most bytes a body may have.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets whether messages are kept over a restart of the broker.
    #[must_use]
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.persistent = persistent;
        self
    }

    /// Sets whether messages without a queue are returned.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }
}

/// Publishes messages. It has one owner at a time; messages of one producer reach a queue in the
/// order of the calls, but for those that are nacked.
///
/// When the connection comes back after a loss, or the broker has refused a publish, what had no
/// answer is sent again, in the same order and before anything newer: so a queue may get a message
/// twice, under the same message id.
///
/// Dropping it waits for nothing: what is not settled may or may not reach the broker.
pub trait Producer: Send {
    /// Hands a message over.
    ///
    /// Ok promises no more than that; what became of it is told once by [`settled`](Self::settled),
    /// under the number returned. Err: nothing was sent, no number is used up, and the same message
    /// may be published again (keep a clone, it shares the body).
    ///
    /// Blocks while a queue that it is routed to, or the window, is full, until `deadline` at most;
    /// a deadline that has passed makes it a try.
    ///
    /// # Errors
    /// [`PublishError`]. `QueueFull`, `WindowFull` and `Blocked` are back-pressure: do something else
    /// and come back. `SettlementsFull` asks for room in [`settled`](Self::settled) first.
    fn publish(&mut self, to: &Route, message: Message, deadline: Instant) -> Result<PublishId, PublishError>;

    /// What became of the publishes: each is settled exactly once, in any order. Settlements that
    /// nobody has taken yet may be joined to ranges.
    ///
    /// The channel never holds back the broker: publishing is refused while as many settlements wait
    /// in it as the window has publishes, and as many again find room. When the producer is
    /// dropped, the channel yields what it still holds to clones of it, then disconnects.
    fn settled(&self) -> &Receiver<Settled>;
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A queue was full until the deadline.
    #[error("queue {0} was full until the deadline")]
    QueueFull(Name),
    /// The broker had not answered enough of the earlier publishes by the deadline.
    #[error("the window of unanswered publishes was full until the deadline")]
    WindowFull,
    /// The owner has to take settlements before it publishes on. Returned at once.
    #[error("settlements have to be taken before more is published")]
    SettlementsFull,
    /// The body is larger than the producer, or a queue that it is for, takes.
    #[error("a body of {size} bytes is more than the {limit} that are taken")]
    TooLarge {
        /// Bytes of the body.
        size: usize,
        /// Most bytes a body may have.
        limit: usize,
    },
    /// A property of the message can't be sent.
    #[error("a property of the message is not valid")]
    Property(#[from] PropertyError),
    /// The broker takes no publishes for now: it is short of memory or disk.
    #[error("the broker takes no publishes for now")]
    Blocked,
    /// No such exchange, if that is known at once. The producer can still be used.
    #[error("there is no exchange {0}")]
    UnknownExchange(Name),
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

impl PublishError {
    /// Whether the same publish may succeed later without anything being changed.
    #[must_use]
    pub fn is_back_pressure(&self) -> bool {
        matches!(self, Self::QueueFull(_) | Self::WindowFull | Self::SettlementsFull | Self::Blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_counts_both_ends() {
        let settled = Settled { first: PublishId(3), last: PublishId(5), outcome: Outcome::Confirmed };
        assert_eq!(settled.ids().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(settled.count(), 3);
    }
}
