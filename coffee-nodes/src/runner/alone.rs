//! Waiting for a place that only one can have.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::Stop;

/// How long a place is waited for: a broker that can't tell whether a connection is dead notices after some 30 seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Tries to take a place again and again while somebody else has it: mostly an earlier life of the same node, which the
/// broker has not noticed to be dead.
///
/// # Errors
/// The last attempt's: after a minute or a stop, or for another reason at once.
pub(crate) fn until_free<T, E>(
    stop: &Stop,
    in_use: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let until = Instant::now() + LONGEST;
    loop {
        match attempt() {
            Err(error) if in_use(&error) && Instant::now() < until => {
                if stop.receiver().recv_timeout(PAUSE) == Err(RecvTimeoutError::Disconnected) {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_waited_for_until_it_is_free_or_not_worth_waiting() {
        let stop = Stop::new();
        let mut answers = vec![Ok(7), Err("in use"), Err("in use")];
        assert_eq!(until_free(&stop, |error| *error == "in use", || answers.pop().unwrap()), Ok(7));
        assert_eq!(until_free::<(), _>(&stop, |error| *error == "in use", || Err("broken")), Err("broken"));
        stop.trigger();
        assert_eq!(until_free::<(), _>(&stop, |_| true, || Err("in use")), Err("in use"));
    }
}
