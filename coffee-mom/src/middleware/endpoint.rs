//! The one implementation of the simple contract, over the handles of any broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::broker::{Broker, DeleteError};
use crate::consumer::{Consumer, DeliveryTag};
use crate::message::Message;
use crate::name::{Name, RoutingKey};
use crate::producer::{Outcome, Producer, PublishId};
use crate::route::Route;
use crate::topology::{Binding, DeleteOptions, ExchangeSpec, QueueSpec};

use super::inbox::Stop;
use super::seat::Seat;
use super::worker::Worker;
use super::{
    BarrierError, EndpointError, EndpointOptions, Handler, MessageMiddleware, SendError, SettleError, StartError,
    StopError, Verdict, barrier,
};

/// How long a drop waits for the callback in hand.
const DROP_GRACE: Duration = Duration::from_secs(5);

/// How long a drop still tries to delete the queue of an exchange when that wait was in vain.
const DELETE_GRACE: Duration = Duration::from_secs(1);

/// The pause before a nacked message is sent again: doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// A queue or an exchange of a broker, as [`MessageMiddleware`].
///
/// A send waits for its answer, so what one thread sends arrives in its order. Dropping it stops its
/// thread, and waits at most five seconds for the callback in hand, and one more to delete the
/// anonymous queue of an exchange.
pub struct Endpoint {
    broker: Arc<dyn Broker>,
    exchange: Option<Name>,
    /// The queue to consume; none for an exchange without bindings.
    queue: Option<Name>,
    route: Route,
    options: EndpointOptions,
    producer: Mutex<Box<dyn Producer>>,
    consuming: Seat,
}

impl Endpoint {
    /// Declares a queue, to send to and to consume. Work queues and private queues alike.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn queue(broker: Arc<dyn Broker>, spec: &QueueSpec, options: EndpointOptions) -> Result<Self, EndpointError> {
        let producer = broker.producer(options.producer.clone())?;
        let queue = broker.declare_queue(spec, options.setup_deadline())?;
        let route = Route::queue(&queue);
        Ok(Self::new(broker, None, Some(queue), route, options, producer))
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
        let producer = broker.producer(options.producer.clone())?;
        broker.declare_exchange(spec, deadline)?;
        let queue = match bindings {
            [] => None,
            _ => Some(broker.declare_queue(&QueueSpec::anonymous(), deadline)?),
        };
        let route = Route::exchange(&spec.name, key);
        // From here on its drop deletes the queue.
        let endpoint = Self::new(broker, Some(spec.name.clone()), queue, route, options, producer);
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
        producer: Box<dyn Producer>,
    ) -> Self {
        Self { broker, exchange, queue, route, options, producer: Mutex::new(producer), consuming: Seat::new() }
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
        if self.consuming.is_closed() {
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

    /// Stops for good; the anonymous queue of an exchange is deleted until a deadline of its own.
    fn close_until(&self, deadline: Instant, deletion: Instant) -> Result<(), StopError> {
        self.consuming.close();
        let stopped = self.consuming.stop(Stop::Now, deadline);
        self.forget_own_queue(deletion);
        stopped
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
        if self.consuming.is_closed() {
            return Err(StartError::Closed);
        }
        let queue = self.queue.as_ref().ok_or(StartError::NoBindings)?;
        let attach = || self.broker.consumer(queue, self.options.consumer.clone(), deadline);
        let start = |consumer: Box<dyn Consumer>, paused: bool| {
            let name = format!("consume {queue}");
            Worker::start(&name, consumer, on_message, self.options.on_panic, paused)
        };
        self.consuming.start(attach, start, deadline)
    }

    fn settle(&self, tag: DeliveryTag, verdict: Verdict, deadline: Instant) -> Result<(), SettleError> {
        match verdict {
            Verdict::Defer => Err(SettleError::Deferred),
            verdict => self.consuming.settle(tag, verdict, deadline),
        }
    }

    fn stop_consuming(&self, deadline: Instant) -> Result<(), StopError> {
        self.consuming.stop(Stop::Now, deadline)
    }

    fn pause(&self) {
        self.consuming.set_paused(true);
    }

    fn resume(&self) {
        self.consuming.set_paused(false);
    }

    fn emit_barrier(&self, group: &Name, members: usize, deadline: Instant) -> Result<(), BarrierError> {
        if self.consuming.is_closed() {
            return Err(BarrierError::Closed);
        }
        barrier::meet(self.broker.as_ref(), group, members, deadline)
    }

    fn shutdown(&self, deadline: Instant) -> Result<(), StopError> {
        self.consuming.close();
        let stopped = self.consuming.stop(Stop::Finish, deadline);
        // Sends of other threads are answered when the producer is free.
        let sent = self.producer.try_lock_until(deadline).map(drop).ok_or(StopError::Deadline);
        self.forget_own_queue(deadline);
        stopped.and(sent)
    }

    fn close(&self, deadline: Instant) -> Result<(), StopError> {
        self.close_until(deadline, deadline)
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
        let deadline = Instant::now() + DROP_GRACE;
        if self.close_until(deadline, deadline + DELETE_GRACE).is_err() {
            log::warn!("an endpoint was dropped while its callback did not return");
        }
    }
}
