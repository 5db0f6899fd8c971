//! What nodes that keep something are told about it.

use clap::{Args, builder::BoolishValueParser};
use coffee_nodes::RetryPause;

use crate::duration;

/// How nodes keep what they keep.
#[derive(Clone, Debug, Args)]
pub struct StoreFlags {
    /// Keeps nothing on disk: faster, and the death of a node fails the jobs that it worked for
    #[arg(long, env = "COFFEE_VOLATILE", value_parser = BoolishValueParser::new())]
    pub volatile: bool,
    /// How long a node whose disk is full waits before it tries again: at first, and at most, as the pauses double
    #[arg(long, env = "COFFEE_RETRY_PAUSE", value_name = "FIRST..LONGEST", default_value = "100ms..5s", value_parser = parse)]
    pub retry_pause: RetryPause,
}

impl StoreFlags {
    /// The same for another process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let RetryPause { first, longest } = self.retry_pause;
        vec![
            ("COFFEE_VOLATILE", self.volatile.to_string()),
            ("COFFEE_RETRY_PAUSE", format!("{}..{}", duration::show(first), duration::show(longest))),
        ]
    }
}

/// Two spans of time, the second not below the first.
pub(crate) fn parse(text: &str) -> Result<RetryPause, String> {
    let (first, longest) = text.split_once("..").ok_or_else(|| format!("{text:?} is no span like 100ms..5s"))?;
    let pause = RetryPause { first: duration::parse(first)?, longest: duration::parse(longest)? };
    if pause.first <= pause.longest { Ok(pause) } else { Err(format!("{first} is more than {longest}")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pause_goes_from_the_first_to_the_longest() {
        let pause = RetryPause { first: Duration::from_millis(100), longest: Duration::from_secs(5) };
        assert_eq!(parse("100ms..5s"), Ok(pause));
        let flags = StoreFlags { volatile: true, retry_pause: pause };
        let [volatile, shown] = &flags.environment()[..] else { panic!("two settings") };
        assert_eq!((volatile.1.as_str(), parse(&shown.1)), ("true", Ok(pause)));
        for wrong in ["", "5s", "5s..", "5s..1s", "0s..1s", "1s...2s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
