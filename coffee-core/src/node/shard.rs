//! A stateful node: one shard of a stage. Absorbs each batch once, and emits when its inputs are complete.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Action, Event, Failure, GroupId, Node, NodeError, Record, Tag, job_of,
    jobs::Jobs,
    outputs::{Output, outputs, send_batch, send_end},
    packer::Packer,
    worker::refuse_rejections,
};
use crate::{
    codec::DecodeError,
    coverage::Coverage,
    exec::{Head, Outbox, Scratch, State},
    frame::{Count, FrameReader, JobHead, JobId, Loss, Part, PartMeta, Port, Stream},
    plan::{HeadInfo, Job, Topology},
};

/// A group of deliveries is committed when it has this many: well below any prefetch, so that nothing waits for itself.
const GROUP: usize = 32;

/// Emission pauses while this many frames are unconfirmed: bounds what is in memory, and in the broker's queues.
const EMISSION_WINDOW: usize = 8;

/// A stream in order leaves as many gaps as batches are in flight; ones with more are broken (invariant 8).
const MAX_INTERVALS: usize = 1 << 16;

/// Makes room outside memory for a state that does not fit.
pub type MakeScratch = Box<dyn Fn() -> Box<dyn Scratch> + Send>;

/// Runs one shard of a stateful stage.
pub struct ShardNode {
    topology: Arc<Topology>,
    place: Place,
    scratch: MakeScratch,
    jobs: Jobs<ShardJob>,
    packer: Packer,
    /// What an earlier life had emitted.
    emitted: HashSet<(JobId, u16)>,
    /// The emissions that have begun, by the tag that their frames answer.
    emissions: HashMap<Tag, (JobId, u16)>,
    next_emission: u64,
    /// Not committed yet, and the deliveries to be acked then.
    group: Vec<Record>,
    tags: Vec<Tag>,
    committing: HashMap<GroupId, Vec<Tag>>,
    next_group: u64,
}

/// To the packer an emission is a delivery that the node makes to itself; such tags have this bit, those of the driver
/// don't.
const EMISSION: u64 = 1 << 63;

/// Which shard of which stage.
#[derive(Clone, Copy)]
struct Place {
    stage: usize,
    shard: u16,
}

struct ShardJob {
    operators: Vec<Operator>,
}

/// A stateful operator in one job.
struct Operator {
    stream: Stream,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    outbox: Outbox,
    counts: Vec<Count>,
    failed: Option<Loss>,
    phase: Phase,
}

enum Phase {
    Collecting(Box<dyn State>),
    Emitting(Box<dyn State>, u64, Tag),
    Done,
}

/// What has arrived at one port.
struct Input {
    port: Port,
    index: usize,
    streams: BTreeMap<Stream, Arrived>,
}

#[derive(Default)]
struct Arrived {
    coverage: Coverage,
    batches: Option<u64>,
}

impl ShardNode {
    /// A shard of the stage with this index; `scratch` makes room for what does not fit into memory.
    pub fn new(topology: Arc<Topology>, stage: u16, shard: u16, scratch: MakeScratch) -> Self {
        ShardNode {
            topology,
            place: Place { stage: stage.into(), shard },
            scratch,
            jobs: Jobs::new(),
            packer: Packer::default(),
            emitted: HashSet::new(),
            emissions: HashMap::new(),
            next_emission: EMISSION,
            group: Vec::new(),
            tags: Vec::new(),
            committing: HashMap::new(),
            next_group: 0,
        }
    }

    /// Absorbs a frame; tells whose it is, and whether anything in it was new.
    fn absorb(&mut self, body: &[u8]) -> Result<(JobId, bool), NodeError> {
        let ShardNode { topology, place, scratch, jobs, emitted, .. } = self;
        let mut frame = FrameReader::new(body)?;
        let open =
            |id, job| ShardJob::new(topology, *place, &job, &**scratch, |operator| emitted.contains(&(id, operator)));
        let (head, job) = jobs.of(topology, &frame, open)?;
        let mut new = false;
        while let Some(part) = frame.part()? {
            new |= job.absorb(part, head.job)?;
        }
        Ok((head.job, new))
    }

    fn commit(&mut self, actions: &mut Vec<Action>) {
        // Of a job that was forgotten there is nothing left to commit, but its deliveries are to be acked.
        if self.group.is_empty() && self.tags.is_empty() {
            return;
        }
        let group = GroupId(self.next_group);
        self.next_group += 1;
        self.committing.insert(group, std::mem::take(&mut self.tags));
        actions.push(Action::Commit { group, records: std::mem::take(&mut self.group) });
    }

    /// Emits what is complete and committed, as far as the window allows.
    fn emit(&mut self, actions: &mut Vec<Action>) -> Result<(), Failure> {
        if !self.tags.is_empty() || !self.committing.is_empty() {
            return Ok(());
        }
        let ShardNode { topology, jobs, packer, emissions, next_emission, .. } = self;
        for (head, job) in jobs.iter_mut() {
            for operator in &mut job.operators {
                if operator.start(Tag(*next_emission)) {
                    emissions.insert(Tag(*next_emission), (head.job, operator.stream.origin));
                    *next_emission += 1;
                }
                while packer.unconfirmed() < EMISSION_WINDOW {
                    let emitted = operator.emit(topology, head, packer, actions);
                    let failure = |error| Failure { job: Some(head.job), tag: None, error };
                    if !emitted.inspect_err(|_| packer.abort()).map_err(failure)? {
                        break;
                    }
                }
            }
        }
        // Whoever waits for an end should not wait for the next delivery as well.
        packer.flush(actions);
        Ok(())
    }

    /// Marks the emissions that are confirmed in full, among what the packer wants acked.
    fn mark_emitted(&mut self, actions: &mut Vec<Action>) {
        let emissions = &mut self.emissions;
        actions.retain(|action| match action {
            Action::Ack(tag) if tag.0 & EMISSION != 0 => {
                let mark = emissions.remove(tag).map(|(job, operator)| Record::Emitted { job, operator });
                self.group.extend(mark);
                false
            }
            _ => true,
        });
    }

    fn forget(&mut self, job: JobId, actions: &mut Vec<Action>) {
        self.jobs.forget(job);
        self.packer.forget(job, actions);
        self.emitted.retain(|(of, _)| *of != job);
        for (tag, _) in self.emissions.extract_if(|_, (of, _)| *of == job) {
            self.packer.drop_unfinished(tag);
        }
        self.group.retain(|record| record.job() != job);
    }

    fn restore(&mut self, record: Record) -> Result<(), Failure> {
        match record {
            Record::Emitted { job, operator } => {
                self.emitted.insert((job, operator));
            }
            Record::Frame { job, body } => {
                self.absorb(&body).map_err(|error| Failure { job: Some(job), tag: None, error })?;
            }
        }
        Ok(())
    }
}

impl Node for ShardNode {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        let result = match event {
            Event::Delivery { tag, body } => {
                let failure = |error| Failure { job: job_of(&body), tag: Some(tag), error };
                let (job, new) = self.absorb(&body).map_err(failure)?;
                // A repetition waits for the open group, which may hold what it repeats.
                self.tags.push(tag);
                self.group.extend(new.then_some(Record::Frame { job, body }));
                if self.tags.len() >= GROUP {
                    self.commit(actions);
                }
                Ok(())
            }
            Event::Idle => {
                self.commit(actions);
                self.emit(actions)
            }
            Event::Committed(group) => {
                actions.extend(self.committing.remove(&group).unwrap_or_default().into_iter().map(Action::Ack));
                self.emit(actions)
            }
            Event::Confirmed(id) => {
                self.packer.confirmed(id, actions);
                self.emit(actions)
            }
            Event::Restored(record) => self.restore(record),
            Event::Forget(job) => {
                self.forget(job, actions);
                Ok(())
            }
            Event::Release(_) => Ok(()),
        };
        self.mark_emitted(actions);
        result
    }

    fn jobs(&self) -> usize {
        self.jobs.len()
    }
}

impl ShardJob {
    fn new(
        topology: &Topology,
        place: Place,
        job: &Job,
        scratch: &dyn Fn() -> Box<dyn Scratch>,
        emitted: impl Fn(u16) -> bool,
    ) -> Self {
        let heads = topology.stages().get(place.stage).map(|stage| stage.heads.as_slice()).unwrap_or_default();
        let mut operators: Vec<Operator> =
            heads.iter().filter_map(|info| Operator::new(topology, place, job, info, scratch)).collect();
        let done = operators.iter_mut().filter(|operator| emitted(operator.stream.origin));
        done.for_each(|operator| operator.phase = Phase::Done);
        ShardJob { operators }
    }

    fn absorb(&mut self, part: Part<'_>, job: JobId) -> Result<bool, NodeError> {
        let port = part.meta.port();
        let mut operators = self.operators.iter_mut();
        let operator = operators.find(|operator| operator.inputs.iter().any(|input| input.port == port));
        operator.ok_or(DecodeError::Unknown("a port of this stage"))?.absorb(part, job)
    }
}

impl Operator {
    /// `None` where the job does not use it.
    fn new(
        topology: &Topology,
        place: Place,
        job: &Job,
        info: &HeadInfo,
        scratch: &dyn Fn() -> Box<dyn Scratch>,
    ) -> Option<Self> {
        let input = |port: &Port| {
            let known = topology.port(*port).ok()?;
            let streams = topology.streams(known).into_iter().map(|stream| (stream, Arrived::default())).collect();
            job.uses(topology, *port).then_some(Input { port: *port, index: known.input, streams })
        };
        let inputs: Vec<Input> = info.inputs.iter().filter_map(input).collect();
        let Some(Head::Stateful(state)) = job.head(topology, info, scratch) else { return None };
        (!inputs.is_empty()).then(|| Operator {
            stream: Stream { origin: info.instance as u16, shard: place.shard },
            inputs,
            outputs: outputs(topology, job, info),
            outbox: job.outbox(topology, place.stage),
            counts: Vec::new(),
            failed: None,
            phase: Phase::Collecting(state),
        })
    }

    /// False where all of the part was there before.
    fn absorb(&mut self, part: Part<'_>, job: JobId) -> Result<bool, NodeError> {
        let Operator { inputs, counts, failed, phase, .. } = self;
        // What arrives after emission has begun was there before: only a repetition can come when all is complete.
        let Phase::Collecting(state) = phase else { return Ok(false) };
        let Some(input) = inputs.iter_mut().find(|input| input.port == part.meta.port()) else { return Ok(false) };
        let stream = match &part.meta {
            PartMeta::Rows { stream, .. } | PartMeta::Empty { stream, .. } | PartMeta::End { stream, .. } => *stream,
            PartMeta::Lost { loss, .. } => loss.stream,
        };
        let arrived = input.streams.get_mut(&stream).ok_or(DecodeError::Unknown("a stream of this port"))?;
        let new = match part.meta {
            PartMeta::Rows { seq, rows, counts: more, .. } => {
                let new = arrived.coverage.insert(seq);
                if new {
                    Count::add_all(counts, &more);
                    if failed.is_none() {
                        state.absorb(input.index, (stream, seq), rows, part.payload)?;
                    }
                }
                new
            }
            PartMeta::Empty { seqs, .. } => {
                let before = arrived.coverage.len();
                arrived.coverage.extend(&seqs);
                arrived.coverage.len() > before
            }
            PartMeta::End { batches, counts: more, failed: loss, .. } => match arrived.batches.replace(batches) {
                Some(known) if known != batches => return Err(NodeError::Disagreement(job)),
                Some(_) => false,
                None => {
                    Count::add_all(counts, &more);
                    *failed = failed.take().or(loss);
                    true
                }
            },
            PartMeta::Lost { loss, .. } => {
                let new = arrived.coverage.insert(loss.seq);
                if new {
                    *failed = failed.take().or(Some(loss));
                }
                new
            }
        };
        if arrived.coverage.intervals() > MAX_INTERVALS { Err(NodeError::Gaps(job)) } else { Ok(new) }
    }

    fn complete(&self) -> bool {
        let mut arrived = self.inputs.iter().flat_map(|input| input.streams.values());
        arrived.all(|arrived| arrived.batches.is_some_and(|batches| arrived.coverage.is_exactly(batches)))
    }

    /// Turns to emitting, once complete; true where it has just turned.
    fn start(&mut self, tag: Tag) -> bool {
        if !matches!(self.phase, Phase::Collecting(_)) || !self.complete() {
            return false;
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Collecting(state) => self.phase = Phase::Emitting(state, 0, tag),
            other => self.phase = other,
        }
        true
    }

    /// Emits the next batch, or the end behind the last; false when there is nothing to emit.
    fn emit(
        &mut self,
        topology: &Topology,
        head: &JobHead,
        packer: &mut Packer,
        actions: &mut Vec<Action>,
    ) -> Result<bool, NodeError> {
        let Phase::Emitting(state, seq, tag) = &mut self.phase else { return Ok(false) };
        let tag = *tag;
        packer.go_on(tag);
        let mut batches = 0;
        if self.failed.is_none() {
            let last = state.emit(&mut self.outbox)?;
            refuse_rejections(topology, head, &mut self.outbox)?;
            send_batch(packer, head, &self.outputs, (self.stream, *seq), self.outbox.take_counts(), &mut self.outbox)?;
            *seq += 1;
            if !last {
                packer.end(actions);
                return Ok(true);
            }
            batches = *seq;
        }
        send_end(packer, head, &self.outputs, (self.stream, batches), &self.counts, self.failed.as_ref())?;
        self.phase = Phase::Done; // which frees the state
        packer.end(actions);
        packer.finish(tag, actions);
        Ok(true)
    }
}
