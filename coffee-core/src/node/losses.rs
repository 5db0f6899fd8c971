//! Batches that are given up (invariant 9): which parts of a frame bring them, and what stands in their place.

use std::{collections::BTreeMap, fmt::Display};

use bytes::Bytes;

use super::{Action, NodeError, PublishId, packer::Packer};
use crate::{
    frame::{FrameReader, FrameWriter, JobHead, JobId, Loss, Part, PartMeta, Port, Stream},
    plan::Topology,
};

/// So many frames of a job are kept with their content by one node; of others only which batches they brought.
const MOST_KEPT: u32 = 16;

/// The parts of a frame that are given up, by their place in it.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<usize, Loss>);

impl Losses {
    /// All batches of a frame. What brings no rows does no harm, and is not given up: no `End` is ever lost.
    pub fn all(topology: &Topology, body: &[u8], reason: &str) -> Result<Self, NodeError> {
        let (mut losses, mut frame) = (Losses::default(), FrameReader::new(body)?);
        for at in 0.. {
            let Some(part) = frame.part()? else { break };
            losses.add(topology, at, part.meta.port(), part.meta.batch(), &reason);
        }
        Ok(losses)
    }

    /// Gives up a part; `None` where it brings no batch of rows, or is given up already: then it is not the batch that fails.
    pub fn add(
        &mut self,
        topology: &Topology,
        at: usize,
        port: Port,
        batch: Option<(Stream, u64)>,
        reason: &dyn Display,
    ) -> Option<Loss> {
        let (stream, seq) = batch.filter(|_| !self.0.contains_key(&at))?;
        let stage = topology.stage_of(port).map(|stage| topology.stage_name(stage)).unwrap_or_default();
        let loss = Loss { stream, seq, reason: format!("{stage}: {reason}") };
        self.0.insert(at, loss.clone());
        Some(loss)
    }

    /// A part is not given up after all.
    pub fn remove(&mut self, at: usize) {
        self.0.remove(&at);
    }

    /// A part, or what stands in its place.
    pub fn instead<'a>(&self, at: usize, part: Part<'a>) -> Part<'a> {
        match self.0.get(&at) {
            Some(loss) => Part { meta: PartMeta::Lost { port: part.meta.port(), loss: loss.clone() }, payload: &[] },
            None => part,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The frame as it is without them: what a journal keeps of it.
    pub fn rewrite(&self, head: &JobHead, body: &[u8]) -> Result<Bytes, NodeError> {
        let (mut frame, mut writer) = (FrameReader::new(body)?, FrameWriter::new(head, Vec::new())?);
        for at in 0.. {
            let Some(part) = frame.part()? else { break };
            let Part { meta, payload } = self.instead(at, part);
            writer.part(&meta, payload)?;
        }
        Ok(writer.finish().into())
    }

    /// Has them kept for people, with the frame that they came in: by the publish that is returned, which the delivery
    /// in hand waits for. `told` counts such frames of the job.
    pub fn tell(
        &mut self,
        job: JobId,
        told: &mut u32,
        body: &Bytes,
        packer: &mut Packer,
        actions: &mut Vec<Action>,
    ) -> Option<PublishId> {
        if self.is_empty() {
            return None;
        }
        *told = told.saturating_add(1);
        let body = if *told <= MOST_KEPT { body.clone() } else { Bytes::new() };
        let losses = std::mem::take(&mut self.0).into_values().collect();
        let id = packer.alongside();
        actions.push(Action::GiveUp { id, job, losses, body });
        Some(id)
    }
}
