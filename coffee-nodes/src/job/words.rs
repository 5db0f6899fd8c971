//! What a client submits, and how far a job is: the words that client, gateway and query node share.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use coffee_core::frame::{JobId, Sinks};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    access::Owner,
    bounded,
    input::{LINE_LIMIT, is_compressed},
};

/// The most bytes of a job's parameters that are decoded (1 MiB).
const MAX_PARAMETERS: usize = 1 << 20;

/// The most tables and files, counted together, that a manifest is decoded with.
const MAX_FILES: usize = 16 << 10;

/// No content is deflated to less than this part of it: two bits for 258 bytes.
const DEFLATED: u64 = 1032;

/// The most bytes of a table's or file's name.
const MAX_NAME: usize = 4096;

/// All that a client asks for, fixed when its job is minted: resuming with another is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The plan's parameters, encoded as [`Plan::encode_parameters`](coffee_core::plan::Plan::encode_parameters) does.
    #[serde(deserialize_with = "bounded::bytes::<_, MAX_PARAMETERS>")]
    pub parameters: Vec<u8>,
    /// Which of the plan's sinks.
    pub sinks: Sinks,
    /// Whether the first rejected row fails the job.
    pub strict: bool,
    /// What it will send.
    pub manifest: Manifest,
}

/// The data of a job, described before any of it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The most bytes of a chunk: with the files it decides where they are cut.
    pub chunk_bytes: u32,
    /// The tables, in the order that they are sent.
    #[serde(deserialize_with = "tables")]
    pub tables: Vec<TableManifest>,
}

/// One table of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableManifest {
    /// The plan's source that it feeds.
    #[serde(deserialize_with = "bounded::text::<_, MAX_NAME>")]
    pub name: String,
    /// Its files, in reading order.
    #[serde(deserialize_with = "bounded::items::<_, _, MAX_FILES>")]
    pub files: Vec<FileManifest>,
}

impl TableManifest {
    /// The most bytes that all of its chunks have together.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.most_bytes()))
    }
}

/// One file of a table: enough to tell whether it is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileManifest {
    /// Its name without its folder.
    #[serde(deserialize_with = "bounded::text::<_, MAX_NAME>")]
    pub name: String,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// A hash of its first and last bytes on disk.
    pub ends: u64,
    /// Its header line, without its LF.
    #[serde(deserialize_with = "bounded::bytes::<_, { 2 * LINE_LIMIT }>")]
    pub header: Vec<u8>,
}

impl FileManifest {
    /// The most bytes that its content can have: those on disk, or what deflate can make of them at best.
    fn most_bytes(&self) -> u64 {
        if is_compressed(Path::new(&self.name)) { self.bytes.saturating_mul(DEFLATED) } else { self.bytes }
    }
}

/// Few enough to take a few MiB, whoever sends them: an empty table is encoded in 2 bytes, an empty file in 4.
fn tables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TableManifest>, D::Error> {
    bounded::weighed(deserializer, MAX_FILES, |table: &TableManifest| 1 + table.files.len())
}

/// A place between two chunks of a table: where the next one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Which file of the table, counted from 0.
    pub file: u32,
    /// Where in the file's content (uncompressed, header included), in bytes; 0: behind its header.
    pub offset: u64,
    /// The number in its file of the line that begins there; 0: the first behind the header.
    pub line: u64,
}

/// The low-water mark of one table: all before it is confirmed. It may lag, as sending again does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The table, by its index in the manifest.
    pub table: u16,
    /// The next chunk: so many are confirmed.
    pub next: u64,
    /// Where the next chunk begins.
    pub place: Place,
    /// Bytes of the chunks that are confirmed, as gateways have counted them.
    pub bytes: u64,
    /// Whether the end of the table is confirmed as well.
    pub finished: bool,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Minted, and waits until fewer jobs run.
    Waiting {
        /// How many jobs are before it.
        before: u32,
    },
    /// Admitted: takes data and computes.
    Running,
    /// All that it asked for is there.
    Done,
    /// Given up.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// Its client, or an operator, cancelled it.
    Cancelled,
}

impl JobState {
    /// Whether nothing of it will change any more.
    pub fn is_ended(&self) -> bool {
        !matches!(self, JobState::Waiting { .. } | JobState::Running)
    }
}

/// One line of the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The job.
    pub job: JobId,
    /// How far it is.
    pub state: JobState,
    /// When it was minted, in milliseconds since 1970.
    pub minted_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// Bytes on disk that its manifest lists.
    pub bytes: u64,
    /// Chunks that are confirmed.
    pub chunks: u64,
    /// Whether all of its tables are finished.
    pub uploaded: bool,
    /// The results that can't be had, of a job that is done.
    pub without: Vec<String>,
    /// Whose it is, where an operator asks.
    pub owner: Option<Owner>,
}

/// Something that went wrong somewhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The node that reports it.
    pub node: String,
    /// The job that it is about.
    pub job: Option<JobId>,
    /// What happened, in words.
    pub text: String,
}

impl ErrorReport {
    /// A report of what happens right now.
    pub fn now(node: &str, job: Option<JobId>, text: String) -> Self {
        ErrorReport { at_ms: now_ms(), node: node.to_owned(), job, text }
    }
}

/// The time of day, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
