//! What is kept of one job, and how it may change: forward only. No I/O, no clock.

use std::collections::BTreeSet;

use coffee_core::frame::{JobHead, JobId};
use serde::{Deserialize, Serialize};

use crate::{
    access::{Caller, Owner},
    job::{ErrorReport, JobSpec, Mark},
};

/// Reports that are kept with a job; the first ones, as the others mostly follow from them.
pub(super) const REPORTS: usize = 100;

/// Sessions by which repeated calls are known. More are not under way at a time.
const SESSIONS: usize = 8;

/// A shard of a stateful stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Shard {
    /// The stage, by its index in the topology.
    pub stage: u16,
    /// Which shard of it.
    pub shard: u16,
}

/// What a job was minted with: it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Minted {
    /// Who began it: its owner.
    pub caller: Caller,
    /// By which a repetition is known among its owner's.
    pub request: u128,
    /// The version of the topology that it was minted for.
    pub topology: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it asks for.
    pub spec: JobSpec,
}

impl Minted {
    /// What all frames of the job say of it.
    pub fn head(&self, job: JobId) -> JobHead {
        let JobSpec { parameters, sinks, strict, .. } = &self.spec;
        JobHead { job, topology: self.topology, sinks: *sinks, strict: *strict, parameters: parameters.clone() }
    }

    /// By which it is known whether a request has minted it.
    pub fn key(&self) -> (Owner, u128) {
        (self.caller.owner.clone(), self.request)
    }

    /// Bytes on disk that the manifest lists.
    pub fn bytes(&self) -> u64 {
        let files = self.spec.manifest.tables.iter().flat_map(|table| &table.files);
        files.fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// In what a client's data or parameters are not those of the job; `None` where they are.
    pub fn difference(&self, spec: &JobSpec) -> Option<String> {
        let (was, is) = (&self.spec.manifest, &spec.manifest);
        let parameters = |spec: &JobSpec| (spec.parameters.clone(), spec.sinks, spec.strict);
        if parameters(&self.spec) != parameters(spec) {
            return Some("the parameters or results asked for".into());
        }
        if was.chunk_bytes != is.chunk_bytes {
            return Some(format!("chunks of {} bytes, not of {}", was.chunk_bytes, is.chunk_bytes));
        }
        if was.tables.len() != is.tables.len() {
            return Some("other tables".into());
        }
        let differs = was.tables.iter().zip(&is.tables).find(|(was, is)| was != is);
        differs.map(|(was, _)| format!("other files of table {}", was.name))
    }
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// These results can't be had.
    Done {
        without: Vec<String>,
    },
    Failed {
        reason: String,
    },
    Cancelled,
}

/// Who may still hold something of a job that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cleanup {
    /// All shards of a topology but these.
    Open {
        /// The topology's version: the shards of another are others.
        topology: u64,
        /// Those that hold nothing any more.
        clean: BTreeSet<Shard>,
    },
    /// Nobody.
    Closed,
}

/// Where a job is on its way: `Waiting -> Running -> Ended`, or straight to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    Waiting,
    Running,
    Ended { ending: Ending, at_ms: u64, cleanup: Cleanup },
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub phase: Phase,
    /// That of the newest session; 0: there was none.
    pub epoch: u64,
    /// The last few sessions, the newest at the end.
    sessions: Vec<u128>,
    /// One a table, by index.
    pub marks: Vec<Mark>,
    /// The stores that shards have registered with.
    stores: Vec<(Shard, u64)>,
    /// What was reported about it, oldest first.
    pub reports: Vec<ErrorReport>,
}

/// A call that comes too late to change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outdated;

impl Progress {
    /// That of a job that was just minted, with so many tables.
    pub fn new(tables: usize) -> Self {
        let marks = (0..tables).map(|table| Mark { table: table as u16, ..Mark::default() }).collect();
        Progress {
            phase: Phase::Waiting,
            epoch: 0,
            sessions: Vec::new(),
            marks,
            stores: Vec::new(),
            reports: Vec::new(),
        }
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Whether all that was asked for is there.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Ended { ending: Ending::Done { .. }, .. })
    }

    /// The results of a job that is done which can't be had.
    pub fn without(&self) -> &[String] {
        match &self.phase {
            Phase::Ended { ending: Ending::Done { without }, .. } => without,
            _ => &[],
        }
    }

    /// Whether all of its tables are finished.
    pub fn is_uploaded(&self) -> bool {
        self.marks.iter().all(|mark| mark.finished)
    }

    /// Makes a session the newest; returns whether it was not yet, or `Outdated` where another has followed it.
    pub fn attach(&mut self, session: u128) -> Result<bool, Outdated> {
        if self.sessions.last() == Some(&session) {
            return Ok(false);
        }
        if self.sessions.contains(&session) {
            return Err(Outdated);
        }
        if self.sessions.len() == SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
        // What is kept may say anything of it.
        self.epoch = self.epoch.saturating_add(1);
        Ok(true)
    }

    /// Moves marks forward; returns whether any moved. Lower ones, and those of no table, are passed over.
    pub fn advance(&mut self, marks: &[Mark]) -> bool {
        let mut moved = false;
        for mark in marks {
            let known = self.marks.get_mut(usize::from(mark.table));
            // A table that is finished has no more chunks.
            let lower = |known: &Mark| known.finished || (mark.next, mark.finished) <= (known.next, known.finished);
            if let Some(known) = known.filter(|known| !lower(known)) {
                *known = *mark;
                moved = true;
            }
        }
        moved
    }

    /// The store that a shard has registered with.
    pub fn store(&self, shard: Shard) -> Option<u64> {
        self.stores.iter().find(|(known, _)| *known == shard).map(|(_, store)| *store)
    }

    /// Registers a shard's store; returns whether it is new, or `Outdated` where the shard had another.
    pub fn register(&mut self, shard: Shard, store: u64) -> Result<bool, Outdated> {
        match self.store(shard) {
            Some(known) if known == store => Ok(false),
            Some(_) => Err(Outdated),
            None => {
                self.stores.push((shard, store));
                Ok(true)
            }
        }
    }

    /// Keeps a report; returns whether it is new and there was room.
    pub fn note(&mut self, report: &ErrorReport) -> bool {
        let takes = self.reports.len() < REPORTS && !self.reports.contains(report);
        if takes {
            self.reports.push(report.clone());
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_made_once_and_does_not_come_back() {
        let mut progress = Progress::new(0);
        assert_eq!(progress.attach(7), Ok(true));
        assert_eq!(progress.attach(7), Ok(false));
        assert_eq!((progress.attach(8), progress.epoch), (Ok(true), 2));
        assert_eq!((progress.attach(7), progress.epoch), (Err(Outdated), 2));
        for session in 100..200 {
            assert_eq!(progress.attach(session), Ok(true));
        }
        assert_eq!((progress.sessions.len(), progress.epoch), (SESSIONS, 102));
    }

    #[test]
    fn a_kept_epoch_may_be_the_last() {
        let mut progress = Progress { epoch: u64::MAX, ..Progress::new(0) };
        assert_eq!((progress.attach(7), progress.epoch), (Ok(true), u64::MAX));
    }

    #[test]
    fn marks_move_forward_only() {
        let mut progress = Progress::new(2);
        let mark = |table, next, finished| Mark { table, next, finished, ..Mark::default() };
        assert!(!progress.is_uploaded());
        assert!(progress.advance(&[mark(0, 3, false), mark(9, 1, false)]));
        assert!(!progress.advance(&[mark(0, 2, true), mark(0, 3, false)]));
        assert!(progress.advance(&[mark(0, 3, true), mark(1, 0, true)]));
        assert!(!progress.advance(&[mark(0, 4, false), mark(0, 4, true)]));
        assert_eq!(progress.marks, [mark(0, 3, true), mark(1, 0, true)]);
        assert!(progress.is_uploaded());
    }

    #[test]
    fn reports_are_kept_once_and_not_without_end() {
        let mut progress = Progress::new(0);
        let report = |at_ms| ErrorReport { at_ms, node: "n".into(), job: None, text: "t".into() };
        assert!(progress.note(&report(0)));
        assert!(!progress.note(&report(0)));
        assert!((1..100).all(|at_ms| progress.note(&report(at_ms))));
        assert!(!progress.note(&report(100)));
        assert_eq!(progress.reports.len(), REPORTS);
    }
}
