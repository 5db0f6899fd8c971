//! A stateful node: one shard of a stage. Absorbs each batch once, and emits when its inputs are complete.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Action, Event, Failure, GroupId, Node, NodeError, Progress, PublishId, Record, Tag, job_of,
    jobs::Jobs,
    losses::Losses,
    operator::{Operator, Place},
    packer::Packer,
};
use crate::{
    codec::DecodeError,
    exec::{Scratch, guarded},
    frame::{FrameReader, JobHead, JobId, Part, Port},
    plan::{Job, Topology},
};

/// A group of deliveries is committed when it has this many: well below any prefetch, so that nothing waits for itself.
const GROUP: usize = 32;

/// Emission pauses while this many frames are unconfirmed: bounds what is in memory, and in the broker's queues.
const EMISSION_WINDOW: usize = 8;

/// Streams that a node names when it says what it waits for.
const MOST_LACKS: usize = 8;

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
    /// The letters about batches in the open group that were given up: it stays open until people have been told.
    telling: HashSet<PublishId>,
    gives_up: bool,
    repeats: u64,
}

/// To the packer an emission is a delivery that the node makes to itself; such tags have this bit, those of the driver
/// don't.
const EMISSION: u64 = 1 << 63;

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
            telling: HashSet::new(),
            gives_up: false,
            repeats: 0,
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

    /// A delivery joins the open group.
    fn deliver(
        &mut self,
        (tag, body): (Tag, &Bytes),
        losses: Losses,
        actions: &mut Vec<Action>,
    ) -> Result<(), Failure> {
        let absorbed = self.absorb(body, losses, actions);
        let Absorbed { job, new, kept, told } =
            absorbed.map_err(|error| Failure { job: job_of(body), tag: Some(tag), error })?;
        self.repeats += u64::from(!new);
        self.group.extend(new.then_some(Record::Frame { job, body: kept }));
        self.telling.extend(told);
        // A repetition waits for the open group, which may hold what it repeats.
        self.tags.push(tag);
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
        // What is committed as lost is not given up again in another life: nobody would tell of it then.
        if !self.telling.is_empty() {
            return;
        }
        let group = GroupId(self.next_group);
        self.next_group += 1;
        self.committing.insert(group, std::mem::take(&mut self.tags));
        actions.push(Action::Commit { group, records: std::mem::take(&mut self.group) });
    }

    /// Whether what is complete is committed as well, and all that was delivered acked, and there is room to emit.
    fn may_emit(&self) -> bool {
        self.tags.is_empty() && self.committing.is_empty() && self.packer.unconfirmed() < EMISSION_WINDOW
    }

    /// Emits what is complete and committed, as far as the window allows: of one job in a step, so that it is known for which
    /// one the node works. Once what it sends is confirmed, it is the next job's turn.
    fn emit(&mut self, actions: &mut Vec<Action>) -> Result<(), Failure> {
        if !self.may_emit() {
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
                Ok(())
            }
            Event::Emit => self.emit(actions),
            Event::Committed(group) => {
                actions.extend(self.committing.remove(&group).unwrap_or_default().into_iter().map(Action::Ack));
                Ok(())
            }
            Event::Confirmed(id) => {
                self.packer.confirmed(id, actions);
                self.telling.remove(&id);
                Ok(())
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
        if !self.may_emit() {
            return None;
        }
        self.jobs.iter().find(|(_, job)| job.emits()).map(|(head, job)| (head.job, job.steps))
    }

    fn repeats(&self) -> u64 {
        self.repeats
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
        done.for_each(Operator::skip);
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
        let operator = operators.find(|operator| operator.takes(port));
        operator.ok_or(DecodeError::Unknown("a port of this stage"))
    }
}
