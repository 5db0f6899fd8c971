//! A filter as a link of a chain.

use std::marker::PhantomData;

use super::{
    AnyPush, Context, Edge, Head, Operator, Outbox, Place,
    block::{Block, Fork, Push},
    operator::{Make, UNCOUNTED},
    rows::{PlainEdge, RowsHead},
};
use crate::operator::{Filter, Row};

pub(crate) struct FilterOp<R, F> {
    make: Make<F>,
    rows: PhantomData<fn(R)>,
}

impl<R, F> FilterOp<R, F> {
    pub fn new(make: Make<F>) -> Self {
        FilterOp { make, rows: PhantomData }
    }
}

impl<R: Row, F: Filter<R>> FilterOp<R, F> {
    fn typed(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> FilterLink<R, F> {
        FilterLink {
            filter: (self.make)(context.parameters),
            index: context.index,
            picked: Vec::new(),
            next: AnyPush::fork(followers),
        }
    }
}

impl<R: Row, F: Filter<R>> Operator for FilterOp<R, F> {
    fn place(&self) -> Place {
        Place::Stateless
    }

    fn link(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Option<AnyPush> {
        Some(AnyPush::new(self.typed(context, followers)))
    }

    fn edge(&self, _context: &Context<'_>, _input: usize, edge: Edge) -> AnyPush {
        AnyPush::new(PlainEdge::<R>::new(edge, UNCOUNTED))
    }

    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head {
        Head::Stateless(Box::new(RowsHead::new(Fork(vec![Box::new(self.typed(context, followers))]))))
    }
}

struct FilterLink<R, F> {
    filter: F,
    index: u16,
    picked: Vec<u32>,
    next: Fork<R>,
}

impl<R: Row, F: Filter<R>> Push<R> for FilterLink<R, F> {
    fn push(&mut self, block: Block<'_, R>, out: &mut Outbox) {
        let kept = block.pick(&mut self.picked, |row| self.filter.keep(row));
        out.count(self.index, block.len(), kept.len());
        self.next.push(kept, out);
    }

    fn flush(&mut self, out: &mut Outbox) -> bool {
        self.next.flush(out)
    }
}
