//! Combining ahead of an aggregator: rows that meet within one batch are folded, so that little travels.
//!
//! A direct-mapped table of accumulators: a row whose slot holds another key sends that one off and takes its place.
//! Few keys stay in the table until the batch ends; many keys pass through at the cost of a look-up, in bounded memory.
//! The receiver merges, so which rows met does not show (the aggregator's laws).

use super::{Block, Outbox, block::Push, operator::Edge};
use crate::{hash, operator::Aggregator};

/// The table fits the second-level cache for accumulators of any usual size.
const SLOTS: usize = 1 << hash::SLOT_BITS;

/// Folds the rows of a batch into parts of their groups, of which there may be several a group.
///
/// What it gives out, and in which order, is a function of the rows alone.
pub struct Combiner<A: Aggregator> {
    aggregator: A,
    combines: bool,
    table: Vec<Option<(A::Key, A::Acc)>>,
    used: Vec<u16>,
}

impl<A: Aggregator> Combiner<A> {
    /// An empty one. One that does not combine makes each row a part of its own: for keys that hardly ever repeat.
    pub fn new(aggregator: A, combines: bool) -> Self {
        Combiner { aggregator, combines, table: Vec::new(), used: Vec::new() }
    }

    /// Takes rows, and gives out the parts that they push out.
    #[inline]
    pub fn fold(&mut self, block: Block<'_, A::Row>, mut give: impl FnMut((A::Key, A::Acc))) {
        let Combiner { aggregator, combines, table, used } = self;
        if !*combines {
            return block.for_each(|row| {
                if let Some(key) = aggregator.key(row) {
                    give(first(aggregator, key, row));
                }
            });
        }
        if table.is_empty() {
            table.resize(SLOTS, None); // with the first rows: of many replicas some see none
        }
        block.for_each(|row| {
            let Some(key) = aggregator.key(row) else { return };
            let at = hash::slot(&key);
            let Some(slot) = table.get_mut(usize::from(at)) else { return }; // slots are below SLOTS
            match slot {
                Some((held, acc)) if *held == key => aggregator.fold(acc, row),
                Some(_) => {
                    if let Some(pair) = slot.replace(first(aggregator, key, row)) {
                        give(pair);
                    }
                }
                None => {
                    *slot = Some(first(aggregator, key, row));
                    used.push(at);
                }
            }
        });
    }

    /// Gives out what it still holds.
    pub fn flush(&mut self, mut give: impl FnMut((A::Key, A::Acc))) {
        for at in self.used.drain(..) {
            if let Some(pair) = self.table.get_mut(usize::from(at)).and_then(Option::take) {
                give(pair);
            }
        }
    }
}

#[inline]
fn first<A: Aggregator>(aggregator: &A, key: A::Key, row: &A::Row) -> (A::Key, A::Acc) {
    let mut acc = A::Acc::default();
    aggregator.fold(&mut acc, row);
    (key, acc)
}

/// The edge into an aggregator.
pub(crate) struct CombineEdge<A: Aggregator> {
    combiner: Combiner<A>,
    edge: Edge,
    index: u16,
}

impl<A: Aggregator> CombineEdge<A> {
    pub fn new(aggregator: A, edge: Edge, index: u16) -> Self {
        CombineEdge { combiner: Combiner::new(aggregator, edge.combine), edge, index }
    }
}

impl<A: Aggregator> Push<A::Row> for CombineEdge<A> {
    fn push(&mut self, block: Block<'_, A::Row>, out: &mut Outbox) {
        let Edge { first_slot, shards, .. } = self.edge;
        out.count(self.index, block.len(), 0);
        self.combiner.fold(block, |pair| out.put_pair(first_slot, shards, &pair));
    }

    fn flush(&mut self, out: &mut Outbox) -> bool {
        let Edge { first_slot, shards, .. } = self.edge;
        self.combiner.flush(|pair| out.put_pair(first_slot, shards, &pair));
        false
    }
}
