//! A named thread that is asked to stop and joined by a deadline.

use std::io;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::consumer::{Consumer, ConsumerEnd};
use crate::middleware::StopError;
use crate::name::Name;
use crate::thread::{Finished, spawn};

/// The least pause between two tries, whatever is asked for: a thread must not spin.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// How long a drop waits for the thread.
pub(super) const DROP_GRACE: Duration = Duration::from_secs(5);

/// A thread seen from outside. Dropping it stops it, within its grace.
pub(super) struct Task {
    stop: Sender<Instant>,
    finished: Finished,
    thread: Mutex<Thread>,
}

enum Thread {
    Running(JoinHandle<bool>),
    /// Joined. Whether it has ended well is remembered for all that ask.
    Ended(Result<(), StopError>),
}

impl Task {
    /// Starts `body`, which is told by its receiver to stop by an instant, or at once if it disconnects;
    /// it returns whether nothing was left undone.
    pub(super) fn start(name: &str, body: impl FnOnce(Receiver<Instant>) -> bool + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = bounded(1);
        let (thread, finished) = spawn(name, move || body(stopped))?;
        Ok(Self { stop, finished, thread: Mutex::new(Thread::Running(thread)) })
    }

    /// Asks it to stop by `deadline`; the first that asks is the one that counts. Does not wait.
    pub(super) fn ask_to_stop(&self, deadline: Instant) {
        // Full: it was asked before. Gone: it has stopped.
        let _ = self.stop.try_send(deadline);
    }

    /// Asks it to stop, and waits for its end.
    pub(super) fn stop(&self, deadline: Instant) -> Result<(), StopError> {
        self.ask_to_stop(deadline);
        self.join(deadline)
    }

    /// Waits for its end. `Deadline` if that does not come in time, or something was left undone.
    pub(super) fn join(&self, deadline: Instant) -> Result<(), StopError> {
        if !self.finished.wait(deadline) {
            return Err(StopError::Deadline);
        }
        let mut thread = self.thread.lock();
        // Replaced below; nobody sees it in between.
        let ended = match std::mem::replace(&mut *thread, Thread::Ended(Err(StopError::Deadline))) {
            Thread::Ended(ended) => ended,
            Thread::Running(thread) => thread.join().map_or_else(
                |_| {
                    log::error!("a thread of remote calls panicked");
                    Err(StopError::Deadline)
                },
                |clean| if clean { Ok(()) } else { Err(StopError::Deadline) },
            ),
        };
        *thread = Thread::Ended(ended.clone());
        ended
    }
}

/// Keeps and logs why a thread gets nothing more from its queue, though nobody has stopped it.
pub(super) fn note_end(end: &OnceLock<ConsumerEnd>, consumer: &dyn Consumer, queue: &Name) {
    let why = *end.get_or_init(|| consumer.ended().unwrap_or(ConsumerEnd::Closed));
    log::warn!("nothing more is taken from {queue}: {why}");
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.stop(Instant::now() + DROP_GRACE).is_err() {
            log::warn!("a thread of remote calls was left running, or left work undone");
        }
    }
}
