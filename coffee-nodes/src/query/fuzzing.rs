//! Targets for fuzzers: what the query node keeps of a job.

#![expect(clippy::unwrap_used, reason = "a target fails by a panic")]

use coffee_core::{
    frame::{FrameWriter, JobId},
    fuzzing::decoded,
};

use super::record::{Minted, Progress, Shard};

/// What a job was minted with.
pub(crate) fn minted(bytes: &[u8]) {
    let Some(minted) = decoded::<Minted>(bytes) else { return };
    assert_eq!(minted.difference(&minted.spec), None);
    assert_eq!(minted.key().1, minted.request);
    minted.bytes();
    FrameWriter::new(&minted.head(JobId::default()), Vec::new()).unwrap();
}

/// How far a job is: it goes on, whatever it is.
pub(crate) fn progress(bytes: &[u8]) {
    let Some(mut progress) = decoded::<Progress>(bytes) else { return };
    let marks = progress.marks.clone();
    // A mark that stands at another's place is passed over, or moves that one.
    progress.advance(&marks);
    assert!(!progress.advance(&progress.marks.clone()) || marks != progress.marks);
    assert!(!progress.is_done() || progress.has_ended());
    assert!(progress.is_done() || progress.without().is_empty());
    let (session, epoch) = (u128::MAX, progress.epoch);
    if progress.attach(session) == Ok(true) {
        assert_eq!(progress.attach(session), Ok(false));
        assert!(progress.epoch > epoch || epoch == u64::MAX);
    }
    let shard = Shard { stage: u16::MAX, shard: 0 };
    if let Ok(true) = progress.register(shard, 7) {
        assert_eq!(progress.store(shard), Some(7));
        assert!(progress.register(shard, 8).is_err());
    }
    if let Some(report) = progress.reports.first().cloned() {
        assert!(!progress.note(&report), "it is kept once");
    }
}
