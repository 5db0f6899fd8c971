//! The one place that waits by asking again and again.
//!
//! It serves what offers nothing to wait on with a deadline: the lock of another process, a socket that
//! is about to appear, a child process that is about to end, a client that is about to come back.

use std::thread;
use std::time::{Duration, Instant};

use super::TestBrokerError;

/// Short beside the second or more that a broker takes to start, long beside the cost of asking.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks, at least once, until there is an answer; [`TestBrokerError::Deadline`] if there is none in time.
pub(super) fn poll<T>(
    waiting_for: &'static str,
    deadline: Instant,
    mut ask: impl FnMut() -> Result<Option<T>, TestBrokerError>,
) -> Result<T, TestBrokerError> {
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(TestBrokerError::Deadline { waiting_for });
        }
        thread::sleep(PAUSE);
    }
}
