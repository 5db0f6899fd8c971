//! A stateful node: one shard of a stage. Absorbs each batch once, and emits when its inputs are complete.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Action, Event, Failure, GroupId, Node, NodeError, Progress, PublishId, Record, Tag, job_of,
    jobs::Jobs,
    losses::Losses,
    outputs::{Output, outputs, send_batch, send_end},
    packer::Packer,
    worker::refuse_rejections,
};
use crate::{
    codec::DecodeError,
    coverage::Coverage,
    exec::{Head, Outbox, Scratch, State, guarded},
    frame::{Count, FrameReader, JobHead, JobId, Loss, Part, PartMeta, Port, Stream},
    plan::{HeadInfo, Job, Topology},
};

/// A group of deliveries is committed when it has this many: well below any prefetch, so that nothing waits for itself.
const GROUP: usize = 32;

/// Emission pauses while this many frames are unconfirmed: bounds what is in memory, and in the broker's queues.
const EMISSION_WINDOW: usize = 8;

/// Streams that a node names when it says what it waits for.
const MOST_LACKS: usize = 8;

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
    /// Deliveries with batches that were given up: they join a group once people have been told.
    telling: HashMap<PublishId, Tag>,
    gives_up: bool,
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
    /// What came in that was new, and what went out.
    steps: u64,
    /// Frames with batches that were given up.
    losses: u32,
}

/// A frame that was absorbed.
struct Absorbed {
    job: JobId,
    /// Whether anything in it was new.
    new: bool,
    /// What is to be kept of it.
    kept: Bytes,
    /// What people are to be told.
    told: Option<PublishId>,
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
    /// Its origin has failed: nothing of it is waited for.
    failed: bool,
}

impl Arrived {
    fn is_complete(&self) -> bool {
        self.failed || self.batches.is_some_and(|batches| self.coverage.is_exactly(batches))
    }
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
            telling: HashMap::new(),
            gives_up: false,
        }
    }

    /// Gives up the batches that an operator fails on, so that the job goes on without what depends on them; otherwise
    /// the job fails.
    #[must_use]
    pub fn giving_up(mut self) -> Self {
        self.gives_up = true;
        self
    }

    /// Absorbs a frame, without the batches that are lost; those that turn out to be are added.
    fn absorb(&mut self, body: &Bytes, mut losses: Losses, actions: &mut Vec<Action>) -> Result<Absorbed, NodeError> {
        let ShardNode { topology, place, scratch, jobs, emitted, packer, gives_up, .. } = self;
        let mut frame = FrameReader::new(body)?;
        let open = |id, job| {
            let emitted = |operator| emitted.contains(&(id, operator));
            Ok(guarded(|| Ok(ShardJob::new(topology, *place, &job, &**scratch, emitted)))?)
        };
        let (head, job) = jobs.of(topology, &frame, open)?;
        let mut new = false;
        for at in 0.. {
            let Some(part) = frame.part()? else { break };
            let (port, batch) = (part.meta.port(), part.meta.batch());
            match job.absorb(losses.instead(at, part), head.job) {
                Ok(true) => new = true,
                // It was there before, so it is not lost.
                Ok(false) => losses.remove(at),
                Err(error) if *gives_up && error.is_of_batch() => {
                    let loss = losses.add(topology, at, port, batch, &error).ok_or(error)?;
                    job.operator(port)?.failed = Some(loss);
                    new = true;
                }
                Err(error) => return Err(error),
            }
        }
        job.steps += u64::from(new);
        let kept = if losses.is_empty() { body.clone() } else { losses.rewrite(head, body)? };
        let told = losses.tell(head.job, &mut job.losses, body, packer, actions);
        Ok(Absorbed { job: head.job, new, kept, told })
    }

    /// A delivery joins the open group; where batches of it were given up, once people have been told.
    fn deliver(
        &mut self,
        (tag, body): (Tag, &Bytes),
        losses: Losses,
        actions: &mut Vec<Action>,
    ) -> Result<(), Failure> {
        let absorbed = self.absorb(body, losses, actions);
        let Absorbed { job, new, kept, told } =
            absorbed.map_err(|error| Failure { job: job_of(body), tag: Some(tag), error })?;
        self.group.extend(new.then_some(Record::Frame { job, body: kept }));
        match told {
            Some(id) => drop(self.telling.insert(id, tag)),
            // A repetition waits for the open group, which may hold what it repeats.
            None => self.tags.push(tag),
        }
        if self.tags.len() >= GROUP {
            self.commit(actions);
        }
        Ok(())
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

    /// Emits what is complete and committed, as far as the window allows: of one job in a step, so that it is known for which
    /// one the node works. Once what it sends is confirmed, it is the next job's turn.
    fn emit(&mut self, actions: &mut Vec<Action>) -> Result<(), Failure> {
        if !self.tags.is_empty() || !self.committing.is_empty() || !self.telling.is_empty() {
            return Ok(());
        }
        let ShardNode { topology, jobs, packer, emissions, next_emission, place, gives_up, .. } = self;
        while let Some((head, job)) = jobs.iter_mut().find(|(_, job)| job.emits()) {
            for operator in &mut job.operators {
                if operator.start(Tag(*next_emission)) {
                    emissions.insert(Tag(*next_emission), (head.job, operator.stream.origin));
                    *next_emission += 1;
                }
                while packer.unconfirmed() < EMISSION_WINDOW {
                    match operator.emit(topology, head, packer, actions) {
                        Ok(true) => job.steps += 1,
                        Ok(false) => break,
                        Err(error) if *gives_up && error.is_of_batch() && operator.failed.is_none() => {
                            packer.abort();
                            operator.give_up(topology, *place, &error);
                            operator.tell(head.job, packer, actions);
                        }
                        Err(error) => {
                            packer.abort();
                            return Err(Failure { job: Some(head.job), tag: None, error });
                        }
                    }
                }
            }
            // Whoever waits for an end should not wait for the next delivery as well.
            packer.flush(actions);
            if packer.unconfirmed() > 0 {
                break;
            }
        }
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
                // What was given up is lost in what was kept.
                let absorbed = self.absorb(&body, Losses::default(), &mut Vec::new());
                absorbed.map_err(|error| Failure { job: Some(job), tag: None, error })?;
            }
        }
        Ok(())
    }
}

impl Node for ShardNode {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        let result = match event {
            Event::Delivery { tag, body } => self.deliver((tag, &body), Losses::default(), actions),
            Event::GivenUp { tag, body, reason } => {
                let losses = Losses::all(&self.topology, &body, &reason);
                let losses = losses.map_err(|error| Failure { job: job_of(&body), tag: Some(tag), error })?;
                self.deliver((tag, &body), losses, actions)
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
                self.tags.extend(self.telling.remove(&id));
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

    fn emits(&self) -> Option<(JobId, u64)> {
        self.jobs.iter().find(|(_, job)| job.emits()).map(|(head, job)| (head.job, job.steps))
    }

    fn progress(&self) -> Vec<Progress> {
        let progress = |(head, job): (&JobHead, &ShardJob)| {
            let lacks: Vec<String> =
                job.operators.iter().flat_map(|operator| operator.lacks(&self.topology)).take(MOST_LACKS).collect();
            Progress { job: head.job, steps: job.steps, lacks: lacks.join(", ") }
        };
        self.jobs.iter().map(progress).collect()
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
        ShardJob { operators, steps: 0, losses: 0 }
    }

    fn absorb(&mut self, part: Part<'_>, job: JobId) -> Result<bool, NodeError> {
        self.operator(part.meta.port())?.absorb(part, job)
    }

    fn emits(&self) -> bool {
        self.operators.iter().any(Operator::emits)
    }

    /// The one that a port leads to.
    fn operator(&mut self, port: Port) -> Result<&mut Operator, DecodeError> {
        let mut operators = self.operators.iter_mut();
        let operator = operators.find(|operator| operator.inputs.iter().any(|input| input.port == port));
        operator.ok_or(DecodeError::Unknown("a port of this stage"))
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
                        guarded(|| state.absorb(input.index, (stream, seq), rows, part.payload))?;
                    }
                }
                new
            }
            PartMeta::Empty { seqs, .. } => {
                let before = arrived.coverage.len();
                arrived.coverage.extend(&seqs);
                arrived.coverage.len() > before
            }
            // An origin whose next life fails elsewhere, or not at all, ends otherwise: what it failed in stays failed.
            PartMeta::End { .. } if arrived.failed => false,
            PartMeta::End { counts: more, failed: Some(loss), .. } => {
                Count::add_all(counts, &more);
                arrived.failed = true;
                *failed = failed.take().or(Some(loss));
                true
            }
            PartMeta::End { batches, counts: more, failed: None, .. } => match arrived.batches.replace(batches) {
                Some(known) if known != batches => return Err(NodeError::Disagreement(job)),
                Some(_) => false,
                None => {
                    Count::add_all(counts, &more);
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
        arrived.all(Arrived::is_complete)
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
        let mut batches = *seq;
        if self.failed.is_none() {
            let last = guarded(|| state.emit(&mut self.outbox))?;
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

    /// Gives up what it was about to emit; its end will say so.
    fn give_up(&mut self, topology: &Topology, place: Place, error: &NodeError) {
        let Phase::Emitting(_, seq, _) = &self.phase else { return };
        let stage = topology.stages().get(place.stage).map(|stage| stage.name.as_str()).unwrap_or_default();
        self.failed = Some(Loss { stream: self.stream, seq: *seq, reason: format!("{stage}: {error}") });
    }

    /// Has what it gave up kept for people, before its emission counts as done.
    fn tell(&self, job: JobId, packer: &mut Packer, actions: &mut Vec<Action>) {
        if let (Phase::Emitting(_, _, tag), Some(loss)) = (&self.phase, &self.failed) {
            packer.go_on(*tag);
            actions.push(Action::GiveUp {
                id: packer.alongside(),
                job,
                losses: vec![loss.clone()],
                body: Bytes::new(),
            });
            packer.end(actions);
        }
    }

    /// Whether it has something to emit.
    fn emits(&self) -> bool {
        match &self.phase {
            Phase::Collecting(_) => self.complete(),
            Phase::Emitting(..) => true,
            Phase::Done => false,
        }
    }

    /// The streams that it has not all of.
    fn lacks(&self, topology: &Topology) -> impl Iterator<Item = String> {
        let collecting = matches!(self.phase, Phase::Collecting(_));
        let streams = self.inputs.iter().filter(move |_| collecting).flat_map(|input| &input.streams);
        streams.filter(|(_, arrived)| !arrived.is_complete()).map(|(stream, Arrived { coverage, batches, .. })| {
            let (name, has) = (topology.name_of(*stream), coverage.len());
            match batches {
                Some(batches) => format!("{name} ({has} of {batches} batches)"),
                None => format!("{name} ({has} batches, no end)"),
            }
        })
    }
}
