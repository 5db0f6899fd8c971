//! A maximizer as a stateful operator, and the edge into it, which sends only what can still win.

use std::vec;

use super::{
    AnyPush, Best, Block, Context, Edge, ExecError, Head, Operator, Outbox, Place, State, aggregate::Emission,
    block::Push, operator::Make, rows::decode_blocks,
};
use crate::{frame::Stream, operator::Maximizer};

pub(crate) struct MaximizeOp<M> {
    make: Make<M>,
}

impl<M> MaximizeOp<M> {
    pub fn new(make: Make<M>) -> Self {
        MaximizeOp { make }
    }
}

impl<M: Maximizer> Operator for MaximizeOp<M> {
    fn place(&self) -> Place {
        Place::Stateful
    }

    fn hides_order(&self) -> bool {
        true
    }

    fn link(&self, _context: &Context<'_>, _followers: Vec<AnyPush>) -> Option<AnyPush> {
        None
    }

    fn edge(&self, context: &Context<'_>, _input: usize, edge: Edge) -> AnyPush {
        AnyPush::new(BestEdge {
            best: Best::new((self.make)(context.parameters)),
            leaving: Vec::new().into_iter(),
            edge,
            index: context.index,
        })
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        let best = Best::new((self.make)(context.parameters));
        Head::Stateful(Box::new(MaximizeState {
            best,
            block: Vec::new(),
            sorted: None,
            emission: Emission::new(context.index, followers),
        }))
    }
}

struct BestEdge<M: Maximizer> {
    best: Best<M>,
    /// What is let go, where that is more than a batch may have.
    leaving: vec::IntoIter<M::Row>,
    edge: Edge,
    index: u16,
}

impl<M: Maximizer> BestEdge<M> {
    fn send(&self, row: &M::Row, out: &mut Outbox) {
        let Edge { first_slot, shards, partial, .. } = self.edge;
        if partial {
            out.put_by_key(first_slot, shards, row, row);
        } else {
            out.put_by_key(first_slot, shards, &self.best.maximizer.group(row), row);
        }
    }
}

impl<M: Maximizer> Push<M::Row> for BestEdge<M> {
    fn push(&mut self, block: Block<'_, M::Row>, out: &mut Outbox) {
        out.count(self.index, block.len(), 0);
        if self.edge.combine {
            block.for_each(|row| self.best.offer(row));
        } else {
            block.for_each(|row| self.send(row, out));
        }
    }

    fn flush(&mut self, out: &mut Outbox) -> bool {
        if self.leaving.len() == 0 {
            self.leaving = self.best.take().into_iter();
        }
        while !out.is_full()
            && let Some(row) = self.leaving.next()
        {
            self.send(&row, out);
        }
        self.leaving.len() > 0
    }
}

struct MaximizeState<M: Maximizer> {
    best: Best<M>,
    block: Vec<M::Row>,
    sorted: Option<vec::IntoIter<M::Row>>,
    emission: Emission<M::Row>,
}

impl<M: Maximizer> State for MaximizeState<M> {
    fn absorb(&mut self, _input: usize, _from: (Stream, u64), rows: u32, payload: &[u8]) -> Result<(), ExecError> {
        let MaximizeState { best, block, .. } = self;
        decode_blocks(rows, payload, block, |block| {
            block.iter().for_each(|row| best.offer(row));
            Ok(())
        })
    }

    fn emit(&mut self, out: &mut Outbox) -> Result<bool, ExecError> {
        let MaximizeState { best, sorted, emission, .. } = self;
        let rows = sorted.get_or_insert_with(|| best.take().into_iter());
        emission.batch(rows, out)
    }
}
