//! The owner of objects, seen from outside.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};

use crate::broker::{Broker, DeclareError};
use crate::consumer::ConsumerEnd;
use crate::deadline::after;
use crate::middleware::StopError;
use crate::name::{Name, RoutingKey};
use crate::producer::ProducerOptions;
use crate::rpc::error::SetupError;
use crate::rpc::inbox::Inbox;
use crate::rpc::table::Limits;
use crate::rpc::task::Task;
use crate::topology::{Binding, ExchangeKind, ExchangeSpec};

use super::keeper::{Keeper, Order};
use super::{InsertError, MoveError, Object};

/// What a host is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostOptions {
    /// What is kept of each object's calls.
    pub limits: Limits,
    /// How often a call may be passed on from host to host; one that has come further is dropped, and its
    /// client sends it again.
    pub hops: u64,
    /// Most calls that wait for one object while it moves; more are dropped, and sent again by their clients.
    pub parked: usize,
    /// For how many objects that have moved away it is known whereto. Past it the one that has been away for
    /// longest is forgotten: calls that come later, by a binding of old, are answered by
    /// [`CallError::UnknownObject`](crate::rpc::CallError::UnknownObject). An offer of it that the broker
    /// repeats after that, as it may when a connection is lost, is taken for a new one, and the object
    /// is in two places: choose more than will move away while an offer may be on its way.
    pub traces: usize,
    /// How long it waits for the other host before it offers an object again; brought up to a millisecond.
    pub retry: Duration,
    /// How long a reply waits for room, and a change of bindings for the broker.
    pub patience: Duration,
    /// How long its making may take.
    pub setup: Duration,
}

impl Default for HostOptions {
    /// 1,024 replies of together 4 MiB, from 4,096 callers, for each object; 8 hops, 1,024 parked calls, 65,536
    /// traces, again after a quarter of a second, 5 seconds of patience, 30 to be made.
    fn default() -> Self {
        Self {
            limits: Limits { replies: 1024, bytes: 4 << 20, callers: 4096 },
            hops: 8,
            parked: 1024,
            traces: 65_536,
            retry: Duration::from_millis(250),
            patience: Duration::from_secs(5),
            setup: Duration::from_secs(30),
        }
    }
}

impl HostOptions {
    /// Sets what is kept of each object's calls.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long it waits before it offers an object again.
    #[must_use]
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }

    /// Sets how long replies and changes of bindings may take.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }
}

/// Holds objects, and executes the calls to them one after the other on a thread of its own; start several
/// to use more cores.
///
/// Objects live as long as their host: they end with it unless they have moved. A host that dies while
/// an object moves away takes the object with it, unless the other host has got it by then. If the
/// other one dies, the object stays here if that host can't have got it, and else is
/// [in doubt](MoveError::InDoubt): it is executed neither here nor there, so never twice.
pub struct Host<T: Object> {
    broker: Arc<dyn Broker>,
    space: Name,
    address: Name,
    // Dropped before `orders`, whose end would stop the thread without its grace.
    task: Task,
    orders: Sender<Order<T>>,
    end: Arc<OnceLock<ConsumerEnd>>,
}

impl<T: Object> Host<T> {
    /// Starts a host without objects. Hosts of one space must hold objects of one type, with different ids.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn start(broker: Arc<dyn Broker>, space: &Name, options: HostOptions) -> Result<Self, SetupError> {
        let deadline = after(options.setup);
        declare_space(broker.as_ref(), space, deadline)?;
        let inbox = Inbox::open(broker.clone(), deadline)?;
        let address = inbox.name().clone();
        let producer = broker.producer(ProducerOptions::default())?;
        let (orders, ordered) = bounded(0);
        let keeper = Keeper::new(broker.clone(), space, inbox, options, producer, ordered);
        let end = keeper.end.clone();
        let task = Task::start(&format!("rpc host {address}"), move |stop| keeper.run(&stop))?;
        Ok(Self { broker, space: space.clone(), address, task, orders, end })
    }

    /// What other hosts know it by.
    #[must_use]
    pub fn address(&self) -> &Name {
        &self.address
    }

    /// Puts an object here, under an id that no other object of the space has. Ok: calls to it are executed.
    ///
    /// Blocks until `deadline` at most.
    ///
    /// # Errors
    /// [`InsertError`].
    pub fn insert(&self, id: &str, object: T, deadline: Instant) -> Result<(), InsertError> {
        let key = RoutingKey::new(id)?;
        self.broker.bind(&self.address, &self.space, &Binding::Key(key), deadline)?;
        let (answer, answered) = bounded(1);
        let order = Order::Insert { id: id.to_owned(), object, answer };
        self.order(order, &answered, deadline, [InsertError::Closed, InsertError::Deadline, InsertError::Deadline])
    }

    /// Moves an object to another host, with what is known of its calls. Ok: the other host has it, calls to
    /// it are executed there. Calls that are made meanwhile wait, and go along.
    ///
    /// Blocks until `deadline` at most.
    ///
    /// # Errors
    /// [`MoveError`]; each says where the object is.
    pub fn move_to(&self, id: &str, host: &Name, deadline: Instant) -> Result<(), MoveError> {
        let (answer, answered) = bounded(1);
        let order = Order::Move { id: id.to_owned(), to: host.clone(), waiter: (deadline, answer) };
        self.order(order, &answered, deadline, [MoveError::Closed, MoveError::Busy, MoveError::InDoubt])
    }

    /// Has the thread carry out an order; the errors are for a host that is stopped, one that
    /// does not take the order, and one that has not carried it out in time.
    fn order<E>(
        &self,
        order: Order<T>,
        answered: &Receiver<Result<(), E>>,
        deadline: Instant,
        [closed, busy, late]: [E; 3],
    ) -> Result<(), E> {
        match self.orders.send_deadline(order, deadline) {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => return Err(busy),
            Err(SendTimeoutError::Disconnected(_)) => return Err(closed),
        }
        answered.recv_deadline(deadline).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(late),
            RecvTimeoutError::Disconnected => Err(closed),
        })
    }

    /// Why it gets no more calls though nobody has stopped it; none while it does. Its objects are gone then.
    #[must_use]
    pub fn ended(&self) -> Option<ConsumerEnd> {
        self.end.get().copied()
    }

    /// Stops it, when the replies in hand are with the broker. Its objects end: move them away before.
    ///
    /// Blocks until `deadline` at most.
    ///
    /// # Errors
    /// [`StopError`]; it is stopped all the same, when the call in hand returns.
    pub fn stop(&self, deadline: Instant) -> Result<(), StopError> {
        self.task.stop(deadline)
    }
}

pub(super) fn declare_space(broker: &dyn Broker, space: &Name, deadline: Instant) -> Result<(), DeclareError> {
    broker.declare_exchange(&ExchangeSpec::new(space.clone(), ExchangeKind::Direct), deadline)
}
