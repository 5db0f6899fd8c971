//! A job as a program asks for it, wherever it is to be run.

use std::{collections::BTreeMap, fmt, sync::Arc};

use coffee_core::{
    codec::DecodeError,
    exec::REJECTED,
    frame::{JobHead, JobId, Sinks},
    operator::Row,
    plan::{self, ParametersError, SourceId, SourceInfo, Topology},
};

use super::{JobSpec, Manifest};
use crate::{
    feed::{Feed, FeedError, OnceFeed, RowsFeed, TextFeed},
    input::Table,
};

/// Bytes of a chunk, unless said otherwise: large, as what is folded within one batch does not travel; and small enough for
/// the cache.
pub(crate) const CHUNK_BYTES: u32 = 1 << 20;

/// What a program asks of a pipeline: parameters, results, and data. The same job runs in this process by
/// [`run_embedded`](Job::run_embedded), in a cluster by a [`Client`](crate::client::Client), and among simulated deaths by a
/// [`Simulation`](crate::simulation::Simulation); the answer is the same.
pub struct Job<'a> {
    topology: Arc<Topology>,
    parameters: Vec<u8>,
    /// What is asked for; `None` as long as nothing is named, for all.
    asked: Option<Sinks>,
    /// A sink that was named, and is not in the plan.
    unknown_sink: Option<String>,
    strict: bool,
    chunk_bytes: u32,
    feeds: BTreeMap<String, Box<dyn Feed + 'a>>,
}

/// Why a job can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// A source that the job needs has no data.
    #[error("source {0:?} has nothing to read")]
    NoFeed(String),
    /// It asks for a result that the plan does not have.
    #[error("the plan has no sink {0:?}")]
    UnknownSink(String),
    /// There is data for a source that the plan does not have.
    #[error("the plan has no source {0:?}")]
    UnknownSource(String),
    /// The parameters are not the plan's.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The parameters can't be used with this plan.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The data can't be described.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl<'a> Job<'a> {
    /// A job with these parameters, for all sinks, without data.
    ///
    /// # Errors
    /// Where the parameters are of another type than the plan's, or can't be encoded.
    pub fn new<P: Row>(topology: &Arc<Topology>, parameters: &P) -> Result<Self, JobError> {
        Ok(Job {
            topology: topology.clone(),
            parameters: topology.plan().encode_parameters(parameters)?,
            asked: None,
            unknown_sink: None,
            strict: false,
            chunk_bytes: CHUNK_BYTES,
            feeds: BTreeMap::new(),
        })
    }

    /// Asks for this result, by its [`SinkId`](plan::SinkId) or name, and not for all: called again, for that one too. Sources that
    /// none of them needs are not read. That the plan has no such sink is an error of the run.
    #[must_use]
    pub fn ask(mut self, sink: impl AsRef<str>) -> Self {
        let sink = sink.as_ref();
        match self.topology.plan().sinks().position(|known| known == sink) {
            Some(at) => self.asked = Some(self.asked.unwrap_or(Sinks::NONE).with(at)),
            None => self.unknown_sink = Some(sink.to_owned()),
        }
        self
    }

    /// Makes the first rejected row an error.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sets the most bytes of a chunk: 1 MiB, unless it is called. A cluster takes 65 KiB to 7 MiB. The answer does not depend
    /// on it.
    #[must_use]
    pub fn chunk_bytes(mut self, bytes: u32) -> Self {
        self.chunk_bytes = bytes;
        self
    }

    /// The rows of a source. A client goes through them once to describe them and once to send them, and again wherever data is
    /// sent again, so their order must not change. What is
    /// borrowed, like `rows.iter().cloned()`, is not copied for that.
    #[must_use]
    pub fn rows<R: Row, I>(self, source: &SourceId<R>, rows: I) -> Self
    where
        I: IntoIterator<Item = R, IntoIter: Send> + Clone + Send + Sync + 'a,
    {
        self.feed(source.name(), RowsFeed::new(source.name(), rows))
    }

    /// The rows of a source that can be gone through once: for [`run_embedded`](Job::run_embedded) alone, and once.
    #[must_use]
    pub fn rows_once<R: Row, I>(self, source: &SourceId<R>, rows: I) -> Self
    where
        I: IntoIterator<Item = R, IntoIter: Send + 'a>,
    {
        self.feed(source.name(), OnceFeed::new(source.name(), rows.into_iter()))
    }

    /// The text of a source that reads lines: what a file would hold, its header line first, so `include_str!` will do. Other
    /// than with files, chunks may be as small as a line. A line that is longer than a chunk goes to the source whole, in a chunk of
    /// its own; a cluster refuses it ([`FeedError::TooLarge`]), and a header line above 64 KiB, before any is sent.
    #[must_use]
    pub fn text(self, source: &str, text: impl AsRef<[u8]> + Send + Sync + 'a) -> Self {
        self.feed(source, TextFeed::new(source, text))
    }

    /// The files of the source that the table is called by.
    #[must_use]
    pub fn table(self, table: Table) -> Self {
        let source = table.name().to_owned();
        self.feed(&source, table)
    }

    /// The data of a source.
    #[must_use]
    pub fn feed(mut self, source: &str, feed: impl Feed + 'a) -> Self {
        self.feeds.insert(source.to_owned(), Box::new(feed));
        self
    }

    /// The plan, under some placement: what the job asks for does not depend on which.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The sources that the job needs, in the order that they are read.
    ///
    /// # Errors
    /// Where the parameters are not those of the plan, or it asks for a sink that the plan does not have.
    pub fn sources(&self) -> Result<Vec<String>, JobError> {
        Ok(self.needed()?.into_iter().map(|source| source.name).collect())
    }

    /// Bytes of the data that is known of, for showing progress.
    pub fn bytes(&self) -> u64 {
        self.feeds.values().map(|feed| feed.bytes()).sum()
    }

    /// The most bytes of a chunk.
    pub(crate) fn most_chunk_bytes(&self) -> usize {
        self.chunk_bytes as usize
    }

    /// What the frames of the job of this id say of it.
    pub(crate) fn head(&self, job: JobId) -> JobHead {
        let Job { topology, strict, parameters, .. } = self;
        let (topology, sinks) = (topology.version(), self.sinks());
        JobHead { job, topology, sinks, strict: *strict, parameters: parameters.clone() }
    }

    /// The sources that it needs, and the data of each, in the order that they are read.
    pub(crate) fn fed(&self) -> Result<Vec<(SourceInfo, &(dyn Feed + 'a))>, JobError> {
        let known: Vec<String> = self.topology.sources().into_iter().map(|source| source.name).collect();
        if let Some(unknown) = self.feeds.keys().find(|name| !known.contains(name)) {
            return Err(JobError::UnknownSource(unknown.clone()));
        }
        let fed = self.needed()?.into_iter().map(|source| match self.feeds.get(&source.name) {
            Some(feed) => Ok((source, &**feed)),
            None => Err(JobError::NoFeed(source.name)),
        });
        fed.collect()
    }

    /// What a cluster is asked for. Goes through data that has to be looked at to be described.
    pub(crate) fn spec(&self) -> Result<JobSpec, JobError> {
        self.spec_with_chunks(self.chunk_bytes)
    }

    /// The same, saying that chunks have up to so many bytes.
    pub(crate) fn spec_with_chunks(&self, chunk_bytes: u32) -> Result<JobSpec, JobError> {
        let tables = self.fed()?.into_iter().map(|(_, feed)| feed.manifest(chunk_bytes));
        let manifest = Manifest { chunk_bytes, tables: tables.collect::<Result<_, _>>()? };
        let Job { parameters, strict, .. } = self;
        Ok(JobSpec { parameters: parameters.clone(), sinks: self.sinks(), strict: *strict, manifest })
    }

    /// The names of all results that it has, the rejected rows included.
    pub(crate) fn results(&self) -> Vec<String> {
        let asked = self.topology.plan().sinks().enumerate().filter(|(at, _)| self.sinks().contains(*at));
        asked.map(|(_, sink)| sink).chain([REJECTED]).map(str::to_owned).collect()
    }

    fn sinks(&self) -> Sinks {
        self.asked.unwrap_or(Sinks::ALL)
    }

    fn needed(&self) -> Result<Vec<SourceInfo>, JobError> {
        if let Some(unknown) = &self.unknown_sink {
            return Err(JobError::UnknownSink(unknown.clone()));
        }
        let job = plan::Job::new(&self.topology, &self.head(JobId::default()))?;
        Ok(job.sources(&self.topology))
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Job { strict, chunk_bytes, feeds, .. } = self;
        f.debug_struct("Job")
            .field("sinks", &self.sinks())
            .field("strict", strict)
            .field("chunk_bytes", chunk_bytes)
            .field("feeds", &feeds.keys())
            .finish_non_exhaustive()
    }
}
