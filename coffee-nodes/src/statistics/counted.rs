//! A transport and a store that count what passes, around any other.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{
    frame::{JobId, Stream},
    node::{PublishId, Record, Tag},
    plan::Target,
};
use crossbeam_channel::Sender;

use super::{
    Counters,
    work::{self, Seen},
};
use crate::runner::{Incoming, Store, StoreError, Transport, TransportError};

/// Counts a node's frames.
pub(crate) struct Counted<'a> {
    transport: &'a mut dyn Transport,
    counters: &'a Counters,
    /// Deliveries that are not acked: what becomes of them is not seen here any more once this is dropped.
    in_hand: u64,
    turn: Turn,
    /// Since when frames wait for their confirms; mostly they come in this order. As many as the node lets wait.
    unconfirmed: VecDeque<(PublishId, Instant)>,
    ends: Option<&'a Sender<(JobId, Stream)>>,
}

/// What the loop does with the thing that came last.
#[derive(Default)]
struct Turn {
    /// Since when; `None` before the first.
    since: Option<Instant>,
    /// Whether it is a frame.
    is_step: bool,
    /// Whose frame came or went last: what has neither, as a commit, is mostly of that job.
    job: Option<JobId>,
    /// The wait for room where frames went.
    waited: Duration,
    /// Whether a stream's end went.
    ended: bool,
}

impl<'a> Counted<'a> {
    pub fn new(transport: &'a mut dyn Transport, counters: &'a Counters) -> Self {
        let (turn, unconfirmed) = (Turn::default(), VecDeque::new());
        Counted { transport, counters, in_hand: 0, turn, unconfirmed, ends: None }
    }

    /// Says which streams end, as far as there is room.
    #[must_use]
    pub fn ends(mut self, ends: &'a Sender<(JobId, Stream)>) -> Self {
        self.ends = Some(ends);
        self
    }

    fn count(&mut self, body: &[u8]) {
        self.in_hand += 1;
        self.counters.came(body.len());
        let batch = |job, Stream { origin, shard }, seq, rows| {
            log::trace!("{} a batch of stream {origin}.{shard} with {rows} rows", self.counters.trail(job).seq(seq));
        };
        let Some(Seen { job, work, ends }) = work::brought(body, batch) else { return };
        self.turn.job = Some(job);
        if self.counters.worked(job, work) {
            log::info!("{} its first frame is here", self.counters.trail(job));
        }
        for (stream, batches) in ends {
            let Stream { origin, shard } = stream;
            log::info!("{} stream {origin}.{shard} ends after {batches} batches", self.counters.trail(job));
            let _ = self.ends.map(|ends| ends.try_send((job, stream)));
        }
    }

    /// The turn is over.
    fn account(&mut self) {
        let Turn { since, is_step, job, waited, ended } = std::mem::take(&mut self.turn);
        self.turn.job = job;
        let Some(took) = since.map(|since| since.elapsed()) else { return };
        if is_step {
            self.counters.stepped(took);
        }
        if let Some(job) = job {
            self.counters.busy(job, took.saturating_sub(waited));
        }
        if ended {
            self.counters.hurry();
        }
    }

    fn confirmed(&mut self, id: PublishId) {
        let at = self.unconfirmed.iter().position(|(waits, _)| *waits == id);
        if let Some((_, since)) = at.and_then(|at| self.unconfirmed.remove(at)) {
            self.counters.confirmed(since.elapsed());
        }
    }
}

impl Transport for Counted<'_> {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        self.account();
        let incoming = self.transport.next(wait)?;
        self.turn.since = Some(Instant::now());
        match &incoming {
            Incoming::Delivery(_, body) => {
                self.turn.is_step = true;
                self.count(body);
            }
            Incoming::Confirmed(id) => self.confirmed(*id),
            Incoming::Ended(job) => {
                self.counters.forget(*job);
                self.turn.job = None;
            }
            _ => {}
        }
        Ok(incoming)
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        if to == Target::DeadLetters {
            self.counters.gave_up();
        } else {
            self.counters.went(body.len());
            if let Some(Seen { job, work, ends }) = work::passed_on(&body, self.counters.sources()) {
                self.counters.worked(job, work);
                self.turn.job = Some(job);
                self.turn.ended |= !ends.is_empty();
            }
        }
        let begun = Instant::now();
        self.transport.publish(id, to, body)?;
        let now = Instant::now();
        self.turn.waited += now.saturating_duration_since(begun);
        self.unconfirmed.push_back((id, now));
        Ok(())
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        let known = self.in_hand.min(1);
        self.in_hand -= known;
        self.counters.let_go(known);
        self.transport.ack(tag)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counters.let_go(self.in_hand);
    }
}

/// Counts a node's commits.
pub(crate) struct CountedStore<'a> {
    pub store: &'a mut dyn Store,
    pub counters: &'a Counters,
}

impl CountedStore<'_> {
    fn tell(&self, records: &[Record], took: Duration) {
        let told = if log::log_enabled!(log::Level::Debug) { records } else { &[] };
        for job in told.iter().map(Record::job).collect::<BTreeSet<_>>() {
            let frames = records.iter().filter(|it| matches!(it, Record::Frame { job: of, .. } if *of == job)).count();
            log::debug!("{} {frames} frames are committed, in {took:?}", self.counters.trail(job));
        }
        for record in records {
            if let Record::Emitted { job, operator } = record {
                log::info!("{} all of stream {operator} is sent and confirmed", self.counters.trail(*job));
            }
        }
    }
}

impl Store for CountedStore<'_> {
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let begun = Instant::now();
        let committed = self.store.commit(records);
        let took = begun.elapsed();
        self.counters.committed(took);
        if committed.is_ok() {
            self.tell(records, took);
        }
        committed
    }

    fn forget(&mut self, job: JobId) -> Result<(), StoreError> {
        self.store.forget(job)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, thread};

    use coffee_core::{
        coverage::Coverage,
        frame::{Count, FrameWriter, JobHead, PartMeta, Port, Sinks},
    };
    use crossbeam_channel::bounded;

    use super::*;
    use crate::{
        results::testing::topology,
        statistics::{Statistics, Work},
    };

    /// Delivers these bodies, and takes everything.
    struct Fed(VecDeque<Incoming>);

    impl Transport for Fed {
        fn next(&mut self, _wait: Duration) -> Result<Incoming, TransportError> {
            Ok(self.0.pop_front().unwrap_or(Incoming::Nothing))
        }

        fn publish(&mut self, _id: PublishId, _to: Target, _body: Bytes) -> Result<(), TransportError> {
            Ok(())
        }

        fn ack(&mut self, _tag: Tag) -> Result<(), TransportError> {
            Ok(())
        }
    }

    const JOB: JobId = JobId { cluster: 1, number: 2 };
    const STREAM: Stream = Stream { origin: 3, shard: 0 };

    fn frame(parts: &[PartMeta]) -> Bytes {
        let head = JobHead { job: JOB, topology: 1, sinks: Sinks::ALL, strict: false, parameters: Vec::new() };
        let mut writer = FrameWriter::new(&head, Vec::new()).unwrap();
        parts.iter().for_each(|part| writer.part(part, b"rows").unwrap());
        Bytes::from(writer.finish())
    }

    fn rows(rows: u32, counts: Vec<Count>) -> PartMeta {
        PartMeta::Rows { port: Port(0), stream: STREAM, seq: 0, rows, counts }
    }

    #[test]
    fn frames_batches_and_rows_are_counted_by_job_until_it_ends() {
        let mut seqs = Coverage::new();
        for seq in 5..8 {
            seqs.insert(seq);
        }
        let end = PartMeta::End { port: Port(0), stream: STREAM, batches: 8, counts: Vec::new(), failed: None };
        let body = frame(&[rows(7, vec![]), PartMeta::Empty { port: Port(0), stream: STREAM, seqs }, end]);
        let (statistics, topology) = (Statistics::default(), topology());
        let counters = statistics.entry(&topology, "gateway");
        let deliveries = [Incoming::Delivery(Tag(0), body.clone()), Incoming::Delivery(Tag(1), Bytes::new())];
        let mut fed =
            Fed(deliveries.into_iter().chain([Incoming::Confirmed(PublishId(1)), Incoming::Ended(JOB)]).collect());
        let (ends, ended) = bounded(1);
        let mut counted = Counted::new(&mut fed, &counters).ends(&ends);
        counted.next(Duration::ZERO).unwrap();
        counted.next(Duration::ZERO).unwrap();
        assert_eq!(ended.try_recv(), Ok((JOB, STREAM)));
        counted.publish(PublishId(0), Target::Client, frame(&[rows(5, vec![])])).unwrap();
        counted.publish(PublishId(1), Target::DeadLetters, Bytes::new()).unwrap();
        counted.ack(Tag(0)).unwrap();
        counted.next(Duration::ZERO).unwrap();
        let now = counters.now();
        assert_eq!((now.frames_in, now.bytes_in, now.frames_out, now.in_hand), (2, body.len() as u64, 1, 1));
        assert_eq!((now.step.count(), now.confirm.count(), now.commit.count()), (2, 1, 0));
        let work = now.work;
        assert_eq!((now.jobs, now.dead_letters), (vec![(JOB, work)], 1));
        assert!(work.busy_ns > 0);
        assert_eq!(Work { busy_ns: 0, ..work }, Work { batches: 4, rows: 7, parts: 1, passed: 5, busy_ns: 0 });
        counted.next(Duration::ZERO).unwrap();
        let ended = counters.of(JOB);
        counted.next(Duration::ZERO).unwrap();
        assert_eq!(counters.of(JOB), ended, "what comes after its end is not its own");
        drop(counted);
        assert_eq!(counters.now().in_hand, 0, "what it leaves comes again to another");
        assert_eq!(statistics.loops(), [counters.now()]);
    }

    #[test]
    fn time_is_the_jobs_whose_frames_pass_without_the_wait_for_room() {
        const PAUSE: Duration = Duration::from_millis(30);
        struct Slow(Fed);
        impl Transport for Slow {
            fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
                thread::sleep(PAUSE);
                self.0.next(wait)
            }

            fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
                thread::sleep(PAUSE);
                self.0.publish(id, to, body)
            }

            fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
                self.0.ack(tag)
            }
        }
        let (statistics, topology) = (Statistics::default(), topology());
        let counters = statistics.entry(&topology, "gateway");
        let mut slow = Slow(Fed(VecDeque::from([Incoming::Delivery(Tag(0), frame(&[rows(7, vec![])]))])));
        let mut counted = Counted::new(&mut slow, &counters);
        counted.next(Duration::ZERO).unwrap();
        let end = PartMeta::End { port: Port(0), stream: STREAM, batches: 1, counts: Vec::new(), failed: None };
        counted.publish(PublishId(0), Target::Client, frame(&[end])).unwrap();
        assert!(statistics.hurried().is_empty());
        counted.next(Duration::ZERO).unwrap();
        assert!(!statistics.hurried().is_empty(), "the end of a stream is told soon");
        let stepped = Duration::from_nanos(counters.now().step.total_ns);
        let busy = counters.of(JOB).busy();
        assert!(busy + PAUSE <= stepped, "{busy:?} of {stepped:?}");
        // Work without a frame, as a commit, is that of the last job.
        thread::sleep(PAUSE);
        counted.next(Duration::ZERO).unwrap();
        assert!(counters.of(JOB).busy() >= busy + PAUSE);
        assert_eq!(counters.now().work.busy(), counters.of(JOB).busy());
    }

    #[test]
    fn rows_of_chunks_are_known_by_the_counts_of_the_sources_that_read_them() {
        let (statistics, topology) = (Statistics::default(), topology());
        let stage = topology.sources()[0].stage;
        let counters = statistics.stage(&topology, stage, 0);
        let source = counters.sources()[0];
        let counts = vec![Count { operator: source, rows_in: 40, ..Count::default() }];
        let others = vec![Count { operator: 1000, rows_in: 30, ..Count::default() }];
        let mut fed = Fed(VecDeque::new());
        let mut counted = Counted::new(&mut fed, &counters);
        counted.publish(PublishId(0), Target::Client, frame(&[rows(9, counts), rows(9, others)])).unwrap();
        assert_eq!(counters.of(JOB), Work { batches: 0, rows: 40, parts: 2, passed: 18, busy_ns: 0 });
    }
}
