//! What an entry thread has of a session: one chunk, or a table's end.

use std::sync::Arc;

use super::Session;

/// One chunk in hand. Dropped without [`confirm`](Self::confirm): it was given up, and is never acked.
pub(in crate::gateway) struct Ticket {
    session: Arc<Session>,
    table: u16,
    number: u64,
}

impl Ticket {
    pub(super) fn new(session: Arc<Session>, table: u16, number: u64) -> Self {
        Ticket { session, table, number }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// All that follows from the chunk is confirmed.
    pub fn confirm(self) {
        self.session.confirm(self.table, self.number);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.let_go();
    }
}
