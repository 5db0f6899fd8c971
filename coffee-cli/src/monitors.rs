//! What commands know of monitors: where they are, and the key.

use std::{env, str::FromStr, time::Duration};

use clap::Args;
use coffee_nodes::monitor::{KEY_VARIABLE, Key, Peer, PeerError};

use crate::{duration, failure::Failure};

/// The least silence: two heartbeats may be lost.
const LEAST: Duration = Duration::from_secs(2);

/// Monitors, in the order of their indices; there may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers(pub Vec<Peer>);

impl FromStr for Peers {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(str::parse).collect::<Result<_, _>>().map(Peers)
    }
}

impl std::fmt::Display for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(Peer::to_string).collect::<Vec<_>>().join(","))
    }
}

/// What only monitors are told.
#[derive(Clone, Debug, Args)]
pub struct MonitorFlags {
    /// How long a node may not be heard until it is taken for dead; at least 2s
    #[arg(long, env = "COFFEE_SILENCE", value_name = "TIME", default_value = "5s", value_parser = silence)]
    pub silence: Duration,
}

impl MonitorFlags {
    /// The same for another process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("COFFEE_SILENCE", duration::show(self.silence))]
    }
}

fn silence(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if time < LEAST { Err(format!("{text:?} is below {}", duration::show(LEAST))) } else { Ok(time) }
}

/// The key of the cluster, which is in the environment alone.
pub fn key() -> Result<Key, Failure> {
    let text = env::var(KEY_VARIABLE);
    let text = text.map_err(|_| Failure::usage(KEY_VARIABLE, "is not set, and there are monitors"));
    text?.parse().map_err(|error| Failure::usage(KEY_VARIABLE, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_empty_and_silence_is_not_too_short() {
        let peers: Peers = "127.0.0.1:1, monitor-1:9100".parse().unwrap();
        assert_eq!(peers.to_string(), "127.0.0.1:1,monitor-1:9100");
        assert_eq!("".parse(), Ok(Peers::default()));
        assert_eq!("monitor-1".parse::<Peers>(), Err(PeerError));
        assert_eq!((silence("2s"), silence("1999ms").is_err()), (Ok(LEAST), true));
    }
}
