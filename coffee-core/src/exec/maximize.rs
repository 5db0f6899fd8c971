//! A maximizer as a stateful operator, and the edge into it, which sends only what can still win.

use std::{collections::HashMap, vec};

use foldhash::fast::RandomState;

use super::{
    AnyPush, Block, Context, Edge, ExecError, Head, Operator, Outbox, Place, State, aggregate::Emission, block::Push,
    operator::Make, rows::decode_blocks,
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

/// The best rows of each group so far.
struct Best<M: Maximizer> {
    maximizer: M,
    groups: HashMap<M::Group, Candidates<M::Row>, RandomState>,
}

/// At most twice the limit of rows: sorted and cut when there are more, so that a row costs a constant on average, for
/// any limit.
struct Candidates<R> {
    rows: Vec<R>,
    /// How many rows at the front are sorted; once it is the limit, the last of them is the one to beat.
    sorted: usize,
}

impl<M: Maximizer> Best<M> {
    fn new(maximizer: M) -> Self {
        Best { maximizer, groups: HashMap::default() }
    }

    fn offer(&mut self, row: &M::Row) {
        let limit = self.maximizer.limit();
        let group =
            self.groups.entry(self.maximizer.group(row)).or_insert_with(|| Candidates { rows: Vec::new(), sorted: 0 });
        let beaten = |worst: &M::Row| self.maximizer.rank(row, worst).is_ge();
        if group.sorted == limit && group.rows.get(limit.wrapping_sub(1)).is_none_or(beaten) {
            return;
        }
        group.rows.push(row.clone());
        if group.rows.len() >= limit.saturating_mul(2).max(16) {
            group.cut(&self.maximizer);
        }
    }

    /// The best rows, by group and rank.
    fn take(&mut self) -> Vec<M::Row> {
        let mut groups: Vec<(M::Group, Candidates<M::Row>)> = self.groups.drain().collect();
        groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        groups
            .into_iter()
            .flat_map(|(_, mut group)| {
                group.cut(&self.maximizer);
                group.rows
            })
            .collect()
    }
}

impl<R> Candidates<R> {
    fn cut<M: Maximizer<Row = R>>(&mut self, maximizer: &M) {
        self.rows.sort_unstable_by(|a, b| maximizer.rank(a, b));
        self.rows.truncate(maximizer.limit());
        self.sorted = self.rows.len();
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
