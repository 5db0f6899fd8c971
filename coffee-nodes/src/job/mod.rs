//! Jobs: what a program asks of a pipeline, and the words that client, gateway and query node share about it.

mod request;
mod words;

pub(crate) use request::CHUNK_BYTES;
pub use request::{Job, JobError};
pub(crate) use words::now_ms;
pub use words::{ErrorReport, FileManifest, JobSpec, JobState, JobSummary, Manifest, Mark, Place, TableManifest};
