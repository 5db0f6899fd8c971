//! How operators run: typed, a block of rows at a time, put together at run time from a plan.
//!
//! Within a node the rows of one type go through pushers; where they leave the node an *edge* encodes them into the
//! [`Outbox`], one slot a port and shard; where they arrive a *head* decodes them. Edges into aggregators and maximizers
//! combine what they are given before it travels. Nothing here knows frames, jobs or nodes.

mod aggregate;
mod best;
mod block;
mod build;
mod combine;
mod filter;
mod groups;
mod guard;
mod join;
mod map;
mod maximize;
mod operator;
mod outbox;
mod rejected;
mod rows;
mod scratch;
mod sink;
mod source;

pub(crate) use aggregate::AggregateOp;
pub use best::Best;
pub use block::Block;
pub use combine::Combiner;
pub(crate) use filter::FilterOp;
pub use groups::Groups;
pub(crate) use guard::guarded;
pub(crate) use join::JoinOp;
pub(crate) use map::{Each, MapOp, One};
pub(crate) use maximize::MaximizeOp;
pub(crate) use operator::{AnyPush, Context, Edge, Head, Make, Operator, Place, UNCOUNTED};
pub use operator::{ExecError, State, Transform};
pub(crate) use outbox::{EMITTED_BYTES, EMITTED_ROWS};
pub use outbox::{Outbox, Slot};
pub(crate) use rejected::RejectedOp;
pub use rejected::{REJECTED, REJECTED_LIMIT, RejectedRow};
pub use scratch::{MemoryScratch, Scratch, ScratchError};
pub(crate) use sink::SinkOp;
pub(crate) use source::SourceOp;
