//! A broker that goes wrong by plan, around any other: for tests of what is built on the contract.
//!
//! Everything that it does is allowed by the contract of [`Broker`], so a program that survives it may
//! count on its messages. What happens is decided by the plan's seed and the number of the operation
//! alone: a single-threaded program runs alike each time. It has no thread and no clock of its own.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use coffee_mom::faults::{FaultPlan, FaultyBroker};
//! use coffee_mom::{Broker, MemoryBroker, Name, QueueSpec};
//!
//! let queue = QueueSpec::named(Name::new("orders")?);
//! for n in 0.. {
//!     let broker = FaultyBroker::new(Arc::new(MemoryBroker::new()), FaultPlan::new(7).fail_at(n));
//!     let declared = broker.declare_queue(&queue, Instant::now());
//!     if broker.operations() <= n {
//!         break; // not reached: every operation has failed once
//!     }
//!     assert!(declared.is_err());
//! }
//! # Ok::<(), coffee_mom::NameError>(())
//! ```

mod consumer;
mod plan;
mod producer;
mod shared;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::broker::{AttachError, BindError, Broker, CloseError, ConnectionError, DeclareError, DeleteError};
use crate::consumer::{Consumer, ConsumerOptions};
use crate::event::{Event, Stats};
use crate::name::Name;
use crate::producer::{Producer, ProducerOptions};
use crate::topology::{Binding, DeleteOptions, ExchangeSpec, QueueSpec, QueueStatus};

use consumer::FaultyConsumer;
use producer::FaultyProducer;
use shared::Shared;

pub use plan::{Fault, FaultPlan};

/// A connection to a broker, that goes wrong by plan.
///
/// Operations are counted from 0: each call that declares, binds, unbinds, deletes, attaches a
/// consumer, publishes, acks or nacks is one. What a fault does to each is said by [`Fault`]; what
/// happens besides, by the rates of the [`FaultPlan`].
///
/// - A publish waits for the answer of the broker around which this is, until its deadline at most; so
///   settlements are known here, and can be told later or in another order. What is held back is let
///   go when the producer's owner publishes on, or calls [`settled`](Producer::settled) when nothing
///   else is to be had there: ask for it anew before each wait, as a clone can't do that.
/// - A close does not wait for what is held back: that is settled as [`Unknown`](crate::Outcome::Unknown)
///   when its producer is asked next, and the close fails as [`Deadline`](CloseError::Deadline).
/// - A consumer notices that the connection was lost when its owner acks or nacks next: only then its
///   deliveries are requeued, and all tags until then are stale. What its owner has not taken out of
///   the channel is withdrawn. What a queue that is exclusive had delivered is lost.
/// - [`events`](Broker::events) and [`stats`](Broker::stats) are those of the inner broker: they do not
///   tell of planned faults.
pub struct FaultyBroker {
    shared: Arc<Shared>,
}

impl FaultyBroker {
    /// A connection that goes wrong by `plan`. Whoever uses `inner` besides is not counted and meets
    /// no fault, but [`Fault::Close`] closes it.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, plan: FaultPlan) -> Self {
        Self { shared: Arc::new(Shared::new(inner, plan)) }
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.operations()
    }

    fn inner(&self) -> &dyn Broker {
        self.shared.inner()
    }

    /// Asks the broker, or fails as if there had been no answer: it may be done nevertheless.
    fn ask<T, E: From<ConnectionError>>(&self, call: impl FnOnce(&dyn Broker) -> Result<T, E>) -> Result<T, E> {
        let mut step = self.shared.step();
        if step.fault != Some(Fault::Fail) {
            return call(self.inner());
        }
        if step.random.coin() {
            drop(call(self.inner()));
        }
        Err(ConnectionError::Deadline.into())
    }
}

impl Broker for FaultyBroker {
    fn declare_queue(&self, spec: &QueueSpec, deadline: Instant) -> Result<Name, DeclareError> {
        let name = self.ask(|inner| inner.declare_queue(spec, deadline))?;
        if spec.exclusive {
            self.shared.note_exclusive(&name);
        } else {
            self.shared.forget_exclusive(&name);
        }
        Ok(name)
    }

    fn declare_exchange(&self, spec: &ExchangeSpec, deadline: Instant) -> Result<(), DeclareError> {
        self.ask(|inner| inner.declare_exchange(spec, deadline))
    }

    fn bind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError> {
        self.ask(|inner| inner.bind(queue, exchange, binding, deadline))
    }

    fn unbind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError> {
        self.ask(|inner| inner.unbind(queue, exchange, binding, deadline))
    }

    fn delete_queue(&self, queue: &Name, options: DeleteOptions, deadline: Instant) -> Result<(), DeleteError> {
        self.ask(|inner| inner.delete_queue(queue, options, deadline))?;
        self.shared.forget_exclusive(queue);
        Ok(())
    }

    fn delete_exchange(&self, exchange: &Name, deadline: Instant) -> Result<(), DeleteError> {
        self.ask(|inner| inner.delete_exchange(exchange, deadline))
    }

    fn queue_status(&self, queue: &Name, deadline: Instant) -> Result<QueueStatus, AttachError> {
        self.inner().queue_status(queue, deadline)
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>, AttachError> {
        let inner = self.inner().producer(options.clone())?;
        Ok(Box::new(FaultyProducer::new(self.shared.clone(), inner, &options)))
    }

    fn consumer(
        &self,
        queue: &Name,
        options: ConsumerOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Consumer>, AttachError> {
        let consumer = self.ask(|inner| inner.consumer(queue, options, deadline))?;
        Ok(Box::new(FaultyConsumer::new(self.shared.clone(), consumer, queue)))
    }

    fn events(&self) -> Receiver<Event> {
        self.inner().events()
    }

    fn stats(&self) -> Stats {
        self.inner().stats()
    }

    fn close(&self, deadline: Instant) -> Result<(), CloseError> {
        self.shared.close(deadline)
    }
}
