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

/// It is no line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is not of a name, a process's number and a state, with tabs between")]
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
}

impl FromStr for NodeLine {
    type Err = NoLine;

    fn from_str(line: &str) -> Result<Self, NoLine> {
        let [name, pid, state] = line.split('\t').collect::<Vec<_>>()[..] else { return Err(NoLine) };
        let pid = NonZeroU32::new(pid.parse().map_err(|_| NoLine)?);
        Ok(NodeLine { name: name.to_owned(), pid, state: state.parse()? })
    }
}

/// The table in a cluster's folder, as it is at this instant.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<NodeLine>> {
    let text = fs::read_to_string(folder.join("nodes.tsv"))?;
    text.lines().map(|line| line.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))).collect()
}

/// One line: a node's name, its process (0: none) and its state, with tabs between.
pub(super) type Line<'a> = (&'a str, u32, NodeState);

/// Writes the table anew; a reader sees the old or the new one.
pub(super) fn write<'a>(folder: &Path, nodes: impl Iterator<Item = Line<'a>>) -> io::Result<()> {
    let text: String = nodes.map(|(name, pid, state)| format!("{name}\t{pid}\t{state}\n")).collect();
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
        let lines = [("a", 7, NodeState::Ready), ("b.1", 0, NodeState::Dead), ("c-0", 1, NodeState::Starting)];
        write(folder.path(), lines.into_iter()).unwrap();
        let read = read(folder.path()).unwrap().into_iter();
        let read: Vec<_> = read.map(|node| (node.name, node.pid.map_or(0, NonZeroU32::get), node.state)).collect();
        assert_eq!(read, lines.map(|(name, pid, state)| (name.to_owned(), pid, state)));
        for wrong in ["a\t1", "a\tx\tready", "a\t-1\tready", "a\t1\tgone", "a\t1\tready\t"] {
            assert_eq!(wrong.parse::<NodeLine>(), Err(NoLine), "{wrong:?}");
        }
    }
}
