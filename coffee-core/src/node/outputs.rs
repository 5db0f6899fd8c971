//! Where the answers of an operator go, and sending one batch's answer to all of them (invariant 1).

use super::{NodeError, packer::Packer};
use crate::{
    exec::Outbox,
    frame::{Count, JobHead, Loss, PartMeta, Port, Stream},
    plan::{HeadInfo, Job, Target, Topology},
};

/// A port's receivers: one a shard, and the slots of the outbox that are theirs.
pub(crate) struct Output {
    port: Port,
    first_slot: usize,
    targets: Vec<Target>,
}

/// The ports behind a head that a job uses, in plan order.
pub(crate) fn outputs(topology: &Topology, job: &Job, head: &HeadInfo) -> Vec<Output> {
    let output = |port: &Port| {
        let info = topology.port(*port).ok()?;
        let to = info.to.and_then(|to| topology.instances.get(to)).map(|to| to.stage);
        let targets = match to {
            Some(stage) => {
                (0..topology.shards(stage)).map(|shard| Target::Stage { stage: stage as u16, shard }).collect()
            }
            None => vec![Target::Client],
        };
        Some(Output { port: *port, first_slot: info.first_slot, targets })
    };
    head.outputs.iter().filter(|port| job.uses(topology, **port)).filter_map(output).collect()
}

/// Sends the answer to one batch: a part for every port and shard. What was counted travels on the first alone.
pub(crate) fn send_batch(
    packer: &mut Packer,
    head: &JobHead,
    outputs: &[Output],
    (stream, seq): (Stream, u64),
    mut counts: Vec<Count>,
    outbox: &mut Outbox,
) -> Result<(), NodeError> {
    for Output { port, first_slot, targets } in outputs {
        for (slot, target) in outbox.slots().iter_mut().skip(*first_slot).zip(targets) {
            let counts = std::mem::take(&mut counts);
            if slot.rows == 0 && counts.is_empty() {
                packer.empty(*target, head, *port, stream, seq)?;
                continue;
            }
            let meta = PartMeta::Rows { port: *port, stream, seq, rows: slot.rows, counts };
            packer.part(*target, head, &meta, &slot.bytes)?;
            slot.bytes.clear();
            slot.rows = 0;
        }
    }
    Ok(())
}

/// Passes on batches that nothing is left of.
pub(crate) fn send_empty(
    packer: &mut Packer,
    head: &JobHead,
    outputs: &[Output],
    stream: Stream,
    seqs: &crate::coverage::Coverage,
) -> Result<(), NodeError> {
    each(outputs, |port, target, _| packer.empties(target, head, port, stream, seqs))
}

/// Closes a stream at every receiver.
pub(crate) fn send_end(
    packer: &mut Packer,
    head: &JobHead,
    outputs: &[Output],
    (stream, batches): (Stream, u64),
    counts: &[Count],
    failed: Option<&Loss>,
) -> Result<(), NodeError> {
    each(outputs, |port, target, first| {
        let counts = if first { counts.to_vec() } else { Vec::new() };
        packer.part(target, head, &PartMeta::End { port, stream, batches, counts, failed: failed.cloned() }, &[])
    })
}

/// Passes a given-up batch on.
pub(crate) fn send_lost(packer: &mut Packer, head: &JobHead, outputs: &[Output], loss: &Loss) -> Result<(), NodeError> {
    each(outputs, |port, target, _| packer.part(target, head, &PartMeta::Lost { port, loss: loss.clone() }, &[]))
}

fn each(
    outputs: &[Output],
    mut send: impl FnMut(Port, Target, bool) -> Result<(), NodeError>,
) -> Result<(), NodeError> {
    let mut first = true;
    for output in outputs {
        for target in &output.targets {
            send(output.port, *target, std::mem::take(&mut first))?;
        }
    }
    Ok(())
}
