//! What happens to a connection while nobody asks: events as they come, and counts of all so far.

use std::time::Duration;

use crate::name::Name;

/// Something that happened to a connection. It recovers by itself; events are for those who watch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A link to the broker is up; the first time, and each time that it comes back.
    Connected(Side),
    /// A link was lost, for that reason. Its deliveries come again, its publishes are sent again.
    Disconnected(Side, String),
    /// An attempt to come back failed for that reason; the next follows after the pause.
    Retrying(Side, String, Duration),
    /// The broker takes no publishes for now, for that reason, as it is short of memory or disk.
    Blocked(String),
    /// The broker takes publishes again.
    Unblocked,
    /// The broker took a consumer off this queue; it is attached again, or ends if the queue is gone.
    ConsumerCancelled(Name),
    /// A queue that is exclusive to the connection was lost with its link, and is declared and bound
    /// again: what was published to it meanwhile is gone.
    Gap(Name),
    /// Something that was declared before could not be declared again.
    NotRestored(Name, String),
}

impl Event {
    /// Events that a subscription holds while nobody takes them.
    pub const BACKLOG: usize = 1024;
}

/// Which link of a connection: publishing and consuming have one each, so that a broker that holds
/// publishers back still delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Carries what is published, and its confirms.
    Publishing,
    /// Carries declarations, deliveries and acks.
    Consuming,
}

/// Counts since a connection was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Publishes that were Ok.
    pub published: u64,
    /// Of those, the ones that are settled, whatever their outcome.
    pub settled: u64,
    /// Settled as nacked.
    pub nacked: u64,
    /// Settled as returned.
    pub returned: u64,
    /// Settled as confirmed though no queue was bound for them, as they were not mandatory.
    pub dropped: u64,
    /// Publishes sent again after a link was lost.
    pub replayed: u64,
    /// Deliveries made to consumers.
    pub delivered: u64,
    /// Of those, the ones that may have been delivered before.
    pub redelivered: u64,
    /// Times that a link came back.
    pub reconnects: u64,
}

impl Stats {
    /// Publishes that wait for their settlement.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.published.saturating_sub(self.settled)
    }
}
