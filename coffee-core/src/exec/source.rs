//! A source as the head of a stateless stage.

use super::{
    AnyPush, Block, Context, Edge, ExecError, Head, Operator, Outbox, Place, Transform,
    block::{Fork, Push},
    operator::Make,
};
use crate::{
    operator::Row,
    rejection::Rejection,
    source::{Chunk, RowSink, Rows, Source},
};

pub(crate) struct SourceOp<S> {
    make: Make<S>,
}

impl<S> SourceOp<S> {
    pub fn new(make: Make<S>) -> Self {
        SourceOp { make }
    }
}

impl<S: Source<Row: Row>> Operator for SourceOp<S> {
    fn place(&self) -> Place {
        Place::Source
    }

    fn link(&self, _context: &Context<'_>, _followers: Vec<AnyPush>) -> Option<AnyPush> {
        None
    }

    fn edge(&self, _context: &Context<'_>, _input: usize, _edge: Edge) -> AnyPush {
        // Chunks come from outside the plan; nothing in it feeds a source.
        AnyPush::new(Fork::<S::Row>(Vec::new()))
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        let (index, rejects) = (context.index, context.rejects);
        Head::Stateless(Box::new(SourceHead {
            source: (self.make)(context.parameters),
            block: Vec::new(),
            chain: AnyPush::fork(followers),
            index,
            rejects,
        }))
    }
}

struct SourceHead<S: Source> {
    source: S,
    block: Vec<S::Row>,
    chain: Fork<S::Row>,
    index: u16,
    rejects: Option<usize>,
}

impl<S: Source<Row: Row>> Transform for SourceHead<S> {
    fn batch(&mut self, _rows: u32, payload: &[u8], out: &mut Outbox) -> Result<(), ExecError> {
        let chunk = Chunk::decode(payload)?;
        let mut sink = Chain { chain: &mut self.chain, out, index: self.index, rejects: self.rejects };
        let mut rows = Rows::new(&mut self.block, &mut sink);
        self.source.read(&chunk, &mut rows);
        rows.finish();
        self.chain.flush(out);
        Ok(out.take_error()?)
    }
}

/// Passes a source's blocks to the chain behind it, and rejected rows to the slot for them.
struct Chain<'a, R> {
    chain: &'a mut Fork<R>,
    out: &'a mut Outbox,
    index: u16,
    rejects: Option<usize>,
}

impl<R: Row> RowSink<R> for Chain<'_, R> {
    fn rows(&mut self, rows: &[R]) {
        self.out.count(self.index, rows.len(), rows.len());
        self.chain.push(Block::all(rows), self.out);
    }

    fn reject(&mut self, rejection: Rejection) {
        self.out.count(self.index, 1, 0);
        self.out.reject(self.index, self.rejects, &rejection);
    }
}
