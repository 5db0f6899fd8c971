//! What a plan knows of an operator without its types: how to build its parts for a job.
//!
//! The typed builder makes sure that neighbours agree on their row type; here the types are erased, so that a placement
//! read at run time can decide where a chain is cut.

use std::any::Any;

use super::{
    Outbox, Scratch, ScratchError,
    block::{Fork, Push},
};
use crate::{
    codec::{DecodeError, EncodeError},
    frame::Stream,
};

/// Where an operator can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Reads chunks; head of a stateless stage.
    Source,
    /// A link of a chain, or the head of a stateless stage.
    Stateless,
    /// Needs all its input: head of a stateful stage.
    Stateful,
    /// Like `Stateful`; what it emits goes to the client.
    Sink,
}

/// What an operator is built from, for one job.
pub(crate) struct Context<'a> {
    /// The job's parameters.
    pub parameters: &'a (dyn Any + Send + Sync),
    /// The operator's index in the plan, which its counts go under.
    pub index: u16,
    /// The slot that rejected rows go to, for operators that reject.
    pub rejects: Option<usize>,
    /// Whether all that is emitted is combined before it travels, so that its order does not show.
    pub order_free: bool,
    /// Whether this join is the one that reports the duplicates of its table.
    pub reports: bool,
    /// Room outside memory.
    pub scratch: &'a dyn Fn() -> Box<dyn Scratch>,
}

/// The sending side of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// The slot of shard 0; the others follow.
    pub first_slot: usize,
    /// How many shards the receiving stage has.
    pub shards: u16,
    /// Whether rows are combined before they travel.
    pub combine: bool,
    /// Whether the receiver is a partial one, which any share of the rows may go to.
    pub partial: bool,
}

/// A pusher of rows whose type only its neighbours know.
pub(crate) struct AnyPush(Box<dyn Any + Send>);

impl AnyPush {
    pub fn new<R: 'static>(push: impl Push<R> + 'static) -> Self {
        let push: Box<dyn Push<R>> = Box::new(push);
        AnyPush(Box::new(push))
    }

    /// All of them as one.
    pub fn fork<R: 'static>(all: Vec<AnyPush>) -> Fork<R> {
        #[expect(clippy::expect_used, reason = "the builder's Flow<R> gave the follower its row type")]
        let typed =
            |push: AnyPush| *push.0.downcast::<Box<dyn Push<R>>>().expect("a follower takes its forerunner's rows");
        Fork(all.into_iter().map(typed).collect())
    }
}

/// The receiving side of an operator.
pub(crate) enum Head {
    /// Answers batch by batch.
    Stateless(Box<dyn Transform>),
    /// Answers when its inputs are complete.
    Stateful(Box<dyn State>),
}

/// What can go wrong in an operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// What arrived can't be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A row can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// More rows for one shard than it can address.
    #[error("one shard has more than 64 GiB of rows to keep: use more shards")]
    TooLarge,
    /// Sorting outside memory failed.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// An operator's own code panicked, saying this.
    #[error("it panicked: {0}")]
    Panicked(String),
}

/// A stateless chain: answers one batch from that batch alone (invariant 1).
pub trait Transform: Send {
    /// Takes the batch's encoded rows and leaves the answer in `out`, nothing held back.
    ///
    /// # Errors
    /// Where the rows can't be decoded: `out` then holds a part of the answer, not to be used.
    fn batch(&mut self, rows: u32, payload: &[u8], out: &mut Outbox) -> Result<(), ExecError>;
}

/// The state of a stateful operator in one job and shard.
pub trait State: Send {
    /// Takes a batch of one of its inputs. Batches may come in any order, each once.
    ///
    /// # Errors
    /// Where the rows can't be decoded; the state is then not to be used.
    fn absorb(&mut self, input: usize, from: (Stream, u64), rows: u32, payload: &[u8]) -> Result<(), ExecError>;

    /// Leaves the next batch of the result in `out`, cut by a fixed rule (invariant 5); true when it was the last.
    /// Called only when all inputs are complete, and until it has returned true.
    ///
    /// # Errors
    /// Where what was put aside can't be read back.
    fn emit(&mut self, out: &mut Outbox) -> Result<bool, ExecError>;
}

/// An operator without its types.
pub(crate) trait Operator: Send + Sync {
    /// Where it can stand.
    fn place(&self) -> Place;

    /// Whether what its edges send, when they combine, does not show the order of the rows that they were given.
    fn hides_order(&self) -> bool {
        false
    }

    /// Itself as a link of a chain; `None` where it can't be one.
    fn link(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Option<AnyPush>;

    /// The sending side of a port into `input`; of a sink, that of its port to the client.
    fn edge(&self, context: &Context<'_>, input: usize, edge: Edge) -> AnyPush;

    /// The receiving side.
    fn head(&self, context: &Context<'_>, followers: Vec<AnyPush>) -> Head;
}

/// Stands for no operator where rows are not to be counted.
pub(crate) const UNCOUNTED: u16 = u16::MAX;

/// Builds an operator's logic from a job's parameters.
pub(crate) type Make<T> = Box<dyn Fn(&(dyn Any + Send + Sync)) -> T + Send + Sync>;
