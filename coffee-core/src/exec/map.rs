//! What makes rows of rows as a link of a chain: of each one, or of each any number.

use std::marker::PhantomData;

use super::{
    AnyPush, Context, Edge, Head, Operator, Outbox, Place,
    block::{Block, Fork, Push},
    operator::{Make, UNCOUNTED},
    rows::{PlainEdge, RowsHead},
};
use crate::operator::{Projection, Row};

/// Makes rows of one row, behind those that it finds.
pub(crate) trait Expand<R>: Send + 'static {
    type Out;
    fn expand(&self, row: &R, made: &mut Vec<Self::Out>);
}

/// Makes one.
pub(crate) struct One<M>(pub M);

impl<R, M: Projection<R>> Expand<R> for One<M> {
    type Out = M::Out;

    #[inline]
    fn expand(&self, row: &R, made: &mut Vec<M::Out>) {
        made.push(self.0.project(row));
    }
}

/// Makes as many as there are in what the projection gives.
pub(crate) struct Each<M>(pub M);

impl<R, M: Projection<R, Out: IntoIterator>> Expand<R> for Each<M> {
    type Out = <M::Out as IntoIterator>::Item;

    fn expand(&self, row: &R, made: &mut Vec<Self::Out>) {
        made.extend(self.0.project(row));
    }
}

pub(crate) struct MapOp<R, M> {
    make: Make<M>,
    rows: PhantomData<fn(R)>,
}

impl<R, M> MapOp<R, M> {
    pub fn new(make: Make<M>) -> Self {
        MapOp { make, rows: PhantomData }
    }
}

impl<R: Row, M: Expand<R, Out: Row>> MapOp<R, M> {
    fn typed(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> MapLink<M, M::Out> {
        MapLink {
            map: (self.make)(context.parameters),
            index: context.index,
            made: Vec::new(),
            next: AnyPush::fork(followers),
        }
    }
}

impl<R: Row, M: Expand<R, Out: Row>> Operator for MapOp<R, M> {
    fn place(&self) -> Place {
        Place::Stateless
    }

    fn link(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Option<AnyPush> {
        Some(AnyPush::new::<R>(self.typed(context, followers)))
    }

    fn edge(&self, _context: &Context<'_>, _input: usize, edge: Edge) -> AnyPush {
        AnyPush::new(PlainEdge::<R>::new(edge, UNCOUNTED))
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        Head::Stateless(Box::new(RowsHead::<R>::new(Fork(vec![Box::new(self.typed(context, followers))]))))
    }
}

struct MapLink<M, O> {
    map: M,
    index: u16,
    made: Vec<O>,
    next: Fork<O>,
}

impl<R: Row, M: Expand<R, Out: Row>> Push<R> for MapLink<M, M::Out> {
    fn push(&mut self, block: Block<'_, R>, out: &mut Outbox) {
        self.made.clear();
        block.for_each(|row| self.map.expand(row, &mut self.made));
        out.count(self.index, block.len(), self.made.len());
        self.next.push(Block::all(&self.made), out);
    }

    fn flush(&mut self, out: &mut Outbox) -> bool {
        self.next.flush(out)
    }
}
