//! What to start, and why it can't be done.

use std::{ffi::OsString, io, path::PathBuf};

use crate::monitor::{Key, MonitorId, Peer};

/// One node to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCommand {
    /// Its name, which its log is called by.
    pub name: String,
    /// The arguments of its process.
    pub arguments: Vec<OsString>,
    /// Which monitor it is, if it is one.
    pub monitor: Option<MonitorId>,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The program that each node is.
    pub program: PathBuf,
    /// What all of them have in their environment beside this process's own: secrets go here, as arguments can be seen by all.
    pub environment: Vec<(OsString, OsString)>,
    /// What none of them gets of this process's own environment.
    pub unset: Vec<OsString>,
    /// What a node that was ready has in its environment besides when it is started again, by what it first said about itself.
    pub again: fn(&str) -> Vec<(OsString, OsString)>,
    /// The nodes; those before are started first, but not waited for.
    pub nodes: Vec<NodeCommand>,
    /// Where the monitors among them listen.
    pub monitors: Vec<Peer>,
    /// What all of them have, and the monitors know them by.
    pub key: Key,
    /// The folder for logs and `nodes.tsv`; made if it is not there.
    pub state: PathBuf,
}

/// A cluster could not be started, or kept alive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpError {
    /// The folder can't be used.
    #[error("the folder {path:?} can't be used")]
    State {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The monitors can't be talked to.
    #[error("the monitors can't be reached")]
    Monitors(#[source] io::Error),
    /// Another cluster runs in the folder.
    #[error("the folder {0:?} is in use by another cluster on this machine")]
    InUse(PathBuf),
    /// A process can't be started.
    #[error("node {name} can't be started")]
    Start {
        /// The node.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A node ends again and again before it is ready.
    #[error("node {name} does not get ready: {last}")]
    Failing {
        /// The node.
        name: String,
        /// The last that it said.
        last: String,
    },
    /// Some nodes had to be killed, or ended with an error, at the stop.
    #[error("{0} did not stop in order")]
    Stopping(String),
}
