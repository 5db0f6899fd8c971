//! One way to stop everything: seen at once by whoever waits.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

/// A stop that can be triggered once, from any thread, and waited for together with other channels. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    sender: Arc<Mutex<Option<Sender<()>>>>,
    receiver: Receiver<()>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Not triggered.
    pub fn new() -> Self {
        let (sender, receiver) = bounded(0);
        Stop { sender: Arc::new(Mutex::new(Some(sender))), receiver }
    }

    /// Wakes everyone who waits, now and later.
    pub fn trigger(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Disconnected once triggered; never holds a message.
    pub fn receiver(&self) -> &Receiver<()> {
        &self.receiver
    }
}
