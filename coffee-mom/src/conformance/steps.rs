//! Short forms of the steps that cases are made of. Each wait has a deadline; the only poll is here.

use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, bounded};

pub(super) use super::failure::{Failure, ensure, ensure_eq, ensure_matches};
pub(super) use super::subject::Subject;
pub(super) use crate::broker::{AttachError, BindError, Broker, ConnectionError, DeclareError, DeleteError};
pub(super) use crate::consumer::{AckError, Consumer, ConsumerEnd, ConsumerOptions, Delivery, Nack};
pub(super) use crate::event::{Event, Side};
pub(super) use crate::message::{
    Headers, MAX_NESTING, MAX_PROPERTIES_BYTES, Message, Properties, PropertyError, Value,
};
pub(super) use crate::middleware::{
    Endpoint, EndpointOptions, Handler, MessageMiddleware, PanicPolicy, SendError, StartError, StopError, Verdict,
};
pub(super) use crate::name::{Name, NameError, RoutingKey};
pub(super) use crate::producer::{Outcome, Producer, ProducerOptions, PublishError, PublishId, Refusal};
pub(super) use crate::route::Route;
pub(super) use crate::topology::{
    Binding, DeleteOptions, ExchangeKind, ExchangeSpec, HeaderMatch, QueueSpec, QueueStatus,
};

/// How a case ends.
pub(super) type Verified = Result<(), Failure>;

/// Between two looks at something that nobody tells of.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Events of a handler that nobody has taken yet.
const TOLD: usize = 16_384;

/// Far enough away that only a hang reaches it.
pub(super) fn soon() -> Instant {
    after(20)
}

/// So many seconds from now.
pub(super) fn after(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Looks again and again until something is so. Brokers tell nobody of their queues' lengths, and a
/// count may lag behind.
#[track_caller]
pub(super) fn eventually(what: &str, deadline: Instant, mut look: impl FnMut() -> Result<bool, Failure>) -> Verified {
    let caller = Location::caller();
    while !look()? {
        if Instant::now() >= deadline {
            return Err(Failure::at(format_args!("not so by the deadline: {what}"), caller));
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Waits until a queue has so many ready messages.
#[track_caller]
pub(super) fn await_ready(broker: &dyn Broker, queue: &Name, ready: usize) -> Verified {
    eventually(&format!("{ready} ready messages in {queue}"), soon(), || {
        Ok(broker.queue_status(queue, soon())?.ready == ready)
    })
}

/// A new work queue.
pub(super) fn work_queue(subject: &dyn Subject, broker: &dyn Broker) -> Result<Name, Failure> {
    declare(broker, &QueueSpec::named(subject.name("work")?))
}

pub(super) fn declare(broker: &dyn Broker, spec: &QueueSpec) -> Result<Name, Failure> {
    Ok(broker.declare_queue(spec, soon())?)
}

/// A new exchange.
pub(super) fn exchange(subject: &dyn Subject, broker: &dyn Broker, kind: ExchangeKind) -> Result<Name, Failure> {
    let name = subject.name("exchange")?;
    broker.declare_exchange(&ExchangeSpec::new(name.clone(), kind), soon())?;
    Ok(name)
}

pub(super) fn consumer(broker: &dyn Broker, queue: &Name, prefetch: u16) -> Result<Box<dyn Consumer>, Failure> {
    let options = ConsumerOptions::default().prefetch(prefetch.max(1).try_into()?);
    Ok(broker.consumer(queue, options, soon())?)
}

/// A message of eight bytes that says a number.
pub(super) fn body(number: u64) -> Message {
    Message::new(number.to_le_bytes().to_vec())
}

/// The number that [`body`] put in.
pub(super) fn number(delivery: &Delivery) -> Result<u64, Failure> {
    Ok(u64::from_le_bytes(delivery.message.body[..].try_into()?))
}

/// Publishes a message a number, straight to a queue, and waits until all are confirmed.
pub(super) fn publish(broker: &dyn Broker, queue: &Name, numbers: Range<u64>) -> Verified {
    publish_to(broker, &Route::queue(queue), numbers)
}

/// Publishes a message a number to a route, and waits until all are confirmed.
pub(super) fn publish_to(broker: &dyn Broker, route: &Route, numbers: Range<u64>) -> Verified {
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut open = 0;
    for number in numbers {
        producer.publish(route, body(number), soon())?;
        open += 1;
        while let Ok(settled) = producer.settled().try_recv() {
            ensure_eq!(settled.outcome, Outcome::Confirmed, "a settlement");
            open -= settled.count();
        }
    }
    while open > 0 {
        let settled = producer.settled().recv_deadline(soon())?;
        ensure_eq!(settled.outcome, Outcome::Confirmed, "a settlement");
        open -= settled.count();
    }
    Ok(())
}

/// How one message that is published to a route settles.
pub(super) fn outcome(producer: &mut dyn Producer, route: &Route, message: Message) -> Result<Outcome, Failure> {
    let id = producer.publish(route, message, soon())?;
    let settled = producer.settled().recv_deadline(soon())?;
    ensure_eq!((settled.first, settled.last), (id, id), "the publishes of a settlement");
    Ok(settled.outcome)
}

/// The next delivery.
#[track_caller]
pub(super) fn take(consumer: &dyn Consumer) -> Result<Delivery, Failure> {
    let caller = Location::caller();
    consumer.deliveries().recv_deadline(soon()).map_err(|error| {
        Failure::at(format_args!("no delivery: {error}; the consumer's end: {:?}", consumer.ended()), caller)
    })
}

/// Takes and acks so many deliveries, and returns their numbers.
pub(super) fn take_all(consumer: &mut dyn Consumer, count: usize) -> Result<Vec<u64>, Failure> {
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let delivery = take(consumer)?;
        numbers.push(number(&delivery)?);
        consumer.ack(delivery.tag)?;
    }
    Ok(numbers)
}

/// The next delivery to any of the consumers, and to which.
pub(super) fn take_any(consumers: &[Box<dyn Consumer>]) -> Result<(usize, Delivery), Failure> {
    let mut select = Select::new();
    for consumer in consumers {
        select.recv(consumer.deliveries());
    }
    let ready = select.select_deadline(soon())?;
    let who = ready.index();
    let from = consumers.get(who).ok_or_else(|| Failure::new("a selection of nobody"))?;
    Ok((who, ready.recv(from.deliveries())?))
}

/// A number that no case publishes otherwise.
const SENTINEL: u64 = u64::MAX;

/// Fails if the queue, which nobody else consumes, has anything but what is published from now on.
#[track_caller]
pub(super) fn ensure_nothing_left(broker: &dyn Broker, queue: &Name) -> Verified {
    let caller = Location::caller();
    let mut producer = broker.producer(ProducerOptions::default())?;
    outcome(producer.as_mut(), &Route::queue(queue), body(SENTINEL))?;
    let mut consumer = consumer(broker, queue, 1)?;
    let delivery = take(consumer.as_ref())?;
    let found = number(&delivery)?;
    consumer.ack(delivery.tag)?;
    consumer.close(soon())?;
    if found != SENTINEL {
        return Err(Failure::at(format_args!("{queue} still has {found}"), caller));
    }
    Ok(())
}

/// An endpoint of a queue, to be shared with its callback.
pub(super) fn endpoint(
    broker: &Arc<dyn Broker>,
    spec: &QueueSpec,
    options: EndpointOptions,
) -> Result<Arc<Endpoint>, Failure> {
    Ok(Arc::new(Endpoint::queue(broker.clone(), spec, options)?))
}

/// Sends a message a number.
pub(super) fn send(endpoint: &dyn MessageMiddleware, numbers: Range<u64>) -> Verified {
    for number in numbers {
        endpoint.send(body(number), soon())?;
    }
    Ok(())
}

/// What a handler was called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// A number, and whether it was redelivered.
    With(u64, bool),
    /// The end.
    AtEnd(ConsumerEnd),
}

/// Tells of each call, and acks.
pub(super) struct Tell(Sender<Called>);

impl Tell {
    pub(super) fn new() -> (Self, Receiver<Called>) {
        let (tell, told) = bounded(TOLD);
        (Self(tell), told)
    }

    /// Another one that tells to the same receiver.
    pub(super) fn again(&self) -> Self {
        Self(self.0.clone())
    }

    fn tell(&self, called: Called) {
        if self.0.try_send(called).is_err() {
            log::error!("a case does not listen to {called:?}");
        }
    }
}

impl Handler for Tell {
    fn on_message(&mut self, delivery: &Delivery) -> Verdict {
        self.tell(Called::With(number(delivery).unwrap_or(SENTINEL), delivery.redelivered));
        Verdict::Ack
    }

    fn on_end(&mut self, end: ConsumerEnd) {
        self.tell(Called::AtEnd(end));
    }
}

/// The thread panicked, or what it returned.
pub(super) fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().map_err(|_| Failure::new("a thread of the case panicked"))?
}
