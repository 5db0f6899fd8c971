//! A broker whose consumers can be held back and refused, that counts its anonymous queues, and whose
//! consumers need time to close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffee_mom::*;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

pub struct Watched {
    inner: Arc<dyn Broker>,
    gate: Mutex<Gate>,
    anonymous: Mutex<Vec<Name>>,
    deletions: Mutex<Vec<Duration>>,
}

enum Gate {
    Open,
    /// Gets what holds a consumer back until it is dropped.
    Held(Sender<Sender<()>>),
    Refused,
}

impl Watched {
    pub fn new(inner: Arc<dyn Broker>) -> Arc<Self> {
        let (anonymous, deletions) = (Mutex::default(), Mutex::default());
        Arc::new(Self { inner, gate: Mutex::new(Gate::Open), anonymous, deletions })
    }

    /// From now on, each consumer waits until what is received for it is dropped.
    pub fn hold_consumers(&self) -> Receiver<Sender<()>> {
        let (hold, held) = bounded(8);
        *self.gate.lock() = Gate::Held(hold);
        held
    }

    /// From now on, there is no consumer.
    pub fn refuse_consumers(&self) {
        *self.gate.lock() = Gate::Refused;
    }

    /// The anonymous queues that were not deleted.
    pub fn left_behind(&self) -> Vec<Name> {
        self.anonymous.lock().clone()
    }

    /// How long each deletion was given.
    pub fn deletions(&self) -> Vec<Duration> {
        self.deletions.lock().clone()
    }

    fn pass_gate(&self) -> Result<(), AttachError> {
        let opened = match &*self.gate.lock() {
            Gate::Open => return Ok(()),
            Gate::Refused => return Err(ConnectionError::Deadline.into()),
            Gate::Held(hold) => {
                let (holds, opened) = bounded(0);
                hold.send(holds).unwrap();
                opened
            }
        };
        let _ = opened.recv();
        Ok(())
    }
}

impl Broker for Watched {
    fn declare_queue(&self, spec: &QueueSpec, deadline: Instant) -> Result<Name, DeclareError> {
        let name = self.inner.declare_queue(spec, deadline)?;
        if spec.name.is_none() {
            self.anonymous.lock().push(name.clone());
        }
        Ok(name)
    }

    fn declare_exchange(&self, spec: &ExchangeSpec, deadline: Instant) -> Result<(), DeclareError> {
        self.inner.declare_exchange(spec, deadline)
    }

    fn bind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError> {
        self.inner.bind(queue, exchange, binding, deadline)
    }

    fn unbind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError> {
        self.inner.unbind(queue, exchange, binding, deadline)
    }

    fn delete_queue(&self, queue: &Name, options: DeleteOptions, deadline: Instant) -> Result<(), DeleteError> {
        self.inner.delete_queue(queue, options, deadline)?;
        self.deletions.lock().push(deadline.saturating_duration_since(Instant::now()));
        self.anonymous.lock().retain(|name| name != queue);
        Ok(())
    }

    fn delete_exchange(&self, exchange: &Name, deadline: Instant) -> Result<(), DeleteError> {
        self.inner.delete_exchange(exchange, deadline)
    }

    fn queue_status(&self, queue: &Name, deadline: Instant) -> Result<QueueStatus, AttachError> {
        self.inner.queue_status(queue, deadline)
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>, AttachError> {
        self.inner.producer(options)
    }

    fn consumer(
        &self,
        queue: &Name,
        options: ConsumerOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Consumer>, AttachError> {
        self.pass_gate()?;
        Ok(Box::new(Slow(self.inner.consumer(queue, options, deadline)?)))
    }

    fn events(&self) -> Receiver<Event> {
        self.inner.events()
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn close(&self, deadline: Instant) -> Result<(), CloseError> {
        self.inner.close(deadline)
    }
}

/// Can't be closed at once.
struct Slow(Box<dyn Consumer>);

impl Consumer for Slow {
    fn deliveries(&self) -> &Receiver<Delivery> {
        self.0.deliveries()
    }

    fn ended(&self) -> Option<ConsumerEnd> {
        self.0.ended()
    }

    fn ack(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.0.ack(tag)
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.0.ack_through(tag)
    }

    fn nack(&mut self, tag: DeliveryTag, then: Nack) -> Result<(), AckError> {
        self.0.nack(tag, then)
    }

    fn pause(&mut self) -> Result<(), AckError> {
        self.0.pause()
    }

    fn resume(&mut self) -> Result<(), AckError> {
        self.0.resume()
    }

    fn close(&mut self, deadline: Instant) -> Result<(), CloseError> {
        self.0.close(deadline)?;
        if deadline > Instant::now() { Ok(()) } else { Err(CloseError::Deadline) }
    }
}
