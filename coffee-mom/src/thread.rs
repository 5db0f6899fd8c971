//! Threads that have a name and tell when they end, and the token that makes one look around.

use std::convert::Infallible;
use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};

/// The end of a thread, to be waited for by any number of others.
#[derive(Debug, Clone)]
pub(crate) struct Finished(Receiver<Infallible>);

impl Finished {
    /// Waits until the thread is about to end; false if it is not by the deadline.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        match self.0.recv_deadline(deadline) {
            Ok(infallible) => match infallible {},
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Whether joining the thread would take no time.
    pub(crate) fn is_over(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }
}

/// Starts a thread of that name.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<(JoinHandle<T>, Finished)> {
    let (finish, finished) = bounded(0);
    // A thread's name can't hold NUL, a queue's can.
    let thread = Builder::new().name(name.replace('\0', "?")).spawn(move || {
        let result = body();
        drop(finish);
        result
    })?;
    Ok((thread, Finished(finished)))
}

/// Makes a thread look around, by a channel of one token.
pub(crate) fn wake(waker: &Sender<()>) {
    match waker.try_send(()) {
        // Full: it will look anyway. Gone: it has looked for the last time.
        Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_is_told_also_by_a_panic() {
        let (go, gone) = bounded::<()>(0);
        let (thread, finished) = spawn("nul\0here", move || {
            assert!(gone.recv().is_ok(), "nobody lets it go");
        })
        .unwrap();
        assert_eq!(thread.thread().name(), Some("nul?here"));
        assert!(!finished.is_over());
        assert!(!finished.wait(Instant::now()));
        drop(go);
        assert!(finished.wait(Instant::now() + Duration::from_secs(10)));
        assert!(finished.is_over());
        assert!(thread.join().is_err());
    }
}
