//! What a query node holds jobs to: the topology, the limits, and what a spec has to be like.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use coffee_core::{
    codec,
    plan::{self, Job, Topology},
};

use super::{
    options::{CheckParameters, QueryOptions},
    record::{Minted, Shard},
};
use crate::{
    RetryPause,
    access::Role,
    cluster::QueryError,
    input::LINE_LIMIT,
    job::{JobSpec, Manifest},
};

/// No job is described in more bytes than this (1 MiB): some thousands of files.
const MAX_SPEC: usize = 1 << 20;

/// All jobs that are known are described in at most so many bytes (64 MiB), as they are held in memory.
pub(super) const MAX_SPECS: usize = 64 << 20;

/// A chunk has room for the longest line, its end, and some more.
const MIN_CHUNK: u32 = LINE_LIMIT as u32 + 1024;

/// A chunk has to fit a message of the gateway's protocol, and a frame (7 MiB).
const MAX_CHUNK: u32 = 7 << 20;

/// No job has more files.
const MAX_FILES: usize = 10_000;

/// The rules of a query node: fixed while it runs.
pub(super) struct Rules {
    topology: Arc<Topology>,
    check: CheckParameters,
    /// The shards that may hold something of a job.
    pub shards: BTreeSet<Shard>,
    pub max_running: usize,
    pub max_waiting: usize,
    pub jobs_per_client: usize,
    pub job_bytes: Option<u64>,
    pub max_known: usize,
    pub client_timeout: Duration,
    pub progress_timeout: Duration,
    pub keep: Duration,
    /// How long to wait when the disk is full.
    pub pause: RetryPause,
}

impl Rules {
    pub fn new(topology: Arc<Topology>, options: QueryOptions) -> Self {
        let stages = (0..).zip(topology.stages());
        let shards = stages.flat_map(|(stage, info)| {
            let shards = match info.role {
                plan::Role::Stateful { shards } => shards,
                plan::Role::Stateless { .. } => 0,
            };
            (0..shards).map(move |shard| Shard { stage, shard })
        });
        Rules {
            shards: shards.collect(),
            topology,
            check: options.check,
            max_running: options.max_running.max(1),
            max_waiting: options.max_waiting,
            jobs_per_client: options.jobs_per_client,
            job_bytes: options.job_bytes,
            max_known: options.max_known.max(1),
            client_timeout: options.client_timeout,
            progress_timeout: options.progress_timeout,
            keep: options.keep,
            pause: options.pause,
        }
    }

    /// The version of the topology that jobs are minted for and served under.
    pub fn version(&self) -> u64 {
        self.topology.version()
    }

    /// A shard for people.
    pub fn name_of(&self, Shard { stage, shard }: Shard) -> String {
        format!("{}.{shard}", self.topology.stage_name(stage))
    }

    /// Checks what a job is to be minted with; returns how many bytes describe it, or what is wrong with it.
    pub fn check(&self, minted: &Minted) -> Result<usize, QueryError> {
        self.check_bytes(minted)?;
        self.check_spec(minted).map_err(QueryError::Invalid)
    }

    fn check_spec(&self, minted: &Minted) -> Result<usize, String> {
        let bytes = size(minted);
        if bytes > MAX_SPEC {
            return Err(format!("{bytes} bytes describe the job, {MAX_SPEC} may"));
        }
        self.check_sinks(&minted.spec)?;
        let job = Job::new(&self.topology, &minted.head(Default::default()));
        let job = job.map_err(|error| format!("the parameters can't be read: {error}"))?;
        (self.check)(&minted.spec.parameters)?;
        let needed = job.sources(&self.topology).into_iter().map(|source| source.name);
        check_tables(&minted.spec.manifest, needed.collect())?;
        check_files(&minted.spec.manifest)?;
        Ok(bytes)
    }

    fn check_bytes(&self, minted: &Minted) -> Result<(), QueryError> {
        let most = self.job_bytes.filter(|_| minted.caller.role == Role::Client);
        match (most, minted.bytes()) {
            (Some(most), bytes) if bytes > most => Err(QueryError::TooLarge { bytes, most }),
            _ => Ok(()),
        }
    }

    fn check_sinks(&self, spec: &JobSpec) -> Result<(), String> {
        let mut sinks = 0..self.topology.plan().sinks().count();
        if sinks.any(|sink| spec.sinks.contains(sink)) { Ok(()) } else { Err("no result is asked for".into()) }
    }
}

/// How many bytes describe a job.
pub(super) fn size(minted: &Minted) -> usize {
    let mut bytes = Vec::new();
    // Plain data always encodes; what would not is too large.
    codec::encode(minted, &mut bytes).map_or(usize::MAX, |()| bytes.len())
}

/// The tables have to be those that the job needs, each once, in any order.
fn check_tables(manifest: &Manifest, mut needed: Vec<String>) -> Result<(), String> {
    for table in &manifest.tables {
        match needed.iter().position(|name| *name == table.name) {
            Some(at) => drop(needed.swap_remove(at)),
            None => return Err(format!("table {:?} is not needed, or twice there", table.name)),
        }
    }
    needed.first().map_or(Ok(()), |missing| Err(format!("table {missing:?} is missing")))
}

fn check_files(manifest: &Manifest) -> Result<(), String> {
    if !(MIN_CHUNK..=MAX_CHUNK).contains(&manifest.chunk_bytes) {
        let given = manifest.chunk_bytes;
        return Err(format!("chunks have {MIN_CHUNK} to {MAX_CHUNK} bytes, not {given}"));
    }
    let files = || manifest.tables.iter().flat_map(|table| &table.files);
    if files().count() > MAX_FILES {
        return Err(format!("there are more than {MAX_FILES} files"));
    }
    match files().find(|file| file.header.len() > LINE_LIMIT) {
        Some(file) => Err(format!("the header of file {:?} is longer than {LINE_LIMIT} bytes", file.name)),
        None => Ok(()),
    }
}
