//! One stateful operator in one job: absorbs each batch once, and emits when all of its inputs are complete.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Action, NodeError, Tag,
    outputs::{Output, outputs, send_batch, send_end},
    packer::Packer,
    worker::refuse_rejections,
};
use crate::{
    codec::DecodeError,
    coverage::Coverage,
    exec::{Head, Outbox, Scratch, State, guarded},
    frame::{Count, JobHead, JobId, Loss, Part, PartMeta, Port, Stream},
    plan::{HeadInfo, Job, Topology},
};

/// A stream in order leaves as many gaps as batches are in flight; ones with more are broken (invariant 8).
const MAX_INTERVALS: usize = 1 << 16;

/// Which shard of which stage.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub stage: usize,
    pub shard: u16,
}

/// A stateful operator in one job.
pub(super) struct Operator {
    pub stream: Stream,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    outbox: Outbox,
    counts: Vec<Count>,
    /// What it lacks, so that it emits no rows.
    pub failed: Option<Loss>,
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

impl Operator {
    /// `None` where the job does not use it.
    pub fn new(
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
    pub fn absorb(&mut self, part: Part<'_>, job: JobId) -> Result<bool, NodeError> {
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
    pub fn start(&mut self, tag: Tag) -> bool {
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
    pub fn emit(
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
    pub fn give_up(&mut self, topology: &Topology, place: Place, error: &NodeError) {
        let Phase::Emitting(_, seq, _) = &self.phase else { return };
        let reason = format!("{}: {error}", topology.stage_name(place.stage as u16));
        self.failed = Some(Loss { stream: self.stream, seq: *seq, reason });
    }

    /// Has what it gave up kept for people, before its emission counts as done.
    pub fn tell(&self, job: JobId, packer: &mut Packer, actions: &mut Vec<Action>) {
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
    pub fn emits(&self) -> bool {
        match &self.phase {
            Phase::Collecting(_) => self.complete(),
            Phase::Emitting(..) => true,
            Phase::Done => false,
        }
    }

    /// The streams that it has not all of.
    pub fn lacks(&self, topology: &Topology) -> impl Iterator<Item = String> {
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

    /// An earlier life has emitted all of it.
    pub fn skip(&mut self) {
        self.phase = Phase::Done;
    }

    /// Whether this port leads to it.
    pub fn takes(&self, port: Port) -> bool {
        self.inputs.iter().any(|input| input.port == port)
    }
}
