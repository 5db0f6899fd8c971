//! How far a run or a submission is.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::client::StageProgress;

/// How far a run is, for whoever watches it from another thread.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    total: Arc<AtomicU64>,
    pub(super) read: Arc<AtomicU64>,
    waiting: Arc<AtomicU32>,
    stages: Arc<Mutex<Vec<StageProgress>>>,
}

impl Progress {
    /// Bytes on disk to read; 0 until that is known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes on disk read so far; of a submission, sent. Goes back when they have to be sent again.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How many jobs are before a submitted one, as the cluster said last; 0 for one that runs.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How far the stages of a submitted job are, as the cluster said last; none where it has not said anything.
    pub fn stages(&self) -> Vec<StageProgress> {
        self.stages.lock().clone()
    }

    pub(super) fn set_stages(&self, stages: &[StageProgress]) {
        *self.stages.lock() = stages.to_vec();
    }

    pub(super) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_read(&self, bytes: u64) {
        self.waiting.store(0, Ordering::Relaxed);
        self.read.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_waiting(&self, before: u32) {
        self.waiting.store(before, Ordering::Relaxed);
    }
}
