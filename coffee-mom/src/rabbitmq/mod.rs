//! RabbitMQ through amiquip, whose blocking calls, threads and defects stay in here.
//!
//! Two links to the broker make one connection, as a broker that holds back publishers must not hold
//! back acks: `link` is one of them, on a `socket` of ours (`tls`), with deadlines by a kill switch
//! (`guard`) and a bound on what waits to be written (`flow`). A link is never mended: `keeper` opens
//! another one, with pauses (`backoff`), and `line` is what its users see. The `desk` declares, and
//! declares again what its `record` holds. Each producer and each consumer has a thread that owns its
//! channel.

mod answer;
mod backoff;
mod config;
mod consumer;
mod convert;
mod desk;
mod failure;
mod flow;
mod guard;
mod hub;
mod keeper;
mod line;
mod link;
mod producer;
mod record;
mod side;
mod socket;
mod threads;
mod tls;
mod url;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amiquip::QueueDeleteOptions;
use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use crate::broker::{AttachError, BindError, Broker, CloseError, ConnectionError, DeclareError, DeleteError};
use crate::consumer::{Consumer, ConsumerOptions};
use crate::event::{Event, Side, Stats};
use crate::message::check_headers;
use crate::name::Name;
use crate::producer::{Producer, ProducerOptions};
use crate::random::unique_id;
use crate::topology::{Binding, DeleteOptions, ExchangeKind, ExchangeSpec, QueueKind, QueueSpec, QueueStatus};

use self::consumer::RabbitConsumer;
use self::desk::{Bell, Counter, Desk, Late};
use self::failure::Failure;
use self::hub::Hub;
use self::producer::RabbitProducer;
use self::record::{Bound, Record};
use self::side::{AfterDeclarations, SideOf};
use self::threads::Threads;

pub use self::config::{ConfigError, Credentials, Host, PLAIN_PORT, RabbitConfig, TLS_PORT};
pub use self::side::ConnectError;
pub use self::url::UrlError;

/// How long a connection that is dropped without having been closed takes to say goodbye.
const DROP_GRACE: Duration = Duration::from_secs(2);

/// What anonymous queues are called; the rest of their names is random.
const ANONYMOUS: &str = "coffee.gen-";

/// A connection to RabbitMQ 3.10 or later.
///
/// It has two links to the broker, one that publishes and one that does everything else, each with
/// threads of its own; every producer and every consumer has one thread more.
pub struct RabbitBroker {
    core: Arc<Core>,
}

/// What all users of one connection share; closes it when the last of them is dropped.
struct Core {
    hub: Arc<Hub>,
    record: Arc<Mutex<Record>>,
    bell: Bell,
    consuming: SideOf,
    publishing: SideOf,
    threads: Threads,
    producers: Mutex<Vec<producer::Closer>>,
    consumers: Mutex<Vec<consumer::Closer>>,
    closed: AtomicBool,
}

impl RabbitBroker {
    /// Connects.
    ///
    /// Blocks until the broker has taken both links, `deadline` at most; until then it is tried again
    /// after failures that may pass, a refusal of the credentials a few times.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is left open.
    pub fn connect(config: RabbitConfig, deadline: Instant) -> Result<Self, ConnectError> {
        config.validate()?;
        let config = Arc::new(config);
        let hub = Arc::new(Hub::default());
        let record = Arc::new(Mutex::new(Record::default()));
        let (desk, requests) = Desk::new(record.clone(), hub.clone());
        let consuming = SideOf::start(&config, Side::Consuming, &hub, desk, deadline)?;
        let bell = Bell::new(requests, consuming.line());
        let duty = AfterDeclarations::of(consuming.line());
        let publishing = SideOf::start(&config, Side::Publishing, &hub, duty, deadline)?;
        let core = Core {
            hub,
            record,
            bell,
            consuming,
            publishing,
            threads: Threads::default(),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        core.consuming.wait_up(deadline)?;
        core.publishing.wait_up(deadline)?;
        Ok(Self { core: Arc::new(core) })
    }

    fn open(&self) -> Result<&Arc<Core>, ConnectionError> {
        if self.core.closed.load(Ordering::Acquire) { Err(ConnectionError::Closed) } else { Ok(&self.core) }
    }

    /// Has the desk do something, and its failure told by `explain`.
    fn ask<T: Send + 'static, E: From<ConnectionError>>(
        &self,
        deadline: Instant,
        work: impl FnMut(&mut Counter) -> Result<T, Failure> + Send + 'static,
        explain: impl FnOnce(Failure) -> E,
    ) -> Result<T, E> {
        self.open()?.bell.ask(deadline, Late::Skip, work)?.map_err(explain)
    }
}

impl Broker for RabbitBroker {
    fn declare_queue(&self, spec: &QueueSpec, deadline: Instant) -> Result<Name, DeclareError> {
        check_queue(spec)?;
        let name = spec.name.clone().unwrap_or_else(anonymous_name);
        let (queue, spec) = (name.clone(), spec.clone());
        let declare = move |counter: &mut Counter| {
            counter.declare_queue(&queue, &spec)?;
            counter.record().add_queue(&queue, &spec);
            Ok(())
        };
        self.ask(deadline, declare, |failure| answer::declare(failure, &name))?;
        Ok(name)
    }

    fn declare_exchange(&self, spec: &ExchangeSpec, deadline: Instant) -> Result<(), DeclareError> {
        if spec.name.is_reserved() {
            return Err(DeclareError::Reserved(spec.name.clone()));
        }
        let wanted = spec.clone();
        let declare = move |counter: &mut Counter| {
            counter.declare_exchange(&wanted)?;
            counter.record().add_exchange(&wanted);
            Ok(())
        };
        self.ask(deadline, declare, |failure| answer::declare(failure, &spec.name))
    }

    fn bind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError> {
        self.check_binding(exchange, binding)?;
        let bound = Bound { queue: queue.clone(), exchange: exchange.clone(), binding: binding.clone() };
        let bind = move |counter: &mut Counter| {
            counter.bind(&bound)?;
            counter.record().add_binding(bound.clone());
            Ok(())
        };
        self.ask(deadline, bind, |failure| answer::bind(failure, queue, exchange))
    }

    fn unbind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError> {
        self.check_binding(exchange, binding)?;
        let bound = Bound { queue: queue.clone(), exchange: exchange.clone(), binding: binding.clone() };
        let unbind = move |counter: &mut Counter| {
            counter.record().remove_binding(&bound);
            counter.unbind(&bound)
        };
        match self.ask(deadline, unbind, |failure| answer::bind(failure, queue, exchange)) {
            Err(BindError::UnknownQueue(_) | BindError::UnknownExchange(_)) => Ok(()),
            result => result,
        }
    }

    fn delete_queue(&self, queue: &Name, options: DeleteOptions, deadline: Instant) -> Result<(), DeleteError> {
        let name = queue.clone();
        let delete = move |counter: &mut Counter| {
            let options = QueueDeleteOptions { if_unused: options.if_unused, if_empty: options.if_empty };
            let gone = counter.call(|channel| channel.queue_delete(name.as_str(), options));
            answer::unless_missing(gone.map(drop))?;
            counter.record().remove_queue(&name);
            Ok(())
        };
        let late = if options == DeleteOptions::default() { Late::Do } else { Late::Skip };
        let deleted = self.open()?.bell.ask(deadline, late, delete)?;
        deleted.map_err(|failure| answer::delete(failure, queue, options))
    }

    fn delete_exchange(&self, exchange: &Name, deadline: Instant) -> Result<(), DeleteError> {
        let name = exchange.clone();
        let delete = move |counter: &mut Counter| {
            let gone = counter.call(|channel| channel.exchange_delete(name.as_str(), false));
            answer::unless_missing(gone)?;
            counter.record().remove_exchange(&name);
            Ok(())
        };
        self.ask(deadline, delete, |failure| answer::delete(failure, exchange, DeleteOptions::default()))
    }

    fn queue_status(&self, queue: &Name, deadline: Instant) -> Result<QueueStatus, AttachError> {
        let name = queue.clone();
        let look = move |counter: &mut Counter| {
            counter.call(|channel| {
                let found = channel.queue_declare_passive(name.as_str())?;
                let count = |number: Option<u32>| number.unwrap_or(0) as usize;
                let (ready, consumers) = (found.declared_message_count(), found.declared_consumer_count());
                Ok(QueueStatus { ready: count(ready), consumers: count(consumers) })
            })
        };
        self.ask(deadline, look, |failure| answer::attach(failure, queue))
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>, AttachError> {
        let core = self.open()?;
        let (line, hub) = (core.publishing.line(), core.hub.clone());
        let started = RabbitProducer::start(line, hub, options, &core.threads, core.clone());
        let (producer, closer) = started.map_err(|error| answer::no_thread(&error))?;
        core.adopt(
            &core.producers,
            closer,
            |closer| closer.finished().is_over(),
            |closer| closer.close(Instant::now()),
        );
        Ok(Box::new(producer))
    }

    fn consumer(
        &self,
        queue: &Name,
        options: ConsumerOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Consumer>, AttachError> {
        let core = self.open()?;
        let spec = core.record.lock().queue(queue).cloned();
        let consumer = RabbitConsumer::attach(
            core.consuming.line(),
            core.hub.clone(),
            queue.clone(),
            spec,
            options,
            &core.threads,
            core.clone(),
            deadline,
        )?;
        let closer = consumer.closer();
        core.adopt(
            &core.consumers,
            closer,
            |closer| closer.finished().is_over(),
            |closer| closer.close(Instant::now()),
        );
        Ok(Box::new(consumer))
    }

    fn events(&self) -> Receiver<Event> {
        self.core.hub.subscribe()
    }

    fn stats(&self) -> Stats {
        self.core.hub.stats()
    }

    fn cut(&self) {
        self.core.consuming.line().kill();
        self.core.publishing.line().kill();
    }

    fn close(&self, deadline: Instant) -> Result<(), CloseError> {
        self.core.close(deadline)
    }
}

impl RabbitBroker {
    /// Refuses what the broker would take without ever matching it.
    fn check_binding(&self, exchange: &Name, binding: &Binding) -> Result<(), BindError> {
        if let Binding::Headers(_, headers) = binding {
            check_headers(headers)?;
        }
        let by_headers = matches!(binding, Binding::Headers(..));
        match self.core.record.lock().exchange(exchange) {
            Some(spec) if (spec.kind == ExchangeKind::Headers) != by_headers => {
                Err(BindError::Mismatch(exchange.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl Core {
    /// Keeps a closer of something new, which is closed at once if the connection was meanwhile.
    fn adopt<C: Clone>(&self, known: &Mutex<Vec<C>>, closer: C, is_finished: impl Fn(&C) -> bool, close: impl Fn(&C)) {
        let mut known = known.lock();
        known.retain(|closer| !is_finished(closer));
        known.push(closer.clone());
        drop(known);
        if self.closed.load(Ordering::Acquire) {
            close(&closer);
        }
    }

    fn close(&self, deadline: Instant) -> Result<(), CloseError> {
        let again = self.closed.swap(true, Ordering::AcqRel);
        // How those ended that were dropped before is no news.
        self.producers.lock().retain(|closer| !closer.finished().is_over());
        let producers = self.producers.lock().clone();
        let consumers = self.consumers.lock().clone();
        producers.iter().for_each(|closer| closer.close(deadline));
        consumers.iter().for_each(|closer| closer.close(deadline));
        let flushed = producers.iter().all(|closer| closer.finished().wait(deadline));
        let ended = consumers.iter().all(|closer| closer.finished().wait(deadline));
        let said_goodbye = side::close([&self.publishing, &self.consuming], deadline);
        // The first close tells; one that follows at its heels may still find those producers.
        let unsettled = !again && producers.iter().any(producer::Closer::left_unsettled);
        if flushed && ended && said_goodbye && !unsettled {
            self.threads.join_all();
            return Ok(());
        }
        Err(CloseError::Deadline)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.close(Instant::now() + DROP_GRACE).is_err() {
            log::debug!("a connection was dropped and could not be closed in time");
        }
    }
}

/// Refuses what the broker would refuse in more words, or take otherwise than meant.
fn check_queue(spec: &QueueSpec) -> Result<(), DeclareError> {
    match &spec.name {
        Some(name) if name.is_reserved() => return Err(DeclareError::Reserved(name.clone())),
        None if !spec.exclusive => return Err(DeclareError::AnonymousShared),
        _ => {}
    }
    if spec.kind == QueueKind::Quorum && (spec.exclusive || !spec.durable) {
        return Err(DeclareError::Quorum);
    }
    if spec.max_messages == 0 || spec.max_bytes == 0 {
        return Err(DeclareError::NoRoom);
    }
    Ok(())
}

/// A name of our own making: unlike the broker's, it stays the same when the queue is declared again.
fn anonymous_name() -> Name {
    #[expect(clippy::expect_used, reason = "a prefix and 32 digits are 1 to 255 bytes")]
    Name::new(&format!("{ANONYMOUS}{}", unique_id())).expect("short enough")
}

impl fmt::Debug for RabbitBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitBroker").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
