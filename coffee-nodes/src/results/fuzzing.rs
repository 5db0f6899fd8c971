//! Targets for fuzzers: what the results node keeps beside the pieces.

use coffee_core::{
    coverage::Coverage,
    frame::{PartMeta, Port, Stream},
    fuzzing::decoded,
};

use super::kept::{Arrived, Kept};

/// What is kept of a job.
pub(crate) fn kept(bytes: &[u8]) {
    decoded::<Kept>(bytes);
}

/// What has come of a result: it takes more, whatever it is.
pub(crate) fn arrived(bytes: &[u8]) {
    let Some(mut arrived) = decoded::<Arrived>(bytes) else { return };
    let (port, stream) = (Port(0), Stream { origin: 0, shard: 0 });
    let counts = arrived.counts.clone();
    let is_well_formed = arrived.coverage.is_well_formed();
    for seq in [0, 1, 7, u64::MAX - 1] {
        arrived.take(&PartMeta::Rows { port, stream, seq, rows: 0, counts: counts.clone() });
    }
    let mut seqs = Coverage::new();
    seqs.insert(3);
    arrived.take(&PartMeta::Empty { port, stream, seqs });
    if is_well_formed {
        assert!(arrived.coverage.is_well_formed());
        assert!([0, 1, 3, 7].into_iter().all(|seq| arrived.coverage.contains(seq)));
    }
    let failed = arrived.failed.clone();
    arrived.take(&PartMeta::End { port, stream, batches: 2, counts, failed: None });
    assert_eq!(arrived.failed, failed);
}
