//! `nodes.tsv`: which nodes there are, for whoever watches or disturbs the cluster.

use std::{fmt, fs, io, num::NonZeroU32, path::Path, str::FromStr};

use tempfile::NamedTempFile;

/// What a node's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Not ready yet.
    Starting,
    /// Works.
    Ready,
    /// Died, and is about to be started again.
    Dead,
    /// Ended after a stop.
    Stopped,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeState::Starting => "starting",
            NodeState::Ready => "ready",
            NodeState::Dead => "dead",
            NodeState::Stopped => "stopped",
        })
    }
}

impl FromStr for NodeState {
    type Err = NoLine;

    fn from_str(text: &str) -> Result<Self, NoLine> {
        let all = [NodeState::Starting, NodeState::Ready, NodeState::Dead, NodeState::Stopped];
        all.into_iter().find(|state| state.to_string() == text).ok_or(NoLine)
    }
}

/// What a node is beside its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    /// It works.
    Node,
    /// It watches the others.
    Monitor,
    /// It is the monitor that leads.
    Leader,
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeRole::Node => "node",
            NodeRole::Monitor => "monitor",
            NodeRole::Leader => "leader",
        })
    }
}

impl FromStr for NodeRole {
    type Err = NoLine;

    fn from_str(text: &str) -> Result<Self, NoLine> {
        let all = [NodeRole::Node, NodeRole::Monitor, NodeRole::Leader];
        all.into_iter().find(|role| role.to_string() == text).ok_or(NoLine)
    }
}

/// It is no line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is not of a name, a process's number, a state and a role, with tabs between")]
pub struct NoLine;

/// A node as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Its process; `None` where it has none.
    pub pid: Option<NonZeroU32>,
    /// What its process does.
    pub state: NodeState,
    /// What it is beside its work.
    pub role: NodeRole,
}

impl FromStr for NodeLine {
    type Err = NoLine;

    fn from_str(line: &str) -> Result<Self, NoLine> {
        let [name, pid, state, role] = line.split('\t').collect::<Vec<_>>()[..] else { return Err(NoLine) };
        let pid = NonZeroU32::new(pid.parse().map_err(|_| NoLine)?);
        Ok(NodeLine { name: name.to_owned(), pid, state: state.parse()?, role: role.parse()? })
    }
}

/// The table in a cluster's folder, as it is at this instant.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<NodeLine>> {
    let text = fs::read_to_string(folder.join("nodes.tsv"))?;
    text.lines().map(|line| line.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))).collect()
}

impl fmt::Display for NodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NodeLine { name, pid, state, role } = self;
        write!(f, "{name}\t{}\t{state}\t{role}", pid.map_or(0, NonZeroU32::get))
    }
}

/// Writes the table anew; a reader sees the old or the new one.
pub(super) fn write(folder: &Path, nodes: &[NodeLine]) -> io::Result<()> {
    let text: String = nodes.iter().map(|node| format!("{node}\n")).collect();
    let file = NamedTempFile::new_in(folder)?;
    fs::write(file.path(), text)?;
    file.persist(folder.join("nodes.tsv")).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let line =
            |name: &str, pid, state, role| NodeLine { name: name.to_owned(), pid: NonZeroU32::new(pid), state, role };
        let lines = [
            line("a", 7, NodeState::Ready, NodeRole::Node),
            line("b.1", 0, NodeState::Dead, NodeRole::Monitor),
            line("c-0", 1, NodeState::Starting, NodeRole::Leader),
        ];
        write(folder.path(), &lines).unwrap();
        assert_eq!(read(folder.path()).unwrap(), lines);
        let wrong = [
            "a\t1\tready",
            "a\tx\tready\tnode",
            "a\t-1\tready\tnode",
            "a\t1\tgone\tnode",
            "a\t1\tready\t",
            "a\t1\tready\tnode\t",
        ];
        for wrong in wrong {
            assert_eq!(wrong.parse::<NodeLine>(), Err(NoLine), "{wrong:?}");
        }
    }
}
