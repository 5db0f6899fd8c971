//! Tells everybody what happens to jobs, on a thread of its own, so that a broker that is slow holds up no decision.

use std::time::Duration;

use crossbeam_channel::{Receiver, select};

use crate::{
    Stop,
    cluster::{Control, Teller},
};

/// Messages that may wait to be published.
pub(super) const BACKLOG: usize = 1024;

/// How long one message waits for the broker to take it, before it is dropped.
const PATIENCE: Duration = Duration::from_millis(500);

/// Publishes to the control exchange.
pub(super) struct Publisher {
    pub teller: Teller,
    pub told: Receiver<Control>,
}

impl Publisher {
    /// Publishes what it is told until it is to stop, then what is left, as far as the broker takes it at once.
    pub fn run(mut self, stop: &Stop) {
        loop {
            select! {
                recv(self.told) -> control => match control {
                    Ok(control) => self.teller.tell(&control, PATIENCE),
                    Err(_) => return,
                },
                recv(self.teller.settled()) -> settled => if settled.is_err() { return },
                recv(stop.receiver()) -> _ => break,
            }
        }
        while let Ok(control) = self.told.try_recv() {
            self.teller.tell(&control, Duration::ZERO);
        }
    }
}
