//! The one implementation of the simple contract, over the handles of any broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::SendTimeoutError;
use parking_lot::Mutex;
use thiserror::Error;

use crate::broker::{AttachError, BindError, Broker, DeclareError, DeleteError};
use crate::consumer::{ConsumerOptions, DeliveryTag};
use crate::message::Message;
use crate::name::{Name, RoutingKey};
use crate::producer::{Outcome, Producer, ProducerOptions, PublishId};
use crate::route::Route;
use crate::topology::{Binding, DeleteOptions, ExchangeSpec, QueueSpec};

use super::barrier;
use super::worker::{self, Stop, Worker};
use super::{
    BarrierError, Handler, MessageMiddleware, PanicPolicy, SendError, SettleError, StartError, StopError, Verdict,
};

/// How long a drop waits for the callback in hand.
const DROP_GRACE: Duration = Duration::from_secs(5);

/// The pause before a nacked message is sent again: doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// What an endpoint is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointOptions {
    /// How it sends.
    pub producer: ProducerOptions,
    /// How it consumes.
    pub consumer: ConsumerOptions,
    /// What happens when the callback panics.
    pub on_panic: PanicPolicy,
    /// How long its making may take.
    pub setup: Duration,
}

impl Default for EndpointOptions {
    /// The defaults of producers and consumers, [`PanicPolicy::RequeueOnce`], 30 seconds to be made.
    fn default() -> Self {
        Self {
            producer: ProducerOptions::default(),
            consumer: ConsumerOptions::default(),
            on_panic: PanicPolicy::default(),
            setup: Duration::from_secs(30),
        }
    }
}

impl EndpointOptions {
    fn setup_deadline(&self) -> Instant {
        Instant::now() + self.setup
    }

    /// Sets how long its making may take.
    #[must_use]
    pub fn setup(mut self, limit: Duration) -> Self {
        self.setup = limit;
        self
    }

    /// Sets how it sends.
    #[must_use]
    pub fn producer(mut self, options: ProducerOptions) -> Self {
        self.producer = options;
        self
    }

    /// Sets how it consumes.
    #[must_use]
    pub fn consumer(mut self, options: ConsumerOptions) -> Self {
        self.consumer = options;
        self
    }

    /// Sets what happens when the callback panics.
    #[must_use]
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }
}

/// Why there is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The queue or exchange could not be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// The anonymous queue could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The broker gives no producer.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// A queue or an exchange of a broker, as [`MessageMiddleware`].
///
/// A send waits for its answer, so what one thread sends arrives in its order. Dropping it stops its
/// thread, and waits at most five seconds for the callback in hand.
pub struct Endpoint {
    broker: Arc<dyn Broker>,
    exchange: Option<Name>,
    /// The queue to consume; none for an exchange without bindings.
    queue: Option<Name>,
    route: Route,
    options: EndpointOptions,
    producer: Mutex<Box<dyn Producer>>,
    worker: Mutex<Option<Worker>>,
    paused: AtomicBool,
    closed: AtomicBool,
}

impl Endpoint {
    /// Declares a queue, to send to and to consume. Work queues and private queues alike.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn queue(broker: Arc<dyn Broker>, spec: &QueueSpec, options: EndpointOptions) -> Result<Self, EndpointError> {
        let queue = broker.declare_queue(spec, options.setup_deadline())?;
        let route = Route::queue(&queue);
        Self::new(broker, None, Some(queue), route, options)
    }

    /// Declares an exchange, to send to with `key`, and to consume by `bindings`.
    ///
    /// With bindings, it gets an anonymous queue: what is sent from now on is kept for it, and once
    /// that is full it holds senders back. Without, it can only send.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn exchange(
        broker: Arc<dyn Broker>,
        spec: &ExchangeSpec,
        key: RoutingKey,
        bindings: &[Binding],
        options: EndpointOptions,
    ) -> Result<Self, EndpointError> {
        let deadline = options.setup_deadline();
        broker.declare_exchange(spec, deadline)?;
        let queue = match bindings {
            [] => None,
            _ => Some(broker.declare_queue(&QueueSpec::anonymous(), deadline)?),
        };
        let route = Route::exchange(&spec.name, key);
        let endpoint = Self::new(broker, Some(spec.name.clone()), queue, route, options)?;
        if let Some(queue) = &endpoint.queue {
            for binding in bindings {
                endpoint.broker.bind(queue, &spec.name, binding, deadline)?;
            }
        }
        Ok(endpoint)
    }

    fn new(
        broker: Arc<dyn Broker>,
        exchange: Option<Name>,
        queue: Option<Name>,
        route: Route,
        options: EndpointOptions,
    ) -> Result<Self, EndpointError> {
        let producer = Mutex::new(broker.producer(options.producer.clone())?);
        Ok(Self {
            broker,
            exchange,
            queue,
            route,
            options,
            producer,
            worker: Mutex::new(None),
            paused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// The queue that it consumes, by the broker's name for it; none if it only sends.
    #[must_use]
    pub fn queue_name(&self) -> Option<&Name> {
        self.queue.as_ref()
    }

    /// Sends to another route than its own, else as [`send`](MessageMiddleware::send).
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_to(&self, route: &Route, message: Message, deadline: Instant) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        let mut producer = self.producer.try_lock_until(deadline).ok_or(SendError::Busy)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let id = producer.publish(route, message.clone(), deadline)?;
            match settle(producer.as_ref(), id, deadline) {
                Err(SendError::Nacked) if Instant::now() + pause < deadline => {}
                result => return result,
            }
            // The broker does not tell when there is room again.
            std::thread::sleep(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn refuse_starts(&self) {
        // Under the lock, so that no start comes between.
        let _worker = self.worker.lock();
        self.closed.store(true, Ordering::Release);
    }

    fn stop(&self, stop: Stop, deadline: Instant) -> Result<(), StopError> {
        let finished = match self.worker.lock().as_ref() {
            None => return Ok(()),
            Some(worker) => {
                worker.ask_to_stop(stop, deadline);
                if worker.is_current_thread() {
                    return Ok(());
                }
                worker.finished()
            }
        };
        // Not under the lock: the callback in hand may need it.
        worker::wait(&finished, deadline)?;
        let done = self.worker.lock().take_if(|worker| worker.is_finished());
        let clean = done.is_none_or(Worker::join);
        if clean { Ok(()) } else { Err(StopError::Deadline) }
    }

    fn forget_own_queue(&self, deadline: Instant) {
        if let Err(error) = self.delete_own_queue(deadline) {
            log::debug!("an anonymous queue is left to its connection: {error}");
        }
    }

    /// Deletes the anonymous queue of an exchange.
    fn delete_own_queue(&self, deadline: Instant) -> Result<(), DeleteError> {
        match (&self.exchange, &self.queue) {
            (Some(_), Some(queue)) => self.broker.delete_queue(queue, DeleteOptions::default(), deadline),
            _ => Ok(()),
        }
    }
}

/// Waits for the settlement of one publish; those of earlier ones, given up by now, are passed over.
fn settle(producer: &dyn Producer, id: PublishId, deadline: Instant) -> Result<(), SendError> {
    loop {
        let settled = producer.settled().recv_deadline(deadline).map_err(|_| SendError::Unknown)?;
        if settled.ids().contains(&id.0) {
            return match settled.outcome {
                Outcome::Confirmed => Ok(()),
                Outcome::Returned => Err(SendError::Unroutable),
                Outcome::Nacked => Err(SendError::Nacked),
                Outcome::Refused(refusal) => Err(refusal.into()),
                Outcome::Unknown => Err(SendError::Unknown),
            };
        }
    }
}

impl MessageMiddleware for Endpoint {
    fn send(&self, message: Message, deadline: Instant) -> Result<(), SendError> {
        self.send_to(&self.route, message, deadline)
    }

    fn start_consuming(&self, on_message: Box<dyn Handler>, deadline: Instant) -> Result<(), StartError> {
        let mut worker = self.worker.lock();
        if self.is_closed() {
            return Err(StartError::Closed);
        }
        if worker.as_ref().is_some_and(|running| !running.is_finished()) {
            return Err(StartError::Consuming);
        }
        let queue = self.queue.as_ref().ok_or(StartError::NoBindings)?;
        if let Some(finished) = worker.take() {
            finished.join();
        }
        let consumer = self.broker.consumer(queue, self.options.consumer.clone(), deadline)?;
        let paused = self.paused.load(Ordering::Acquire);
        // A thread's name can't hold NUL, a queue's can.
        let name = format!("consume {queue}").replace('\0', "?");
        *worker = Some(Worker::start(name, consumer, on_message, self.options.on_panic, paused)?);
        Ok(())
    }

    fn settle(&self, tag: DeliveryTag, verdict: Verdict, deadline: Instant) -> Result<(), SettleError> {
        if verdict == Verdict::Defer {
            return Err(SettleError::Deferred);
        }
        let verdicts = self.worker.lock().as_ref().map(Worker::verdicts).ok_or(SettleError::NotConsuming)?;
        // Not under the lock: the callback in hand may need it.
        verdicts.send_deadline((tag, verdict), deadline).map_err(|error| match error {
            SendTimeoutError::Timeout(_) => SettleError::Deadline,
            SendTimeoutError::Disconnected(_) => SettleError::NotConsuming,
        })
    }

    fn stop_consuming(&self, deadline: Instant) -> Result<(), StopError> {
        self.stop(Stop::Now, deadline)
    }

    fn pause(&self) {
        let worker = self.worker.lock();
        self.paused.store(true, Ordering::Release);
        worker.iter().for_each(|worker| worker.set_paused(true));
    }

    fn resume(&self) {
        let worker = self.worker.lock();
        self.paused.store(false, Ordering::Release);
        worker.iter().for_each(|worker| worker.set_paused(false));
    }

    fn emit_barrier(&self, group: &Name, members: usize, deadline: Instant) -> Result<(), BarrierError> {
        if self.is_closed() {
            return Err(BarrierError::Closed);
        }
        barrier::meet(self.broker.as_ref(), group, members, deadline)
    }

    fn shutdown(&self, deadline: Instant) -> Result<(), StopError> {
        self.refuse_starts();
        let stopped = self.stop(Stop::Finish, deadline);
        // Sends of other threads are answered when the producer is free.
        let sent = self.producer.try_lock_until(deadline).map(drop).ok_or(StopError::Deadline);
        self.forget_own_queue(deadline);
        stopped.and(sent)
    }

    fn close(&self, deadline: Instant) -> Result<(), StopError> {
        self.refuse_starts();
        let stopped = self.stop_consuming(deadline);
        self.forget_own_queue(deadline);
        stopped
    }

    fn delete(&self, deadline: Instant) -> Result<(), DeleteError> {
        self.delete_own_queue(deadline)?;
        match (&self.exchange, &self.queue) {
            (Some(exchange), _) => self.broker.delete_exchange(exchange, deadline),
            (None, Some(queue)) => self.broker.delete_queue(queue, DeleteOptions::default(), deadline),
            (None, None) => Ok(()),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.close(Instant::now() + DROP_GRACE).is_err() {
            log::warn!("an endpoint was dropped while its callback did not return");
        }
    }
}
