//! What can be declared: queues, exchanges and the bindings between them.
//! Each field says where RabbitMQ keeps it otherwise than the in-process broker.

use std::num::NonZeroU32;

use crate::message::Headers;
use crate::name::{Name, RoutingKey};
use crate::route::Route;

/// A queue to declare. Two declarations of one name must be equal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QueueSpec {
    /// Its name; none for an anonymous queue, which gets one that nobody else has.
    pub name: Option<Name>,
    /// Whether only the declaring connection may use it, and it goes with that connection.
    pub exclusive: bool,
    /// Whether it outlives the broker's process, where the broker can do that.
    pub durable: bool,
    /// Most messages it holds, ready and unacked. RabbitMQ counts the ready ones only, and may take a
    /// few more; a publish that finds it full is [`Nacked`](crate::Outcome::Nacked) there.
    pub max_messages: usize,
    /// Most bytes of bodies it holds, ready and unacked; on RabbitMQ as for messages.
    pub max_bytes: usize,
    /// Where its rejected messages go; without one they are dropped. See
    /// [`Nack::DeadLetter`](crate::Nack::DeadLetter) for queues that are full.
    pub dead_letter: Option<Route>,
    /// How it is kept, where the broker has a choice.
    pub kind: QueueKind,
    /// How often a message may come back before it is treated as rejected; without one, for ever, but for
    /// quorum queues of RabbitMQ 4: for these it is 20 then, so set a high one where nothing may be dropped.
    ///
    /// Counted are requeues, and consumers that ended with the message unacked. A classic queue of
    /// RabbitMQ does not count: there a consumer counts its own requeues, of a message by its id, else
    /// by its route and body; messages that are alike in that share what each of them may do. It
    /// counts for queues that were declared through its own connection.
    pub delivery_limit: Option<NonZeroU32>,
    /// Whether only one of its consumers gets deliveries; the next when that one is gone, or paused.
    /// What that one had in hand comes again, and may come after newer messages.
    pub single_active: bool,
}

/// How a queue is kept. The in-process broker keeps both alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueKind {
    /// By one node of the broker, written to its disk without waiting for it: survives the death of
    /// the broker's process, not a loss of power.
    #[default]
    Classic,
    /// By a majority of the broker's nodes, on disk before it is confirmed. Durable and shared only.
    Quorum,
}

impl QueueSpec {
    /// Bound on messages unless another is asked for: enough to keep both ends of a fast queue busy.
    pub const DEFAULT_MAX_MESSAGES: usize = 65_536;
    /// Bound on bytes unless another is asked for: 64 MiB.
    pub const DEFAULT_MAX_BYTES: usize = 64 << 20;

    /// A durable, shared queue of that name.
    #[must_use]
    pub fn named(name: Name) -> Self {
        Self {
            name: Some(name),
            exclusive: false,
            durable: true,
            max_messages: Self::DEFAULT_MAX_MESSAGES,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            dead_letter: None,
            kind: QueueKind::Classic,
            delivery_limit: None,
            single_active: false,
        }
    }

    /// An exclusive queue that gets a name of its own; it goes with the connection that declares it.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: None,
            exclusive: true,
            durable: false,
            max_messages: Self::DEFAULT_MAX_MESSAGES,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            dead_letter: None,
            kind: QueueKind::Classic,
            delivery_limit: None,
            single_active: false,
        }
    }

    /// Makes it exclusive to the declaring connection.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Sets the bounds; a publish to a queue that is full of either waits, or is nacked.
    ///
    /// On RabbitMQ this is not for classic queues of which nothing may be lost. They count ready messages
    /// only, and when the broker is restarted, what was unacked is ready again: the oldest messages above
    /// the bound are dropped then, without a word, though they are persistent and were confirmed. Quorum
    /// queues keep them all. So give such a classic queue [no bound](Self::unbounded), or make it a [quorum
    /// queue](Self::quorum).
    #[must_use]
    pub fn bounded(mut self, messages: usize, bytes: usize) -> Self {
        self.max_messages = messages;
        self.max_bytes = bytes;
        self
    }

    /// Sets no bounds: its publishers have to see to it that it stays short, as by
    /// [`queue_status`](crate::Broker::queue_status).
    #[must_use]
    pub fn unbounded(self) -> Self {
        self.bounded(usize::MAX, usize::MAX)
    }

    /// Makes it a quorum queue.
    #[must_use]
    pub fn quorum(mut self) -> Self {
        self.kind = QueueKind::Quorum;
        self
    }

    /// Makes it end with the broker's process.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Sets how often a message may come back.
    #[must_use]
    pub fn delivery_limit(mut self, returns: NonZeroU32) -> Self {
        self.delivery_limit = Some(returns);
        self
    }

    /// Lets only one consumer at a time get deliveries.
    #[must_use]
    pub fn single_active(mut self) -> Self {
        self.single_active = true;
        self
    }

    /// Sets where rejected messages go.
    #[must_use]
    pub fn dead_letter(mut self, to: Route) -> Self {
        self.dead_letter = Some(to);
        self
    }
}

/// How an exchange picks among its bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// Every binding.
    Fanout,
    /// Bindings whose key equals the routing key.
    Direct,
    /// Bindings whose pattern matches the key's dot-separated words: `*` is one word, `#` any number.
    Topic,
    /// Bindings whose headers match the message's.
    Headers,
}

/// An exchange to declare. Two declarations of one name must be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeSpec {
    /// Its name.
    pub name: Name,
    /// How it picks among its bindings.
    pub kind: ExchangeKind,
    /// Whether it outlives the broker's process, where the broker can do that.
    pub durable: bool,
}

impl ExchangeSpec {
    /// A durable exchange of that name.
    #[must_use]
    pub fn new(name: Name, kind: ExchangeKind) -> Self {
        Self { name, kind, durable: true }
    }
}

/// How many of a binding's headers the message has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderMatch {
    /// Each of them; a binding without headers takes every message.
    All,
    /// One of them; a binding without headers takes none.
    Any,
}

/// What a binding asks of a message. A queue with several matching bindings gets one copy.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Binding {
    /// The key (direct) or pattern (topic); a fanout exchange takes the empty key and ignores it.
    Key(RoutingKey),
    /// The headers to look for, names that begin with `x-` apart; only for headers exchanges.
    Headers(HeaderMatch, Headers),
}

impl Default for Binding {
    /// The empty key: all that a fanout exchange needs.
    fn default() -> Self {
        Self::Key(RoutingKey::default())
    }
}

/// When a queue may be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Only if it has no consumer.
    pub if_unused: bool,
    /// Only if it has no ready message.
    pub if_empty: bool,
}

impl DeleteOptions {
    /// Deletes only a queue without consumers.
    #[must_use]
    pub fn if_unused(mut self) -> Self {
        self.if_unused = true;
        self
    }

    /// Deletes only a queue without ready messages.
    #[must_use]
    pub fn if_empty(mut self) -> Self {
        self.if_empty = true;
        self
    }
}

/// What a queue held at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Messages that wait for a consumer.
    pub ready: usize,
    /// Consumers that are attached.
    pub consumers: usize,
}
