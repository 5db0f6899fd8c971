//! A stateful node: one shard of a stage. Absorbs each batch once, and emits when its inputs are complete.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Action, Event, GroupId, Node, NodeError, Tag,
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
    /// Absorbed and not committed yet.
    group: Vec<(Tag, Bytes)>,
    committing: HashMap<GroupId, Vec<Tag>>,
    next_group: u64,
}

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
    Emitting(Box<dyn State>, u64),
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
            group: Vec::new(),
            committing: HashMap::new(),
            next_group: 0,
        }
    }

    fn deliver(&mut self, body: &[u8]) -> Result<(), NodeError> {
        let ShardNode { topology, place, scratch, jobs, .. } = self;
        let mut frame = FrameReader::new(body)?;
        let (head, job) = jobs.of(topology, &frame, |job| ShardJob::new(topology, *place, &job, &**scratch))?;
        while let Some(part) = frame.part()? {
            job.absorb(part, head.job)?;
        }
        Ok(())
    }

    fn commit(&mut self, actions: &mut Vec<Action>) {
        if self.group.is_empty() {
            return;
        }
        let group = GroupId(self.next_group);
        self.next_group += 1;
        let (tags, frames) = self.group.drain(..).unzip();
        self.committing.insert(group, tags);
        actions.push(Action::Commit { group, frames });
    }

    /// Emits what is complete and committed, as far as the window allows.
    fn emit(&mut self, actions: &mut Vec<Action>) -> Result<(), NodeError> {
        if !self.group.is_empty() || !self.committing.is_empty() {
            return Ok(());
        }
        let ShardNode { topology, jobs, packer, .. } = self;
        for (head, job) in jobs.iter_mut() {
            for operator in &mut job.operators {
                operator.start();
                while packer.unconfirmed() < EMISSION_WINDOW && operator.emit(topology, head, packer)? {
                    packer.end(actions);
                }
            }
        }
        // Whoever waits for an end should not wait for the next delivery as well.
        packer.flush(actions);
        Ok(())
    }
}

impl Node for ShardNode {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), NodeError> {
        match event {
            Event::Delivery { tag, body } => {
                self.deliver(&body)?;
                self.group.push((tag, body));
                if self.group.len() >= GROUP {
                    self.commit(actions);
                }
            }
            Event::Idle => self.commit(actions),
            Event::Committed(group) => {
                actions.extend(self.committing.remove(&group).unwrap_or_default().into_iter().map(Action::Ack));
                self.emit(actions)?;
            }
            Event::Confirmed(id) => {
                self.packer.confirmed(id, actions);
                self.emit(actions)?;
            }
        }
        Ok(())
    }
}

impl ShardJob {
    fn new(topology: &Topology, place: Place, job: &Job, scratch: &dyn Fn() -> Box<dyn Scratch>) -> Self {
        let heads = topology.stages().get(place.stage).map(|stage| stage.heads.as_slice()).unwrap_or_default();
        let operators = heads.iter().filter_map(|info| Operator::new(topology, place, job, info, scratch)).collect();
        ShardJob { operators }
    }

    fn absorb(&mut self, part: Part<'_>, job: JobId) -> Result<(), NodeError> {
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

    fn absorb(&mut self, part: Part<'_>, job: JobId) -> Result<(), NodeError> {
        let Operator { inputs, counts, failed, phase, .. } = self;
        // What arrives after emission has begun was there before: only a repetition can come when all is complete.
        let Phase::Collecting(state) = phase else { return Ok(()) };
        let Some(input) = inputs.iter_mut().find(|input| input.port == part.meta.port()) else { return Ok(()) };
        let stream = match &part.meta {
            PartMeta::Rows { stream, .. } | PartMeta::Empty { stream, .. } | PartMeta::End { stream, .. } => *stream,
            PartMeta::Lost { loss, .. } => loss.stream,
        };
        let arrived = input.streams.get_mut(&stream).ok_or(DecodeError::Unknown("a stream of this port"))?;
        match part.meta {
            PartMeta::Rows { seq, rows, counts: more, .. } => {
                if arrived.coverage.insert(seq) {
                    Count::add_all(counts, &more);
                    if failed.is_none() {
                        state.absorb(input.index, (stream, seq), rows, part.payload)?;
                    }
                }
            }
            PartMeta::Empty { seqs, .. } => arrived.coverage.extend(&seqs),
            PartMeta::End { batches, counts: more, failed: loss, .. } => match arrived.batches.replace(batches) {
                Some(known) if known != batches => return Err(NodeError::Disagreement(job)),
                Some(_) => {}
                None => {
                    Count::add_all(counts, &more);
                    *failed = failed.take().or(loss);
                }
            },
            PartMeta::Lost { loss, .. } => {
                if arrived.coverage.insert(loss.seq) {
                    *failed = failed.take().or(Some(loss));
                }
            }
        }
        if arrived.coverage.intervals() > MAX_INTERVALS { Err(NodeError::Gaps(job)) } else { Ok(()) }
    }

    fn complete(&self) -> bool {
        let mut arrived = self.inputs.iter().flat_map(|input| input.streams.values());
        arrived.all(|arrived| arrived.batches.is_some_and(|batches| arrived.coverage.is_exactly(batches)))
    }

    fn start(&mut self) {
        if matches!(self.phase, Phase::Collecting(_))
            && self.complete()
            && let Phase::Collecting(state) = std::mem::replace(&mut self.phase, Phase::Done)
        {
            self.phase = Phase::Emitting(state, 0);
        }
    }

    /// Emits the next batch, or the end behind the last; false when there is nothing to emit.
    fn emit(&mut self, topology: &Topology, head: &JobHead, packer: &mut Packer) -> Result<bool, NodeError> {
        let Phase::Emitting(state, seq) = &mut self.phase else { return Ok(false) };
        let mut batches = 0;
        if self.failed.is_none() {
            let last = state.emit(&mut self.outbox)?;
            refuse_rejections(topology, head, &mut self.outbox)?;
            send_batch(packer, head, &self.outputs, (self.stream, *seq), self.outbox.take_counts(), &mut self.outbox)?;
            *seq += 1;
            if !last {
                return Ok(true);
            }
            batches = *seq;
        }
        send_end(packer, head, &self.outputs, (self.stream, batches), &self.counts, self.failed.as_ref())?;
        self.phase = Phase::Done; // which frees the state
        Ok(true)
    }
}
