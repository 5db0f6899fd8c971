//! Turn by turn, until the time is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    num::NonZeroU32,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Kinds, compose, draw, one_host};
use crate::{Stop, up::NodeLine};

/// Where the nodes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Processes of this machine, in the table of the `coffee up` that has this state folder.
    State(PathBuf),
    /// Containers, of the services in this `docker-compose.yml`.
    Compose(PathBuf),
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Its process is ended at once, by SIGKILL.
    #[default]
    Kill,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Kill => f.write_str("kill"),
        }
    }
}

/// What to do, to whom, how often and for how long.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Where the nodes are.
    pub target: Target,
    /// What is done to them.
    pub action: Action,
    /// What the nodes are.
    pub kinds: Kinds,
    /// The kinds and stages to choose from; all where none is named.
    pub wanted: BTreeSet<String>,
    /// Another seed draws others.
    pub seed: u64,
    /// The time between two turns, and before the first.
    pub every: Duration,
    /// When to end by itself.
    pub time: Option<Duration>,
}

/// What was done to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// When.
    pub at: SystemTime,
    /// What.
    pub action: Action,
    /// The node's name.
    pub node: String,
    /// Its process.
    pub pid: NonZeroU32,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = DateTime::<Utc>::from(self.at).to_rfc3339_opts(SecondsFormat::Millis, true);
        write!(f, "{at} {} {} {}", self.action, self.node, self.pid)
    }
}

/// What was done in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The strikes by what the nodes are.
    pub strikes: BTreeMap<String, u64>,
    /// Turns at which no wanted node lived.
    pub idle: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills", self.strikes.values().sum::<u64>())?;
        let mut mark = ": ";
        for (kind, count) in &self.strikes {
            write!(f, "{}{kind} {count}", std::mem::replace(&mut mark, ", "))?;
        }
        write!(f, "; {} turns without a node to kill", self.idle)
    }
}

/// Nothing more can be disturbed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// The folder of a cluster can't be read.
    #[error("{path:?} can't be read as the state folder of `coffee up`: {source}")]
    State {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a folder or file of a cluster, but no cluster.
    #[error("no cluster runs by {0:?}")]
    NotRunning(PathBuf),
    /// A node's process may not be killed.
    #[error("node {node}, process {pid}, can't be killed: {source}")]
    Kill {
        /// The node.
        node: String,
        /// Its process.
        pid: NonZeroU32,
        /// Why.
        source: io::Error,
    },
    /// A command can't be run.
    #[error("`{command}` can't be run: {source}")]
    Command {
        /// Which.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A command of Docker's failed.
    #[error("`{command}` failed: {said}")]
    Docker {
        /// Which.
        command: String,
        /// The last that it said.
        said: String,
    },
}

/// Strikes one node a turn until `stop`, or the time is over. `on_strike` is told of each.
///
/// # Errors
/// Where the nodes can't be listed, one of them can't be killed, or the cluster is gone.
pub fn chaos(options: &ChaosOptions, stop: &Stop, mut on_strike: impl FnMut(&Strike)) -> Result<Tally, ChaosError> {
    let start = Instant::now();
    let (mut tally, mut due) = (Tally::default(), start);
    for turn in 0.. {
        // One that took longer than its turn makes no burst of those after it.
        due = (due + options.every).max(Instant::now());
        let end = options.time.map(|time| start + time).filter(|end| *end < due);
        if stop.wait(end.unwrap_or(due).saturating_duration_since(Instant::now())) || end.is_some() {
            break;
        }
        match strike(options, turn)? {
            Some(strike) => {
                *tally.strikes.entry(options.kinds.describe(&strike.node)).or_default() += 1;
                on_strike(&strike);
            }
            None => tally.idle += 1,
        }
    }
    Ok(tally)
}

/// One turn; `None` where no wanted node lived.
fn strike(options: &ChaosOptions, turn: u64) -> Result<Option<Strike>, ChaosError> {
    let ChaosOptions { kinds, wanted, .. } = options;
    let may = |node: &str| wanted.is_empty() || wanted.iter().any(|word| kinds.is(node, word));
    let drawn = |nodes: &[NodeLine]| {
        let node = draw(options.seed, turn, nodes, may)?;
        Some((node.name.clone(), node.pid?))
    };
    let (node, pid, was_there) = match &options.target {
        Target::State(state) => {
            let Some((node, pid)) = drawn(&one_host::nodes(state)?) else { return Ok(None) };
            let killed = one_host::kill(pid).map_err(|source| ChaosError::Kill { node: node.clone(), pid, source })?;
            (node, pid, killed)
        }
        Target::Compose(file) => {
            let (nodes, images): (Vec<NodeLine>, Vec<String>) = compose::nodes(file)?.into_iter().unzip();
            let Some((node, pid)) = drawn(&nodes) else { return Ok(None) };
            let image = nodes.iter().zip(&images).find(|(line, _)| line.name == node);
            let killed = image.map_or(Ok(false), |(_, image)| compose::kill(image, pid))?;
            (node, pid, killed)
        }
    };
    Ok(was_there.then(|| Strike { at: SystemTime::now(), action: options.action, node, pid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_and_tallies_are_lines() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let pid = NonZeroU32::new(4711).unwrap();
        let strike = Strike { at, action: Action::Kill, node: "groups.0".into(), pid };
        assert_eq!(strike.to_string(), "2023-11-14T22:13:20.123Z kill groups.0 4711");
        let tally = Tally { strikes: [("query".to_owned(), 1), ("filter".to_owned(), 2)].into(), idle: 3 };
        assert_eq!(tally.to_string(), "3 kills: filter 2, query 1; 3 turns without a node to kill");
        assert_eq!(Tally::default().to_string(), "0 kills; 0 turns without a node to kill");
    }
}
