//! The edge into an aggregator: folds rows that meet within one batch, so that little travels.
//!
//! A direct-mapped table of accumulators: a row whose slot holds another key sends that one off and takes its place.
//! Few keys stay in the table until the batch ends; many keys pass through at the cost of a look-up, in bounded memory.
//! The receiver merges, so which rows met does not show (the aggregator's laws).

use super::{Block, Outbox, block::Push, operator::Edge};
use crate::{hash, operator::Aggregator};

/// The table fits the second-level cache for accumulators of any usual size.
const SLOTS: usize = 1 << 12;

pub(crate) struct CombineEdge<A: Aggregator> {
    aggregator: A,
    edge: Edge,
    index: u16,
    table: Vec<Option<(A::Key, A::Acc)>>,
    used: Vec<u16>,
}

impl<A: Aggregator> CombineEdge<A> {
    pub fn new(aggregator: A, edge: Edge, index: u16) -> Self {
        CombineEdge { aggregator, edge, index, table: Vec::new(), used: Vec::new() }
    }
}

impl<A: Aggregator> Push<A::Row> for CombineEdge<A> {
    fn push(&mut self, block: Block<'_, A::Row>, out: &mut Outbox) {
        let CombineEdge { aggregator, edge, index, table, used } = self;
        if edge.combine && table.is_empty() {
            table.resize(SLOTS, None); // with the first rows: of many replicas some see none
        }
        out.count(*index, block.len(), 0);
        block.for_each(|row| {
            let Some(key) = aggregator.key(row) else { return };
            let at = (hash::fixed(&key) >> 52) as usize; // the top 12 bits: SLOTS of them
            let Some(slot) = table.get_mut(at) else {
                return send(out, edge, first(aggregator, key, row));
            };
            match slot {
                Some((held, acc)) if *held == key => aggregator.fold(acc, row),
                Some(_) => {
                    if let Some(pair) = slot.replace(first(aggregator, key, row)) {
                        send(out, edge, pair);
                    }
                }
                None => {
                    *slot = Some(first(aggregator, key, row));
                    used.push(at as u16);
                }
            }
        });
    }

    fn flush(&mut self, out: &mut Outbox) -> bool {
        for at in self.used.drain(..) {
            if let Some(pair) = self.table.get_mut(usize::from(at)).and_then(Option::take) {
                send(out, &self.edge, pair);
            }
        }
        false
    }
}

#[inline]
fn first<A: Aggregator>(aggregator: &A, key: A::Key, row: &A::Row) -> (A::Key, A::Acc) {
    let mut acc = A::Acc::default();
    aggregator.fold(&mut acc, row);
    (key, acc)
}

#[inline]
fn send<K: serde::Serialize, V: serde::Serialize>(out: &mut Outbox, edge: &Edge, pair: (K, V)) {
    out.put_pair(edge.first_slot, edge.shards, &pair);
}
