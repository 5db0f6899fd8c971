//! A joiner as a stateful operator: keeps both sides until they are complete, then joins in the probes' order.

use std::{collections::BTreeMap, vec};

use super::{
    AnyPush, Block, Context, Edge, ExecError, Head, Operator, Outbox, Place, State,
    aggregate::Emission,
    block::Push,
    build::BuildTable,
    operator::{Make, UNCOUNTED},
    rejected::FirstRejections,
    rows::decode_blocks,
};
use crate::{
    codec,
    codec::DecodeError,
    frame::Stream,
    operator::{Joiner, Row},
};

pub(crate) struct JoinOp<J> {
    make: Make<J>,
}

impl<J> JoinOp<J> {
    pub fn new(make: Make<J>) -> Self {
        JoinOp { make }
    }
}

/// Input 0 has the probes.
const PROBE: usize = 0;

impl<J: Joiner> Operator for JoinOp<J> {
    fn place(&self) -> Place {
        Place::Stateful
    }

    fn link(&self, _context: &Context<'_>, _followers: Vec<AnyPush>) -> Option<AnyPush> {
        None
    }

    fn edge(&self, context: &Context<'_>, input: usize, edge: Edge) -> AnyPush {
        let joiner = (self.make)(context.parameters);
        if input == PROBE {
            AnyPush::new::<J::Probe>(KeyEdge {
                key: move |row: &J::Probe| joiner.probe_key(row),
                edge,
                index: context.index,
            })
        } else {
            AnyPush::new::<J::Build>(KeyEdge {
                key: move |row: &J::Build| joiner.build_key(row),
                edge,
                index: UNCOUNTED,
            })
        }
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        Head::Stateful(Box::new(JoinState {
            joiner: (self.make)(context.parameters),
            table: BuildTable::new(),
            probes: BTreeMap::new(),
            joining: Vec::new().into_iter(),
            duplicates: FirstRejections::default(),
            reports: context.reports,
            rejects: context.rejects,
            index: context.index,
            emission: Emission::new(context.index, followers),
        }))
    }
}

/// Sends each row to the shard of its key.
struct KeyEdge<F> {
    key: F,
    edge: Edge,
    index: u16,
}

impl<R: Row, K: Row, F: Fn(&R) -> K + Send> Push<R> for KeyEdge<F> {
    fn push(&mut self, block: Block<'_, R>, out: &mut Outbox) {
        out.count(self.index, block.len(), 0);
        block.for_each(|row| out.put_by_key(self.edge.first_slot, self.edge.shards, &(self.key)(row), row));
    }

    fn flush(&mut self, _out: &mut Outbox) -> bool {
        false
    }
}

struct JoinState<J: Joiner> {
    joiner: J,
    table: BuildTable,
    /// Probes wait encoded, in the order of their streams, which is the order they are joined in.
    probes: BTreeMap<(Stream, u64), (u32, Vec<u8>)>,
    /// The probes that are being joined.
    joining: vec::IntoIter<J::Probe>,
    duplicates: FirstRejections,
    reports: bool,
    rejects: Option<usize>,
    index: u16,
    emission: Emission<J::Out>,
}

impl<J: Joiner> JoinState<J> {
    fn build(&mut self, (stream, seq): (Stream, u64), rows: u32, mut payload: &[u8]) -> Result<(), ExecError> {
        let JoinState { joiner, table, duplicates, reports, .. } = self;
        for at in 0..rows {
            let start = payload;
            let row: J::Build = codec::decode(&mut payload)?;
            let encoded = start.get(..start.len() - payload.len()).unwrap_or_default();
            if let Some(later) = table.insert(joiner, (stream, seq, at), &row, encoded)?
                && *reports
                && let Some(rejection) = joiner.duplicate(&later)
            {
                duplicates.add(rejection);
            }
        }
        if payload.is_empty() { Ok(()) } else { Err(DecodeError::Unknown("more bytes than rows").into()) }
    }
}

impl<J: Joiner> State for JoinState<J> {
    fn absorb(&mut self, input: usize, from: (Stream, u64), rows: u32, payload: &[u8]) -> Result<(), ExecError> {
        if input != PROBE {
            return self.build(from, rows, payload);
        }
        self.probes.insert(from, (rows, payload.to_vec()));
        Ok(())
    }

    fn emit(&mut self, out: &mut Outbox) -> Result<bool, ExecError> {
        let JoinState { joiner, table, probes, joining, duplicates, rejects, index, emission, .. } = self;
        duplicates.report(out, *index, *rejects);
        if joining.len() == 0
            && let Some((_, (rows, payload))) = probes.pop_first()
        {
            let mut all = Vec::new();
            decode_blocks(rows, &payload, &mut Vec::new(), |block| {
                all.append(block);
                Ok(())
            })?;
            *joining = all.into_iter();
        }
        let mut failed = None;
        let mut joined = joining.filter_map(|probe| match table.find(joiner, &joiner.probe_key(&probe)) {
            Ok(build) => joiner.join(&probe, build.as_ref()),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        let dry = emission.batch(&mut joined, out)?;
        failed.map_or(Ok(dry && probes.is_empty()), Err)
    }
}
