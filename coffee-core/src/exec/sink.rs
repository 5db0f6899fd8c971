//! A sink as a stateful operator: puts a result in order, outside memory where it is large, and emits it piece by piece.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    marker::PhantomData,
    vec,
};

use super::{
    AnyPush, Context, Edge, ExecError, Head, Operator, Outbox, Place, Scratch, State,
    aggregate::Emission,
    rows::{PlainEdge, decode_blocks},
};
use crate::{codec, codec::DecodeError, frame::Stream, operator::Row};

/// Bytes of rows that are sorted in memory; what is more goes to scratch space in sorted runs of this size.
const RUN_BYTES: usize = 32 << 20;

/// Bytes of a run that are in memory while runs are merged. A thousand runs, 32 GB of rows, take 64 MiB.
const READ_BYTES: usize = 64 << 10;

pub(crate) struct SinkOp<R> {
    run_bytes: usize,
    rows: PhantomData<fn(&R)>,
}

impl<R> SinkOp<R> {
    pub fn new() -> Self {
        SinkOp { run_bytes: RUN_BYTES, rows: PhantomData }
    }
}

impl<R: Row + Ord> Operator for SinkOp<R> {
    fn place(&self) -> Place {
        Place::Sink
    }

    fn link(&self, _context: &Context<'_>, _followers: Vec<AnyPush>) -> Option<AnyPush> {
        None
    }

    fn edge(&self, context: &Context<'_>, _input: usize, edge: Edge) -> AnyPush {
        AnyPush::new(PlainEdge::<R>::new(edge, context.index))
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        Head::Stateful(Box::new(SinkState::<R> {
            sorter: Sorter::new((context.scratch)(), self.run_bytes),
            sorted: None,
            emission: Emission::new(context.index, followers),
        }))
    }
}

struct SinkState<R> {
    sorter: Sorter<R>,
    sorted: Option<Merge<R>>,
    emission: Emission<R>,
}

impl<R: Row + Ord> State for SinkState<R> {
    fn absorb(&mut self, _input: usize, _from: (Stream, u64), rows: u32, payload: &[u8]) -> Result<(), ExecError> {
        self.sorter.add(rows, payload)
    }

    fn emit(&mut self, out: &mut Outbox) -> Result<bool, ExecError> {
        let merge = match &mut self.sorted {
            Some(merge) => merge,
            none => none.insert(self.sorter.finish()?),
        };
        let mut failed = None;
        let mut rows = std::iter::from_fn(|| {
            merge.next(&mut *self.sorter.scratch).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        let last = self.emission.batch(&mut rows, out)?;
        failed.map_or(Ok(last), Err)
    }
}

/// Collects rows and puts sorted runs of them aside.
struct Sorter<R> {
    scratch: Box<dyn Scratch>,
    run_bytes: usize,
    rows: Vec<R>,
    bytes: usize,
    block: Vec<R>,
    runs: Vec<Run<R>>,
}

impl<R: Row + Ord> Sorter<R> {
    fn new(scratch: Box<dyn Scratch>, run_bytes: usize) -> Self {
        Sorter { scratch, run_bytes, rows: Vec::new(), bytes: 0, block: Vec::new(), runs: Vec::new() }
    }

    fn add(&mut self, rows: u32, payload: &[u8]) -> Result<(), ExecError> {
        let start = self.rows.len();
        let Sorter { rows: all, block, .. } = self;
        decode_blocks(rows, payload, block, |block| {
            all.append(block);
            Ok(())
        })?;
        // A batch is put in order when it comes: the last sort then only merges ordered stretches, when time is short.
        if let Some(batch) = self.rows.get_mut(start..) {
            batch.sort_unstable();
        }
        // What a decoded row owns outside itself is at most what its encoding has.
        self.bytes += rows as usize * size_of::<R>() + payload.len();
        if self.bytes >= self.run_bytes {
            self.put_aside()?;
        }
        Ok(())
    }

    fn put_aside(&mut self) -> Result<(), ExecError> {
        self.rows.sort();
        let mut encoded = Vec::with_capacity(READ_BYTES * 2);
        let mut run: Option<Run<R>> = None;
        for row in self.rows.drain(..) {
            codec::encode(&row, &mut encoded)?;
            if encoded.len() >= READ_BYTES {
                Run::extend(&mut run, &mut *self.scratch, &mut encoded)?;
            }
        }
        Run::extend(&mut run, &mut *self.scratch, &mut encoded)?;
        self.runs.extend(run);
        self.bytes = 0;
        Ok(())
    }

    fn finish(&mut self) -> Result<Merge<R>, ExecError> {
        if !self.runs.is_empty() {
            self.put_aside()?;
        }
        self.rows.sort();
        let rows = std::mem::take(&mut self.rows).into_iter();
        let mut runs = std::mem::take(&mut self.runs);
        let mut heads = BinaryHeap::new();
        for (at, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(&mut *self.scratch)?.map(|row| Reverse((row, at))));
        }
        Ok(Merge { rows, runs, heads })
    }
}

/// Hands out all rows in order: from memory, or from the runs where there are any.
struct Merge<R> {
    rows: vec::IntoIter<R>,
    runs: Vec<Run<R>>,
    heads: BinaryHeap<Reverse<(R, usize)>>,
}

impl<R: Row + Ord> Merge<R> {
    fn next(&mut self, scratch: &mut dyn Scratch) -> Result<Option<R>, ExecError> {
        let Some(mut least) = self.heads.peek_mut() else { return Ok(self.rows.next()) };
        let at = least.0.1;
        let next = match self.runs.get_mut(at) {
            Some(run) => run.next(scratch)?,
            None => None,
        };
        // Replacing the least costs half of taking it out and putting the next one in.
        let Reverse((row, _)) = match next {
            Some(next) => std::mem::replace(&mut *least, Reverse((next, at))),
            None => PeekMut::pop(least),
        };
        Ok(Some(row))
    }
}

/// A sorted run: consecutive blocks of whole rows in scratch space.
struct Run<R> {
    start: u64,
    lengths: Vec<u32>,
    next: usize,
    block: Vec<u8>,
    at: usize,
    rows: PhantomData<R>,
}

impl<R: Row> Run<R> {
    /// Appends a block of encoded rows, and empties it.
    fn extend(run: &mut Option<Self>, scratch: &mut dyn Scratch, encoded: &mut Vec<u8>) -> Result<(), ExecError> {
        if encoded.is_empty() {
            return Ok(());
        }
        let start = scratch.append(encoded)?;
        let run = run.get_or_insert_with(|| Run {
            start,
            lengths: Vec::new(),
            next: 0,
            block: Vec::new(),
            at: 0,
            rows: PhantomData,
        });
        run.lengths.push(u32::try_from(encoded.len()).map_err(|_| ExecError::TooLarge)?);
        encoded.clear();
        Ok(())
    }

    fn next(&mut self, scratch: &mut dyn Scratch) -> Result<Option<R>, ExecError> {
        if self.at == self.block.len() {
            let Some(length) = self.lengths.get(self.next) else { return Ok(None) };
            self.block.resize(*length as usize, 0);
            scratch.read(self.start, &mut self.block)?;
            self.start += u64::from(*length);
            (self.next, self.at) = (self.next + 1, 0);
        }
        let mut rest = self.block.get(self.at..).ok_or(DecodeError::Truncated)?;
        let row = codec::decode(&mut rest)?;
        self.at = self.block.len() - rest.len();
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::MemoryScratch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_out_in_order_in_memory_and_outside(batches in prop::collection::vec(prop::collection::vec(any::<(u16, String)>(), 0..30), 0..20), run_bytes in 1..4000usize) {
            let mut sorter = Sorter::<(u16, String)>::new(Box::new(MemoryScratch::default()), run_bytes);
            for batch in &batches {
                let mut payload = Vec::new();
                for row in batch {
                    codec::encode(row, &mut payload)?;
                }
                sorter.add(batch.len() as u32, &payload)?;
            }
            let mut merge = sorter.finish()?;
            let mut sorted = Vec::new();
            while let Some(row) = merge.next(&mut *sorter.scratch)? {
                sorted.push(row);
            }
            let mut expected = batches.concat();
            expected.sort();
            prop_assert_eq!(sorted, expected);
        }
    }
}
