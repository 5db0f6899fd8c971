//! How a case fails: by what was seen, and where.

use std::error::Error;
use std::fmt;
use std::panic::Location;

/// Why a case failed: what was seen instead of what is promised, and the line of the case.
///
/// Every error turns into one by `?`, so it is no error itself.
pub struct Failure {
    seen: String,
    at: &'static Location<'static>,
}

impl Failure {
    /// A failure of the calling line.
    #[track_caller]
    #[must_use]
    pub fn new(seen: impl fmt::Display) -> Self {
        Self { seen: seen.to_string(), at: Location::caller() }
    }

    /// Adds what may have to do with it.
    pub(super) fn besides(mut self, more: impl fmt::Display) -> Self {
        self.seen = format!("{}; {more}", self.seen);
        self
    }

    /// The same, found by the caller's caller.
    pub(super) fn at(seen: impl fmt::Display, at: &'static Location<'static>) -> Self {
        Self { seen: seen.to_string(), at }
    }
}

impl<E: Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut seen = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            seen.push_str(": ");
            seen.push_str(&error.to_string());
            cause = error.source();
        }
        Self { seen, at: Location::caller() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.seen, self.at)
    }
}

/// As it is displayed: what a test that returns it prints.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($seen:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format_args!($($seen)+)));
        }
    };
}

/// Fails the case unless what was seen is what is promised.
macro_rules! ensure_eq {
    ($seen:expr, $promised:expr, $what:expr) => {
        match (&$seen, &$promised) {
            (seen, promised) => {
                $crate::conformance::failure::ensure!(seen == promised, "{}: {seen:?} instead of {promised:?}", $what)
            }
        }
    };
}

/// Fails the case unless what was seen has the shape that is promised.
macro_rules! ensure_matches {
    ($seen:expr, $pattern:pat $(if $guard:expr)?, $what:expr) => {
        match &$seen {
            $pattern $(if $guard)? => {}
            seen => return Err($crate::conformance::Failure::new(format_args!("{}: {seen:?}", $what))),
        }
    };
}

pub(super) use {ensure, ensure_eq, ensure_matches};
