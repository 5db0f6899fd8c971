//! When a process that has ended is started again: the leader goes by it for nodes, `coffee up` for monitors.

use std::time::Duration;

use super::End;

/// The pauses before a process that ended is started again: doubled each time that it ended early.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// So many early ends in a row are a loop. One that never was ready will not get ready.
const LOOP: u32 = 5;

/// The pause of one that was ready before: what it lacks now may come back.
const LOOP_PAUSE: Duration = Duration::from_secs(30);

/// What becomes of a process that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is started again after this pause.
    Start(Duration),
    /// The same; it ends early again and again, though it once was ready.
    Loops(Duration),
    /// It will not get ready.
    GiveUp,
}

/// What becomes of a process that has ended so.
pub fn after(end: &End) -> Next {
    match end.early {
        early if early < LOOP => Next::Start(FIRST_PAUSE * (1 << early)),
        _ if end.was_ready => Next::Loops(LOOP_PAUSE),
        _ => Next::GiveUp,
    }
}

impl Next {
    /// The pause until it is started again; `None` where it is not.
    pub fn pause(self) -> Option<Duration> {
        match self {
            Next::Start(pause) | Next::Loops(pause) => Some(pause),
            Next::GiveUp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_given_up_only_by_who_never_was_ready() {
        let pauses = |was_ready| (0..7).map(move |early| after(&End { early, was_ready }).pause());
        let millis = |pauses: &[u64]| pauses.iter().map(|ms| Some(Duration::from_millis(*ms))).collect::<Vec<_>>();
        let doubled = [100, 200, 400, 800, 1600];
        assert_eq!(pauses(false).collect::<Vec<_>>(), [millis(&doubled), vec![None, None]].concat());
        assert_eq!(pauses(true).collect::<Vec<_>>(), millis(&[&doubled[..], &[30_000, 30_000]].concat()));
    }
}
