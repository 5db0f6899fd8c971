//! What the thread behind a producer is told besides publishes.

use std::time::Instant;

/// When to end, and how.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// To end as soon as all is answered, then at the latest.
    pub(super) until: Option<Instant>,
    /// The connection ends too, and its channels with it.
    pub(super) with_connection: bool,
}

impl Orders {
    /// An end that was ordered before stays, if it is the earlier one.
    pub(super) fn end_by(&mut self, deadline: Instant) {
        self.until = Some(self.until.map_or(deadline, |earlier| earlier.min(deadline)));
    }
}
