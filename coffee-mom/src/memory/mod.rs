//! The in-process broker. No threads of its own: a message is routed, enqueued and pushed into a
//! consumer's inbox on the publisher's thread, and what an ack makes room for moves on the acker's.
//!
//! One lock a queue; the registry of names is locked only to declare, attach, or look up a route for
//! the first time. Everything is bounded: queues in messages and bytes, inboxes by the prefetch,
//! settlements by the window. Nothing is kept when the process ends, durable or not.

mod attached;
mod consumer;
mod core;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod ledger;
mod matching;
mod producer;
mod queue;
mod registry;
mod router;
mod state;
mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crossbeam_channel::{Receiver, never};
use parking_lot::Mutex;

use crate::broker::{AttachError, BindError, Broker, CloseError, ConnectionError, DeclareError, DeleteError};
use crate::consumer::{Consumer, ConsumerOptions};
use crate::event::{Event, Stats};
use crate::name::{Name, RESERVED_PREFIX};
use crate::producer::{Producer, ProducerOptions};
use crate::topology::{Binding, DeleteOptions, ExchangeSpec, QueueSpec, QueueStatus};

use self::consumer::MemoryConsumer;
use self::core::{Connection, Core};
use self::producer::MemoryProducer;
use self::registry::Registry;

/// The named brokers of this process that have connections.
static NAMED: Mutex<BTreeMap<Name, Weak<Core>>> = Mutex::new(BTreeMap::new());

/// A connection to an in-process broker.
///
/// A publish has reached its queues, and is settled, when it returns; it waits only for room in a
/// queue, where waiting publishers get in, in no fixed order, as acks make room. Free consumers of a
/// queue take turns. Nothing outlives the process, durable or not.
#[derive(Debug)]
pub struct MemoryBroker {
    connection: Arc<Connection>,
}

impl MemoryBroker {
    /// A connection to a new broker, which only [`connect`](Self::connect) gives others access to.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Arc::default())
    }

    /// A connection to the broker of that name; a new one if nobody in this process is connected.
    #[must_use]
    pub fn named(name: &Name) -> Self {
        let mut named = NAMED.lock();
        named.retain(|_, core| core.strong_count() > 0);
        if let Some(core) = named.get(name).and_then(Weak::upgrade) {
            return Self::on(core);
        }
        let core = Arc::default();
        named.insert(name.clone(), Arc::downgrade(&core));
        Self::on(core)
    }

    /// Another connection to the same broker, with exclusive queues of its own.
    #[must_use]
    pub fn connect(&self) -> Self {
        Self::on(self.connection.core.clone())
    }

    fn on(core: Arc<Core>) -> Self {
        Self { connection: Arc::new(Connection::new(core)) }
    }

    fn core(&self) -> &Core {
        &self.connection.core
    }

    /// The connection, if it is open.
    fn open(&self) -> Result<&Arc<Connection>, ConnectionError> {
        if self.connection.is_closed() { Err(ConnectionError::Closed) } else { Ok(&self.connection) }
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

/// Nothing here waits for anything but locks that are held for short steps, so deadlines never pass.
impl Broker for MemoryBroker {
    fn declare_queue(&self, spec: &QueueSpec, _deadline: Instant) -> Result<Name, DeclareError> {
        let id = self.core().next_id();
        let name = match &spec.name {
            Some(name) if name.is_reserved() => return Err(DeclareError::Reserved(name.clone())),
            Some(name) => name.clone(),
            None if !spec.exclusive => return Err(DeclareError::AnonymousShared),
            None => anonymous_name(id),
        };
        self.core().change(|registry| {
            // Looked at under the registry's lock, so a queue can't outlive its connection.
            let connection = self.open()?;
            registry.declare_queue(name.clone(), spec, connection.id, id)
        })?;
        Ok(name)
    }

    fn declare_exchange(&self, spec: &ExchangeSpec, _deadline: Instant) -> Result<(), DeclareError> {
        self.open()?;
        self.core().change(|registry| registry.declare_exchange(spec))
    }

    fn bind(&self, queue: &Name, exchange: &Name, binding: &Binding, _deadline: Instant) -> Result<(), BindError> {
        let connection = self.open()?;
        self.core().change(|registry| registry.bind(queue, exchange, binding, connection.id))
    }

    fn unbind(&self, queue: &Name, exchange: &Name, binding: &Binding, _deadline: Instant) -> Result<(), BindError> {
        let connection = self.open()?;
        self.core().change(|registry| registry.unbind(queue, exchange, binding, connection.id))
    }

    fn delete_queue(&self, queue: &Name, options: DeleteOptions, _deadline: Instant) -> Result<(), DeleteError> {
        let connection = self.open()?;
        self.core().change(|registry| registry.delete_queue(queue, options, connection.id))
    }

    fn delete_exchange(&self, exchange: &Name, _deadline: Instant) -> Result<(), DeleteError> {
        self.open()?;
        self.core().change(|registry| registry.delete_exchange(exchange));
        Ok(())
    }

    fn queue_status(&self, queue: &Name, _deadline: Instant) -> Result<QueueStatus, AttachError> {
        let connection = self.open()?;
        let queue = self.core().read(|registry| registry.queue(queue, connection.id))?;
        Ok(queue.with(|state| state.status()))
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>, AttachError> {
        let connection = self.open()?;
        Ok(Box::new(MemoryProducer::new(connection.clone(), options)))
    }

    fn consumer(
        &self,
        queue: &Name,
        options: ConsumerOptions,
        _deadline: Instant,
    ) -> Result<Box<dyn Consumer>, AttachError> {
        let connection = self.open()?;
        let queue = self.core().read(|registry| registry.queue(queue, connection.id))?;
        Ok(Box::new(MemoryConsumer::attach(connection.clone(), queue, &options)?))
    }

    /// Nothing ever happens to a connection within the process.
    fn events(&self) -> Receiver<Event> {
        never()
    }

    fn stats(&self) -> Stats {
        let mut stats = self.connection.tally.sum();
        for queue in self.core().read(Registry::all_queues) {
            let (delivered, redelivered) = queue.with(|state| state.delivered(self.connection.id));
            stats.delivered += delivered;
            stats.redelivered += redelivered;
        }
        stats
    }

    fn close(&self, _deadline: Instant) -> Result<(), CloseError> {
        self.connection.close();
        Ok(())
    }
}

/// Unlike all others of the broker, and unlike all that can be declared.
fn anonymous_name(id: u64) -> Name {
    let text = format!("{RESERVED_PREFIX}gen-{id:x}");
    #[expect(clippy::expect_used, reason = "a prefix and at most 16 digits are 1 to 255 bytes")]
    Name::new(&text).expect("short enough")
}
