//! What is to go wrong, and when.

use std::collections::BTreeMap;

/// What happens at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The operation alone fails. A publish is not sent, and fails as
    /// [`Blocked`](crate::PublishError::Blocked); a declaration or an attachment may be made or not, and
    /// fails as [`Deadline`](crate::ConnectionError::Deadline); an ack or nack is lost together with the
    /// consumer's link, as by `Disconnect`.
    Fail,
    /// The connection is lost, and comes back: deliveries that are not acked are requeued and their
    /// tags stale, publishes in flight are sent again. The operation itself may get through before.
    Disconnect,
    /// The connection is closed before the operation, for good, as by the death of its process: from
    /// now on everything fails as `Closed`, and consumers end.
    Close,
}

/// Which operations go wrong: by number, and by rates, of which a seed makes the choice.
///
/// Rates are in a thousand operations; 1000 and more are all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    pub(super) seed: u64,
    pub(super) at: BTreeMap<u64, Fault>,
    pub(super) failures: u32,
    pub(super) disconnects: u32,
    pub(super) duplicates: u32,
    pub(super) nacks: u32,
    pub(super) delays: u32,
}

impl FaultPlan {
    /// A plan by which nothing goes wrong.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, at: BTreeMap::new(), failures: 0, disconnects: 0, duplicates: 0, nacks: 0, delays: 0 }
    }

    /// Operation `n` meets a fault; in place of another that it was to meet.
    #[must_use]
    pub fn at(mut self, n: u64, fault: Fault) -> Self {
        self.at.insert(n, fault);
        self
    }

    /// Operation `n` fails.
    #[must_use]
    pub fn fail_at(self, n: u64) -> Self {
        self.at(n, Fault::Fail)
    }

    /// The connection is lost at operation `n`.
    #[must_use]
    pub fn disconnect_at(self, n: u64) -> Self {
        self.at(n, Fault::Disconnect)
    }

    /// The connection is closed before operation `n`.
    #[must_use]
    pub fn close_at(self, n: u64) -> Self {
        self.at(n, Fault::Close)
    }

    /// How many of a thousand operations fail.
    #[must_use]
    pub fn failures(mut self, rate: u32) -> Self {
        self.failures = rate;
        self
    }

    /// At how many of a thousand operations the connection is lost.
    #[must_use]
    pub fn disconnects(mut self, rate: u32) -> Self {
        self.disconnects = rate;
        self
    }

    /// How many of a thousand publishes arrive twice, under the same message id.
    #[must_use]
    pub fn duplicates(mut self, rate: u32) -> Self {
        self.duplicates = rate;
        self
    }

    /// How many of a thousand publishes are nacked; no queue gets them.
    #[must_use]
    pub fn nacks(mut self, rate: u32) -> Self {
        self.nacks = rate;
        self
    }

    /// How many of a thousand things come late: publishes, so that those of other producers overtake
    /// them; settlements, so that they come in another order; redeliveries after a loss, so that newer
    /// messages overtake them.
    #[must_use]
    pub fn delays(mut self, rate: u32) -> Self {
        self.delays = rate;
        self
    }
}
