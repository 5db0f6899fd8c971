//! An aggregator as a stateful operator: one accumulator a group, emitted in key order.

use super::{
    AnyPush, Block, Context, Edge, ExecError, Head, Operator, Outbox, Place, State,
    block::{Fork, Push},
    combine::CombineEdge,
    groups::{Groups, Sorted},
    operator::Make,
    rows::decode_blocks,
};
use crate::{
    frame::Stream,
    operator::{Aggregator, Row},
};

pub(crate) struct AggregateOp<A> {
    make: Make<A>,
}

impl<A> AggregateOp<A> {
    pub fn new(make: Make<A>) -> Self {
        AggregateOp { make }
    }
}

impl<A: Aggregator> Operator for AggregateOp<A> {
    fn place(&self) -> Place {
        Place::Stateful
    }

    fn link(&self, _context: &Context<'_>, _followers: Vec<AnyPush>) -> Option<AnyPush> {
        None
    }

    fn edge(&self, context: &Context<'_>, _input: usize, edge: Edge) -> AnyPush {
        AnyPush::new(CombineEdge::new((self.make)(context.parameters), edge, context.index))
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        Head::Stateful(Box::new(AggregateState {
            groups: Groups::new((self.make)(context.parameters)),
            block: Vec::new(),
            sorted: None,
            emission: Emission::new(context.index, followers),
            order_free: context.order_free,
        }))
    }
}

struct AggregateState<A: Aggregator> {
    groups: Groups<A>,
    block: Vec<(A::Key, A::Acc)>,
    sorted: Option<Sorted<A>>,
    emission: Emission<A::Out>,
    order_free: bool,
}

impl<A: Aggregator> State for AggregateState<A> {
    fn absorb(&mut self, _input: usize, _from: (Stream, u64), rows: u32, payload: &[u8]) -> Result<(), ExecError> {
        let AggregateState { groups, block, .. } = self;
        decode_blocks(rows, payload, block, |block| {
            block.drain(..).for_each(|(key, part)| groups.merge(key, part));
            Ok(())
        })
    }

    fn emit(&mut self, out: &mut Outbox) -> Result<bool, ExecError> {
        let AggregateState { groups, sorted, emission, .. } = self;
        if self.order_free {
            // All of it is combined to a little before it travels: no order, so no sorting.
            return emission.fold(&mut groups.drain(), out);
        }
        let rows = sorted.get_or_insert_with(|| groups.drain_sorted());
        emission.batch(&mut rows.map(|group| groups.finish(group)), out)
    }
}

/// So many rows are passed on at once, between looks at whether the batch is full: few, as rows may be large.
const STEP: usize = if cfg!(test) { 2 } else { 64 };

/// Passes finished rows to the chain behind a stateful operator.
pub(crate) struct Emission<R> {
    index: u16,
    block: Vec<R>,
    chain: Fork<R>,
}

impl<R: Row> Emission<R> {
    pub fn new(index: u16, followers: Vec<AnyPush>) -> Self {
        Emission { index, block: Vec::new(), chain: AnyPush::fork(followers) }
    }

    /// Emits rows until a batch is full; true when no row is left.
    pub fn batch(&mut self, rows: &mut impl Iterator<Item = R>, out: &mut Outbox) -> Result<bool, ExecError> {
        let mut dry = false;
        while !dry && !out.is_full() {
            dry = self.step(rows, out);
        }
        let more = self.chain.flush(out);
        out.take_error()?;
        Ok(dry && !more)
    }

    /// Passes all rows on, for edges that hold them back, and emits what those let go; true when nothing is left.
    pub fn fold(&mut self, rows: &mut impl Iterator<Item = R>, out: &mut Outbox) -> Result<bool, ExecError> {
        while !self.step(rows, out) {}
        let more = self.chain.flush(out);
        out.take_error()?;
        Ok(!more)
    }

    fn step(&mut self, rows: &mut impl Iterator<Item = R>, out: &mut Outbox) -> bool {
        self.block.clear();
        self.block.extend(rows.take(STEP));
        out.count(self.index, 0, self.block.len());
        self.chain.push(Block::all(&self.block), out);
        self.block.len() < STEP
    }
}
