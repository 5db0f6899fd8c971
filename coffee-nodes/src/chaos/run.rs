//! Turn by turn, until the time is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    Kinds, compose,
    draw::{draw, draw_action},
    kinds::LEADER,
    one_host,
};
use crate::{
    Stop,
    docker::DockerError,
    up::{NodeLine, NodeRole},
};

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
    /// Its process is stopped by SIGSTOP: it is there, and does nothing any more.
    Hang,
}

/// It is nothing that is done to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither kill nor hang")]
pub struct NoAction;

impl FromStr for Action {
    type Err = NoAction;

    fn from_str(text: &str) -> Result<Self, NoAction> {
        [Action::Kill, Action::Hang].into_iter().find(|action| action.to_string() == text).ok_or(NoAction)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Kill => f.write_str("kill"),
            Action::Hang => f.write_str("hang"),
        }
    }
}

/// What to do, to whom, how often and for how long.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Where the nodes are.
    pub target: Target,
    /// What is done to them: at each turn one of these, by the seed; where there is none, killing.
    pub actions: Vec<Action>,
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
    /// How many of them made a node hang.
    pub hangs: u64,
    /// Turns at which no wanted node lived.
    pub idle: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.strikes.values().sum::<u64>();
        write!(f, "{} kills", all.saturating_sub(self.hangs))?;
        if self.hangs > 0 {
            write!(f, " and {} hangs", self.hangs)?;
        }
        let mut mark = ": ";
        for (kind, count) in &self.strikes {
            write!(f, "{}{kind} {count}", std::mem::replace(&mut mark, ", "))?;
        }
        write!(f, "; {} turns without a node to strike", self.idle)
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
    /// A node's process may not be sent a signal.
    #[error("node {node}, process {pid}, can't be struck: {source}")]
    Strike {
        /// The node.
        node: String,
        /// Its process.
        pid: NonZeroU32,
        /// Why.
        source: io::Error,
    },
    /// Docker can't be used.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// Strikes one node a turn until `stop`, or the time is over. `on_strike` is told of each.
///
/// # Errors
/// Where the nodes can't be listed, one of them can't be struck, or the cluster is gone.
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
                tally.hangs += u64::from(strike.action == Action::Hang);
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
    let is =
        |node: &NodeLine, word: &str| kinds.is(&node.name, word) || word == LEADER && node.role == NodeRole::Leader;
    let may = |node: &NodeLine| wanted.is_empty() || wanted.iter().any(|word| is(node, word));
    let action =
        options.actions.get(draw_action(options.seed, turn, options.actions.len())).copied().unwrap_or_default();
    let drawn = |nodes: &[NodeLine]| {
        let node = draw(options.seed, turn, nodes, may)?;
        Some((node.name.clone(), node.pid?))
    };
    let (node, pid, was_there) = match &options.target {
        Target::State(state) => {
            let Some((node, pid)) = drawn(&one_host::nodes(state)?) else { return Ok(None) };
            let struck = one_host::strike(pid, action);
            let struck = struck.map_err(|source| ChaosError::Strike { node: node.clone(), pid, source })?;
            (node, pid, struck)
        }
        Target::Compose(file) => {
            let (nodes, images): (Vec<NodeLine>, Vec<String>) = compose::nodes(file)?.into_iter().unzip();
            let Some((node, pid)) = drawn(&nodes) else { return Ok(None) };
            let image = nodes.iter().zip(&images).find(|(line, _)| line.name == node);
            let struck = image.map_or(Ok(false), |(_, image)| compose::strike(image, pid, action))?;
            (node, pid, struck)
        }
    };
    Ok(was_there.then(|| Strike { at: SystemTime::now(), action, node, pid }))
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
        let tally = Tally { strikes: [("query".to_owned(), 1), ("filter".to_owned(), 2)].into(), hangs: 0, idle: 3 };
        let said = "filter 2, query 1; 3 turns without a node to strike";
        assert_eq!(tally.to_string(), format!("3 kills: {said}"));
        assert_eq!(Tally { hangs: 2, ..tally }.to_string(), format!("1 kills and 2 hangs: {said}"));
        assert_eq!(Tally::default().to_string(), "0 kills; 0 turns without a node to strike");
        assert_eq!(["kill", "hang", "kill "].map(str::parse), [Ok(Action::Kill), Ok(Action::Hang), Err(NoAction)]);
    }
}
