use coffee_core::{
    coverage::Coverage,
    frame::{FrameWriter, JobHead, Loss, PartMeta, Sinks, Stream},
};
use proptest::prelude::*;

use super::*;
use crate::{results::testing::topology, store::damage::withstands};

const KEEP: Duration = Duration::from_secs(1000);
const STREAM: Stream = Stream { origin: 0, shard: 0 };

fn job(number: u64) -> JobId {
    JobId { cluster: 7, number }
}

fn head(number: u64, sinks: u64) -> JobHead {
    let version = topology().version();
    JobHead { job: job(number), topology: version, sinks: Sinks(sinks), strict: false, parameters: vec![0] }
}

fn frame(number: u64, sinks: u64, parts: &[(PartMeta, Vec<u8>)]) -> Bytes {
    let mut writer = FrameWriter::new(&head(number, sinks), Vec::new()).unwrap();
    parts.iter().for_each(|(meta, payload)| writer.part(meta, payload).unwrap());
    writer.finish().into()
}

fn count(rows: u64) -> Count {
    Count { operator: 1, rows_in: rows, rows_out: rows, rejected: 0 }
}

fn rows(port: Port, seq: u64, bytes: usize) -> (PartMeta, Vec<u8>) {
    (PartMeta::Rows { port, stream: STREAM, seq, rows: 1, counts: vec![count(1)] }, vec![seq as u8; bytes])
}

fn empty(port: Port, seq: u64) -> (PartMeta, Vec<u8>) {
    let mut seqs = Coverage::new();
    seqs.insert(seq);
    (PartMeta::Empty { port, stream: STREAM, seqs }, Vec::new())
}

fn end(port: Port, batches: u64, failed: Option<Loss>) -> (PartMeta, Vec<u8>) {
    (PartMeta::End { port, stream: STREAM, batches, counts: vec![count(100)], failed }, Vec::new())
}

fn open(folder: &Path) -> ResultsStore {
    ResultsStore::open(folder, topology(), KEEP).unwrap()
}

/// The ports of the numbers, the words and the rejected rows.
fn ports() -> [Port; 3] {
    ["all-numbers", "all-words", "rejected"].map(|sink| topology().port_of(sink).unwrap())
}

fn piece(payload: Vec<u8>, last: bool) -> Option<ResultsReply> {
    Some(ResultsReply::Piece { payload, last })
}

/// All that a job for the numbers gets: with an empty piece in the middle, and one that is stored in several.
fn answer() -> Vec<(PartMeta, Vec<u8>)> {
    let [numbers, _, rejected] = ports();
    vec![
        rows(numbers, 0, 100),
        empty(numbers, 1),
        rows(numbers, 2, 600_000),
        end(numbers, 3, None),
        empty(rejected, 0),
        end(rejected, 1, None),
    ]
}

fn check_answer(store: &ResultsStore) {
    let [numbers, _, rejected] = ports();
    let pieces: Vec<_> = (0..4).map(|number| store.piece(job(1), numbers, number).unwrap()).collect();
    let expected =
        [piece(vec![0; 100], false), piece(vec![], false), piece(vec![2; 600_000], true), piece(vec![], true)];
    assert!(pieces == expected);
    assert_eq!(store.piece(job(1), rejected, 0).unwrap(), piece(vec![], true));
    assert_eq!(store.counts(job(1)).unwrap(), Some(ResultsReply::Counts(vec![count(202)])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_result_is_the_same_in_any_order_with_repetitions_and_restarts(
        order in Just((0..6usize).cycle().take(12).collect::<Vec<_>>()).prop_shuffle(),
        cuts in prop::collection::vec(1..4usize, 12),
        restarts in prop::collection::vec(any::<bool>(), 12),
    ) {
        let folder = tempfile::tempdir()?;
        let mut store = open(folder.path());
        let parts = answer();
        let mut news = Vec::new();
        let mut rest = order.as_slice();
        for (cut, restart) in cuts.into_iter().zip(restarts) {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            let frames: Vec<Bytes> = now.iter().map(|at| frame(1, 1, &parts[*at..=*at])).collect();
            news.extend(store.put(&frames, 5)?);
            if restart {
                drop(store);
                store = open(folder.path());
            }
        }
        check_answer(&store);
        let [numbers, _, rejected] = ports();
        prop_assert_eq!(news.pop(), Some(News::Complete(job(1))));
        news.sort_by_key(|news| matches!(news, News::Result(_, port) if *port == rejected));
        prop_assert_eq!(news, [News::Result(job(1), numbers), News::Result(job(1), rejected)]);
        prop_assert_eq!(store.untold()?, [job(1)]);
    }
}

#[test]
fn nothing_of_a_result_is_given_before_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let [numbers, words, _] = ports();
    assert_eq!(store.piece(job(1), numbers, 0).unwrap(), None);
    let answer = answer();
    store.put(&[frame(1, 3, &answer[..3])], 5).unwrap();
    assert_eq!(store.piece(job(1), numbers, 0).unwrap(), Some(ResultsReply::NotYet));
    assert_eq!(store.put(&[frame(1, 3, &answer[3..])], 5).unwrap().len(), 2, "the words are missing");
    assert_eq!(store.piece(job(1), words, 0).unwrap(), Some(ResultsReply::NotYet));
    assert_eq!(store.counts(job(1)).unwrap(), Some(ResultsReply::NotYet));
    assert_eq!((store.untold().unwrap(), store.incomplete().unwrap()), (vec![], vec![job(1)]));
    assert!(store.piece(job(1), numbers, 0).unwrap() == piece(vec![0; 100], false), "it does not wait for others");
}

#[test]
fn a_result_that_can_t_be_had_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let [numbers, words, rejected] = ports();
    let loss = Loss { stream: STREAM, seq: 9, reason: "five deaths".into() };
    let lost = (PartMeta::Lost { port: words, loss: loss.clone() }, Vec::new());
    let parts = [end(numbers, 0, Some(loss)), lost, end(rejected, 0, None)];
    let news = store.put(&[frame(1, 3, &parts)], 5).unwrap();
    assert_eq!(news.last(), Some(&News::Complete(job(1))));
    for port in [numbers, words] {
        let Some(ResultsReply::Failed { reason }) = store.piece(job(1), port, 0).unwrap() else {
            panic!("it has failed")
        };
        assert!(reason.starts_with("batch 9 of ") && reason.ends_with(" was given up: five deaths"), "{reason}");
    }
    assert_eq!(store.without(job(1)).unwrap().len(), 2);
}

#[test]
fn what_has_ended_incomplete_is_dropped_and_what_is_complete_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put(&[frame(1, 1, &answer()), frame(2, 1, &answer()[..3])], 5).unwrap();
    for number in 1..=3 {
        store.discard_incomplete(job(number)).unwrap();
    }
    check_answer(&store);
    assert_eq!(store.counts(job(2)).unwrap(), None);
    assert!(store.incomplete().unwrap().is_empty());
    // What is put again starts anew.
    store.put(&[frame(2, 1, &answer()[3..])], 5).unwrap();
    assert_eq!(store.incomplete().unwrap(), [job(2)]);
    store.discard(job(1)).unwrap();
    assert_eq!(store.counts(job(1)).unwrap(), None);
}

#[test]
fn results_are_dropped_an_hour_after_they_were_taken_or_when_nobody_comes() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Duration::from_secs(24 * 60 * 60);
    let store = ResultsStore::open(folder.path(), topology(), keep).unwrap();
    let answer = answer();
    store.put(&[frame(1, 1, &answer), frame(2, 1, &answer), frame(3, 1, &answer[..2])], 1000).unwrap();
    store.told(job(1)).unwrap();
    assert_eq!(store.untold().unwrap(), [job(2)]);
    assert!(store.taken(job(1), 2000).unwrap());
    assert!(store.taken(job(3), 2000).unwrap(), "which has nothing to be taken yet");
    assert!(!store.taken(job(4), 2000).unwrap());
    let hour = TAKEN.as_millis() as u64;
    store.expire(2000 + hour - 1).unwrap();
    assert!(store.counts(job(1)).unwrap().is_some());
    store.taken(job(1), 2000 + hour).unwrap(); // the first one counts
    store.expire(2000 + hour).unwrap();
    assert_eq!(store.counts(job(1)).unwrap(), None);
    let day = keep.as_millis() as u64;
    store.expire(1000 + day - 1).unwrap();
    assert!(store.counts(job(2)).unwrap().is_some());
    store.expire(1000 + day).unwrap();
    assert_eq!(store.counts(job(2)).unwrap(), None);
    assert_eq!(store.counts(job(3)).unwrap(), Some(ResultsReply::NotYet), "it has not ended");
}

#[test]
fn what_is_no_frame_for_the_client_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let words = ports()[1];
    let foreign = frame(1, 1, &[rows(words, 0, 1)]);
    for wrong in [Bytes::from_static(b"no frame"), foreign, frame(2, 1, &answer()).slice(..200)] {
        assert!(store.put(&[frame(1, 1, &answer()), wrong], 5).is_err());
        assert_eq!(store.counts(job(1)).unwrap(), None);
    }
}

#[test]
fn damaged_results_are_told_or_whole() {
    let fill = |folder: &Path| -> Box<dyn std::any::Any> {
        let store = open(folder);
        store.put(&[frame(1, 1, &answer())], 5).unwrap();
        store.put(&[frame(2, 1, &answer()[..3])], 6).unwrap();
        store.told(job(1)).unwrap();
        Box::new(store)
    };
    let [numbers, ..] = ports();
    withstands("results", fill, |folder| {
        let store = ResultsStore::open(folder, topology(), KEEP)?;
        let pieces: Result<Vec<_>, _> = (0..4).map(|number| store.piece(job(1), numbers, number)).collect();
        Ok((pieces?, store.counts(job(1))?, store.counts(job(2))?, store.untold()?, store.incomplete()?))
    });
}
