//! `nodes.tsv`: which nodes there are, for whoever watches or disturbs the cluster.

use std::{fmt, fs, io, path::Path};

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
