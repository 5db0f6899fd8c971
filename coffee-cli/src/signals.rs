//! SIGINT, SIGTERM and SIGHUP.

use std::process;

use coffee_nodes::Stop;

use crate::failure::{Failure, INTERRUPTED};

/// The first one lets the work end in order; the second ends the process at once.
pub fn stop_on_interrupt() -> Result<Stop, Failure> {
    on_signals(|stop| {
        if stop.is_triggered() {
            process::exit(INTERRUPTED.into());
        }
        stop.trigger();
    })
}

/// Each of them asks to stop, however many come: a server stops in order, within bounds.
pub fn stop_on_signals() -> Result<Stop, Failure> {
    on_signals(Stop::trigger)
}

/// Calls `act` at each of them.
pub fn on_signals(act: impl Fn(&Stop) + Send + 'static) -> Result<Stop, Failure> {
    let stop = Stop::new();
    let stopped = stop.clone();
    ctrlc::set_handler(move || act(&stopped)).map_err(|error| Failure::usage("signals can't be waited for", error))?;
    Ok(stop)
}
