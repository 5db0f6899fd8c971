//! Monitors without I/O and clock.

mod election;
mod recovery;
mod watch;

use std::time::Duration;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
