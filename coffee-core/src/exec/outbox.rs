//! What one batch leaves behind: encoded rows by port and shard, and counts by operator.

use serde::Serialize;

use super::REJECTED_LIMIT;
use crate::{
    codec::{self, EncodeError},
    frame::Count,
    hash,
    rejection::Rejection,
};

/// Rows at which a batch of an emission is cut.
pub(crate) const EMITTED_ROWS: u32 = if cfg!(test) { 3 } else { 8 << 10 }; // in tests, cuts are to happen

/// Bytes at which a batch of an emission is cut, far below what a frame can hold.
pub(crate) const EMITTED_BYTES: usize = 1 << 20;

/// Encoded rows for one shard of one port.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// The rows, back to back.
    pub bytes: Vec<u8>,
    /// How many.
    pub rows: u32,
}

/// Collects what the operators make of one batch.
#[derive(Debug)]
pub struct Outbox {
    slots: Vec<Slot>,
    counts: Vec<Count>,
    error: Option<EncodeError>,
    rejection: Option<(u16, Rejection)>,
    key: Vec<u8>,
    /// Whether batches are cut: those of an emission are, while an answer to a batch is as large as it is.
    cuts: bool,
}

impl Outbox {
    /// For a node with this many slots, a plan with this many operators, and an emission if it `cuts` batches.
    pub(crate) fn new(slots: usize, operators: u16, cuts: bool) -> Self {
        let counts = (0..operators).map(|operator| Count { operator, ..Count::default() }).collect();
        Outbox { slots: vec![Slot::default(); slots], counts, error: None, rejection: None, key: Vec::new(), cuts }
    }

    /// Notes rows in and out of an operator.
    #[inline]
    pub(crate) fn count(&mut self, operator: u16, rows_in: usize, rows_out: usize) {
        if let Some(count) = self.counts.get_mut(usize::from(operator)) {
            count.rows_in += rows_in as u64;
            count.rows_out += rows_out as u64;
        }
    }

    /// Appends a row to a slot.
    #[inline]
    pub(crate) fn put<T: Serialize>(&mut self, slot: usize, row: &T) {
        // Slots are laid out together with the edges that write to them, so the slot exists.
        if let Some(slot) = self.slots.get_mut(slot) {
            match codec::encode(row, &mut slot.bytes) {
                Ok(()) => slot.rows += 1,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Appends a row to the slot of its key's shard, counted from `first`.
    #[inline]
    pub(crate) fn put_by_key<K: Serialize, T: Serialize>(&mut self, first: usize, shards: u16, key: &K, row: &T) {
        if shards == 1 {
            return self.put(first, row);
        }
        self.key.clear();
        match codec::encode(key, &mut self.key) {
            Ok(()) => self.put(first + usize::from(hash::shard_of(&self.key, shards)), row),
            Err(error) => self.error = Some(error),
        }
    }

    /// Appends a row that is its key followed by something, to the slot of the key's shard, counted from `first`.
    #[inline]
    pub(crate) fn put_pair<K: Serialize, V: Serialize>(&mut self, first: usize, shards: u16, pair: &(K, V)) {
        if shards == 1 {
            return self.put(first, pair);
        }
        self.key.clear();
        if let Err(error) = codec::encode(&pair.0, &mut self.key) {
            self.error = Some(error);
            return;
        }
        // A pair's encoding is its parts' one after the other: the key is encoded once for both uses.
        if let Some(slot) = self.slots.get_mut(first + usize::from(hash::shard_of(&self.key, shards))) {
            slot.bytes.extend_from_slice(&self.key);
            match codec::encode(&pair.1, &mut slot.bytes) {
                Ok(()) => slot.rows += 1,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Notes a rejected row under an operator; beyond the limit of rows a batch, only the count travels.
    pub(crate) fn reject(&mut self, operator: u16, slot: Option<usize>, rejection: &Rejection) {
        self.count_rejected(operator, 1);
        if let Some(slot) = slot
            && self.slots.get(slot).is_some_and(|slot| slot.rows < REJECTED_LIMIT)
        {
            self.put(slot, rejection);
        }
        if self.rejection.is_none() {
            self.rejection = Some((operator, rejection.clone()));
        }
    }

    /// Notes rejected rows whose text does not travel.
    pub(crate) fn count_rejected(&mut self, operator: u16, rows: u64) {
        if let Some(count) = self.counts.get_mut(usize::from(operator)) {
            count.rejected += rows;
        }
    }

    /// The first row that was rejected since the last call, with its operator.
    pub(crate) fn take_rejection(&mut self) -> Option<(u16, Rejection)> {
        self.rejection.take()
    }

    /// Whether a batch of an emission is to be cut here, by the rule that is fixed for good (invariant 5): a slot has as
    /// many rows or bytes as a source's chunk has about.
    pub(crate) fn is_full(&self) -> bool {
        self.cuts && self.slots.iter().any(|slot| slot.rows >= EMITTED_ROWS || slot.bytes.len() >= EMITTED_BYTES)
    }

    /// The slots, to be emptied by whoever sends them.
    pub(crate) fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The counts since the last call, without operators that saw no row.
    pub(crate) fn take_counts(&mut self) -> Vec<Count> {
        let counted = self.counts.iter_mut().filter(|count| count.rows_in + count.rows_out + count.rejected > 0);
        counted.map(|count| std::mem::replace(count, Count { operator: count.operator, ..Count::default() })).collect()
    }

    /// The first row that could not be encoded since the last call.
    pub(crate) fn take_error(&mut self) -> Result<(), EncodeError> {
        self.error.take().map_or(Ok(()), Err)
    }
}
