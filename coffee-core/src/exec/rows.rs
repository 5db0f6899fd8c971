//! Rows across a port: an edge that encodes them as they are, and a head that decodes them into blocks.

use std::marker::PhantomData;

use super::{
    ExecError, Outbox, Transform,
    block::{Block, Fork, Push},
    operator::Edge,
};
use crate::{codec, codec::DecodeError, operator::Row, source::BLOCK};

/// Encodes rows as they are, for a receiver with one queue.
pub(crate) struct PlainEdge<R> {
    slot: usize,
    index: u16,
    rows: PhantomData<fn(&R)>,
}

impl<R> PlainEdge<R> {
    /// Counts the rows as the input of operator `index`, or of none by `UNCOUNTED`.
    pub fn new(edge: Edge, index: u16) -> Self {
        PlainEdge { slot: edge.first_slot, index, rows: PhantomData }
    }
}

impl<R: Row> Push<R> for PlainEdge<R> {
    fn push(&mut self, block: Block<'_, R>, out: &mut Outbox) {
        out.count(self.index, block.len(), 0);
        block.for_each(|row| out.put(self.slot, row));
    }

    fn flush(&mut self, _out: &mut Outbox) -> bool {
        false
    }
}

/// Decodes a payload block by block; exactly `rows` rows, or it is an error.
pub(crate) fn decode_blocks<R: Row>(
    rows: u32,
    mut payload: &[u8],
    block: &mut Vec<R>,
    mut each: impl FnMut(&mut Vec<R>) -> Result<(), ExecError>,
) -> Result<(), ExecError> {
    let mut left = rows as usize;
    while left > 0 {
        block.clear();
        let take = left.min(BLOCK);
        block.reserve(take);
        for _ in 0..take {
            block.push(codec::decode(&mut payload)?);
        }
        left -= take;
        each(block)?;
    }
    if payload.is_empty() { Ok(()) } else { Err(DecodeError::Unknown("more bytes than rows").into()) }
}

/// The head of a stateless stage: decodes rows for the chain behind it.
pub(crate) struct RowsHead<R> {
    block: Vec<R>,
    chain: Fork<R>,
}

impl<R: Row> RowsHead<R> {
    pub fn new(chain: Fork<R>) -> Self {
        RowsHead { block: Vec::new(), chain }
    }
}

impl<R: Row> Transform for RowsHead<R> {
    fn batch(&mut self, rows: u32, payload: &[u8], out: &mut Outbox) -> Result<(), ExecError> {
        let RowsHead { block, chain } = self;
        decode_blocks(rows, payload, block, |block| {
            chain.push(Block::all(block), out);
            Ok(())
        })?;
        chain.flush(out);
        Ok(out.take_error()?)
    }
}
