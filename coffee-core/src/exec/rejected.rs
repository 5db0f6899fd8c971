//! The sink that every plan has: rows that were left out, in table, file and line order.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    AnyPush, Context, Edge, ExecError, Head, Operator, Outbox, Place, State,
    aggregate::Emission,
    rows::{PlainEdge, decode_blocks},
};
use crate::{frame::Stream, rejection::Rejection};

/// The sink's name.
pub const REJECTED: &str = "rejected";

/// Of so many rejected rows the text is kept, a batch and a job; the others are counted.
pub const REJECTED_LIMIT: u32 = 10_000;

/// A row that was left out, and the source that it came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RejectedRow {
    /// The source's name.
    pub source: String,
    /// Which line, and why.
    pub rejection: Rejection,
}

/// The first rejections by place, and how many there were in all.
#[derive(Default)]
pub(crate) struct FirstRejections {
    first: BTreeSet<Rejection>,
    total: u64,
}

impl FirstRejections {
    pub fn add(&mut self, rejection: Rejection) {
        self.total += 1;
        insert_bounded(&mut self.first, rejection);
    }

    /// Puts them out, once.
    pub fn report(&mut self, out: &mut Outbox, index: u16, slot: Option<usize>) {
        let listed = self.first.len() as u64;
        for rejection in std::mem::take(&mut self.first) {
            out.reject(index, slot, &rejection);
        }
        out.count_rejected(index, std::mem::take(&mut self.total) - listed);
    }
}

fn insert_bounded<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    let full = set.len() >= REJECTED_LIMIT as usize;
    if full && set.last().is_some_and(|last| *last <= value) {
        return;
    }
    set.insert(value);
    if set.len() > REJECTED_LIMIT as usize {
        set.pop_last();
    }
}

pub(crate) struct RejectedOp {
    /// The source's name, by input.
    pub sources: Arc<Vec<String>>,
}

impl Operator for RejectedOp {
    fn place(&self) -> Place {
        Place::Sink
    }

    fn link(&self, _context: &Context<'_>, _followers: Vec<AnyPush>) -> Option<AnyPush> {
        None
    }

    fn edge(&self, context: &Context<'_>, _input: usize, edge: Edge) -> AnyPush {
        // To the client: what comes in is put out by the operators that reject, not pushed through a chain.
        AnyPush::new(PlainEdge::<RejectedRow>::new(edge, context.index))
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        Head::Stateful(Box::new(RejectedState {
            sources: self.sources.clone(),
            first: BTreeSet::new(),
            emission: Emission::new(context.index, followers),
        }))
    }
}

struct RejectedState {
    sources: Arc<Vec<String>>,
    first: BTreeSet<RejectedRow>,
    emission: Emission<RejectedRow>,
}

impl State for RejectedState {
    fn absorb(&mut self, input: usize, _from: (Stream, u64), rows: u32, payload: &[u8]) -> Result<(), ExecError> {
        let RejectedState { sources, first, .. } = self;
        let source = sources.get(input).map(String::as_str).unwrap_or_default();
        decode_blocks(rows, payload, &mut Vec::new(), |block| {
            for rejection in block.drain(..) {
                insert_bounded(first, RejectedRow { source: source.to_owned(), rejection });
            }
            Ok(())
        })
    }

    fn emit(&mut self, out: &mut Outbox) -> Result<bool, ExecError> {
        let RejectedState { first, emission, .. } = self;
        emission.batch(&mut std::iter::from_fn(|| first.pop_first()), out)
    }
}
