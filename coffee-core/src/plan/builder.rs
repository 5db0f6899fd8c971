//! The typed pipeline builder.

use std::{
    any::{Any, TypeId, type_name},
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    marker::PhantomData,
    sync::Arc,
};

use crate::{
    codec::{self, DecodeError, EncodeError},
    exec::{
        AggregateOp, Each, FilterOp, JoinOp, Make, MapOp, MaximizeOp, One, Operator, Place, REJECTED, RejectedOp,
        SinkOp, SourceOp,
    },
    operator::{Aggregator, Filter, Joiner, Maximizer, Projection, Row},
    source::{EncodedRows, Source},
};

/// A plan that does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two operators of one name.
    #[error("two operators are called {0:?}")]
    SameName(String),
    /// Nothing would come out.
    #[error("the plan has no sink")]
    NoSink,
    /// More sinks than a job can choose among.
    #[error("the plan has more than 64 sinks")]
    TooManySinks,
}

/// What an operator does with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OperatorKind {
    /// Reads them from chunks.
    Source,
    /// Picks some.
    Filter,
    /// Maps each to another, or to any number of others.
    Projection,
    /// Folds those of a key.
    Aggregator,
    /// Keeps the best of a group.
    Maximizer,
    /// Joins them with others.
    Joiner,
    /// Puts them in order, as a result.
    Sink,
}

/// One operator of a plan.
pub(crate) struct Op {
    pub name: String,
    pub kind: OperatorKind,
    pub operator: Box<dyn Operator>,
    /// The operators that feed it, by index.
    pub inputs: Vec<usize>,
}

/// Parameters that a plan has no use for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// Of another type than the plan's builder had.
    #[error("the plan's parameters are a {expected}, not a {given}")]
    Type {
        /// The plan's type.
        expected: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// They can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

type DecodeParameters = fn(&mut &[u8]) -> Result<Box<dyn Any + Send + Sync>, DecodeError>;

/// A checked pipeline: a directed graph of operators from sources to sinks, without a word on where they run.
pub struct Plan {
    pub(crate) ops: Vec<Op>,
    pub(crate) sinks: Vec<usize>,
    pub(crate) decode_parameters: DecodeParameters,
    parameters: (TypeId, &'static str),
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ops.iter().map(|op| (&op.name, &op.inputs))).finish()
    }
}

impl Plan {
    /// A job's parameters as frames carry them.
    ///
    /// # Errors
    /// Where they are of another type than the plan's, or can't be encoded.
    pub fn encode_parameters<P: Row>(&self, parameters: &P) -> Result<Vec<u8>, ParametersError> {
        let (id, expected) = self.parameters;
        if id != TypeId::of::<P>() {
            return Err(ParametersError::Type { expected, given: type_name::<P>() });
        }
        let mut encoded = Vec::new();
        codec::encode(parameters, &mut encoded)?;
        Ok(encoded)
    }

    /// The operators' names, in the order that counts refer to them by.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.ops.iter().map(|op| op.name.as_str())
    }

    /// What the operator of that name does; `None` where there is none.
    pub fn kind_of(&self, operator: &str) -> Option<OperatorKind> {
        self.ops.iter().find(|op| op.name == operator).map(|op| op.kind)
    }

    /// The sinks' names, in the order that jobs choose among them by.
    pub fn sinks(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().filter_map(|op| Some(self.ops.get(*op)?.name.as_str()))
    }

    /// The source that a join looks its rows up in; `None` for other operators, and joins with computed rows.
    pub fn looked_up_by(&self, join: &str) -> Option<&str> {
        let op = self.ops.iter().find(|op| op.name == join && op.operator.place() == Place::Stateful)?;
        let source = self.source_of(*op.inputs.get(1)?)?;
        Some(self.ops.get(source)?.name.as_str())
    }

    /// The source whose rows an operator gets without a stateful operator between, where there is one such source.
    pub(crate) fn source_of(&self, op: usize) -> Option<usize> {
        let found = self.ops.get(op)?;
        match (found.operator.place(), found.inputs.as_slice()) {
            (Place::Source, _) => Some(op),
            (Place::Stateless, [input]) => self.source_of(*input),
            _ => None,
        }
    }
}

/// Builds a [`Plan`] whose operators are made from a job's parameters, a `P`. Which rows flow between operators is
/// checked by the compiler.
pub struct PlanBuilder<P> {
    ops: RefCell<Vec<Op>>,
    parameters: PhantomData<fn(&P)>,
}

impl<P: Row> Default for PlanBuilder<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Row> PlanBuilder<P> {
    /// An empty plan.
    pub fn new() -> Self {
        PlanBuilder { ops: RefCell::new(Vec::new()), parameters: PhantomData }
    }

    /// Rows from outside: `make` gives the reader of their chunks.
    pub fn source<S: Source<Row: Row>>(
        &self,
        name: &str,
        make: impl Fn(&P) -> S + Send + Sync + 'static,
    ) -> Flow<'_, P, S::Row> {
        self.add(name, OperatorKind::Source, Vec::new(), SourceOp::new(erase(make)))
    }

    /// Rows that the program makes, and the name to feed them by.
    pub fn rows<R: Row>(&self, name: &str) -> (SourceId<R>, Flow<'_, P, R>) {
        let flow = self.source(name, |_| EncodedRows::new());
        (SourceId { name: name.to_owned(), row: PhantomData }, flow)
    }

    /// The plan, with a sink for rejected rows added.
    ///
    /// # Errors
    /// Where names repeat, or there is no sink, or more than a job can choose among.
    pub fn build(self) -> Result<Plan, PlanError> {
        let mut ops = self.ops.into_inner();
        let with_place =
            |ops: &[Op], place| (0..ops.len()).filter(|at| ops[*at].operator.place() == place).collect::<Vec<_>>();
        let sinks = with_place(&ops, Place::Sink);
        match sinks.len() {
            0 => return Err(PlanError::NoSink),
            1..=64 => {}
            _ => return Err(PlanError::TooManySinks),
        }
        let mut plan = Plan {
            ops: Vec::new(),
            sinks,
            decode_parameters: |bytes| Ok(Box::new(codec::decode::<P>(bytes)?)),
            parameters: (TypeId::of::<P>(), type_name::<P>()),
        };
        let rejecting: Vec<usize> = (0..ops.len()).filter(|at| ops[*at].inputs.len() != 1).collect();
        plan.ops.append(&mut ops);
        let source_name = |at: &usize| {
            let from = plan.ops[*at].inputs.get(1).and_then(|build| plan.source_of(*build)).unwrap_or(*at);
            plan.ops[from].name.clone()
        };
        let sources = Arc::new(rejecting.iter().map(source_name).collect());
        let (name, kind) = (REJECTED.to_owned(), OperatorKind::Sink);
        plan.ops.push(Op { name, kind, operator: Box::new(RejectedOp { sources }), inputs: rejecting });
        let mut names = BTreeSet::new();
        match plan.ops.iter().find(|op| !names.insert(&op.name)) {
            Some(op) => Err(PlanError::SameName(op.name.clone())),
            None => Ok(plan),
        }
    }

    fn add<R>(
        &self,
        name: &str,
        kind: OperatorKind,
        inputs: Vec<usize>,
        operator: impl Operator + 'static,
    ) -> Flow<'_, P, R> {
        let mut ops = self.ops.borrow_mut();
        ops.push(Op { name: name.to_owned(), kind, operator: Box::new(operator), inputs });
        Flow { builder: self, op: ops.len() - 1, row: PhantomData }
    }
}

/// Lets a typed factory be called with parameters whose type only the plan knows.
fn erase<P: 'static, T>(make: impl Fn(&P) -> T + Send + Sync + 'static) -> Make<T> {
    Box::new(move |parameters| {
        #[expect(clippy::expect_used, reason = "the plan decodes parameters as the P of its own builder")]
        make(parameters.downcast_ref::<P>().expect("parameters of the plan's own type"))
    })
}

/// Rows of type `R` flowing out of an operator. May be used several times: each use gets all the rows.
pub struct Flow<'b, P, R> {
    builder: &'b PlanBuilder<P>,
    op: usize,
    row: PhantomData<fn() -> R>,
}

impl<P, R> Clone for Flow<'_, P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for Flow<'_, P, R> {}

impl<'b, P: Row, R: Row> Flow<'b, P, R> {
    /// Keeps the rows that a filter keeps.
    pub fn filter<F: Filter<R>>(self, name: &str, make: impl Fn(&P) -> F + Send + Sync + 'static) -> Flow<'b, P, R> {
        self.builder.add(name, OperatorKind::Filter, vec![self.op], FilterOp::<R, F>::new(erase(make)))
    }

    /// Maps each row to another.
    pub fn map<M: Projection<R, Out: Row>>(
        self,
        name: &str,
        make: impl Fn(&P) -> M + Send + Sync + 'static,
    ) -> Flow<'b, P, M::Out> {
        let make = move |parameters: &P| One(make(parameters));
        self.builder.add(name, OperatorKind::Projection, vec![self.op], MapOp::<R, _>::new(erase(make)))
    }

    /// Maps each row to any number of others, those of what is made of it: an `Option` filters and maps at once. What a batch
    /// becomes travels as one: above 16 MiB, encoded, the job fails. All that [`BLOCK`](crate::source::BLOCK) rows become is in memory at once.
    pub fn flat_map<M: Projection<R, Out: IntoIterator<Item: Row>>>(
        self,
        name: &str,
        make: impl Fn(&P) -> M + Send + Sync + 'static,
    ) -> Flow<'b, P, <M::Out as IntoIterator>::Item> {
        let make = move |parameters: &P| Each(make(parameters));
        self.builder.add(name, OperatorKind::Projection, vec![self.op], MapOp::<R, _>::new(erase(make)))
    }

    /// Folds the rows of each key into one.
    pub fn aggregate<A: Aggregator<Row = R>>(
        self,
        name: &str,
        make: impl Fn(&P) -> A + Send + Sync + 'static,
    ) -> Flow<'b, P, A::Out> {
        self.builder.add(name, OperatorKind::Aggregator, vec![self.op], AggregateOp::<A>::new(erase(make)))
    }

    /// Keeps the best rows of each group.
    pub fn maximize<M: Maximizer<Row = R>>(
        self,
        name: &str,
        make: impl Fn(&P) -> M + Send + Sync + 'static,
    ) -> Flow<'b, P, R> {
        self.builder.add(name, OperatorKind::Maximizer, vec![self.op], MaximizeOp::<M>::new(erase(make)))
    }

    /// Joins each row with the row of the same key in `build`, all of which is kept until both sides have ended.
    pub fn join<J: Joiner<Probe = R>>(
        self,
        name: &str,
        build: Flow<'b, P, J::Build>,
        make: impl Fn(&P) -> J + Send + Sync + 'static,
    ) -> Flow<'b, P, J::Out> {
        self.builder.add(name, OperatorKind::Joiner, vec![self.op, build.op], JoinOp::<J>::new(erase(make)))
    }

    /// Ends the flow in a result, in ascending order of its rows.
    pub fn sink(self, name: &str) -> SinkId<R>
    where
        R: Ord,
    {
        let _end: Flow<'_, P, R> = self.builder.add(name, OperatorKind::Sink, vec![self.op], SinkOp::<R>::new());
        SinkId { name: name.to_owned(), row: PhantomData }
    }
}

/// Names a result and its row type.
#[derive(Clone, Debug)]
pub struct SinkId<R> {
    name: String,
    row: PhantomData<fn() -> R>,
}

impl<R> SinkId<R> {
    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<R> AsRef<str> for SinkId<R> {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// Names a source of rows that the program makes, and their type.
#[derive(Clone, Debug)]
pub struct SourceId<R> {
    name: String,
    row: PhantomData<fn() -> R>,
}

impl<R> SourceId<R> {
    /// The source's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
