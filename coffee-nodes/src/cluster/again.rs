//! How a thread keeps to something of the broker's that it may be refused, or lose.

use std::time::Duration;

use super::ListenError;
use crate::Stop;

/// Before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes something and works with it until it is lost, again and again, until asked to stop. `what` it is for is told where it can't be made.
pub(crate) fn again<T>(what: &str, stop: &Stop, make: impl Fn() -> Result<T, ListenError>, mut work: impl FnMut(T)) {
    while !stop.is_triggered() {
        match make() {
            Ok(made) => work(made),
            Err(error) => log::debug!("{what}: {error}; it is tried again"),
        }
        stop.wait(PAUSE);
    }
}
