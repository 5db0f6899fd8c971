//! The producer of RabbitMQ. The handle here checks, waits for room and hands over; `actor` owns the
//! channel and sends, `ledger` knows what has no answer yet, `gate` is the window.

mod actor;
mod gate;
mod ledger;
mod orders;
mod refusal;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use crate::message::Message;
use crate::producer::{Producer, ProducerOptions, PublishError, PublishId, Settled};
use crate::route::Route;
use crate::thread::{Finished, wake};

use super::hub::Hub;
use super::line::Line;
use super::threads::Threads;

use self::actor::Actor;
use self::gate::Gate;
use self::ledger::Pending;
use self::orders::Orders;

/// Largest window in messages; what is above it is cut down to it.
const MAX_WINDOW: usize = 65_536;

/// How long the actor of a dropped producer waits for answers.
const DROP_GRACE: Duration = Duration::from_secs(5);

/// Publishes through an actor of its own, which outlives lost links.
pub(super) struct RabbitProducer {
    options: ProducerOptions,
    line: Arc<Line>,
    hub: Arc<Hub>,
    gate: Arc<Gate>,
    /// Has room for the window, so handing over never blocks. Dropped, the actor ends when it is done.
    intake: Sender<Pending>,
    settled: Receiver<Settled>,
    window: usize,
    next: u64,
    closer: Closer,
    /// Keeps the connection open.
    _connection: Arc<dyn Send + Sync>,
}

/// Closes a producer from the side of its connection.
#[derive(Clone)]
pub(super) struct Closer {
    gate: Arc<Gate>,
    orders: Arc<Mutex<Orders>>,
    unsettled: Arc<AtomicBool>,
    wake: Sender<()>,
    finished: Finished,
}

impl RabbitProducer {
    pub(super) fn start(
        line: Arc<Line>,
        hub: Arc<Hub>,
        options: ProducerOptions,
        threads: &Threads,
        connection: Arc<dyn Send + Sync>,
    ) -> std::io::Result<(Self, Closer)> {
        let window = options.window_messages.clamp(1, MAX_WINDOW);
        let gate = Arc::new(Gate::new(window, options.window_bytes));
        let (intake, taken) = bounded(window);
        // Publishing is refused while as many settlements wait as fit into the window, and as many
        // may be on their way.
        let (settle, settled) = bounded(2 * window);
        let (wake, woken) = bounded(1);
        let orders = Arc::<Mutex<Orders>>::default();
        let unsettled = Arc::new(AtomicBool::new(false));
        let actor = Actor::new(line.clone(), hub.clone(), &options, gate.clone(), taken, settle, woken, orders.clone());
        let finished = threads.spawn("rabbitmq producer", {
            let unsettled = unsettled.clone();
            move || unsettled.store(!actor.run(), Ordering::Release)
        })?;
        let closer = Closer { gate: gate.clone(), orders, unsettled, wake, finished };
        let producer = Self {
            options,
            line,
            hub,
            gate,
            intake,
            settled,
            window,
            next: 0,
            closer: closer.clone(),
            _connection: connection,
        };
        Ok((producer, closer))
    }

    fn check(&self, message: &Message) -> Result<(), PublishError> {
        if self.gate.is_closed() {
            return Err(PublishError::Closed);
        }
        let (size, limit) = (message.body.len(), self.options.max_body_bytes);
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        message.check()?;
        if self.settled.len() >= self.window {
            return Err(PublishError::SettlementsFull);
        }
        Ok(())
    }
}

impl Producer for RabbitProducer {
    fn publish(&mut self, to: &Route, message: Message, deadline: Instant) -> Result<PublishId, PublishError> {
        self.check(&message)?;
        self.gate.enter(message.body.len(), deadline, || self.line.is_blocked())?;
        let id = PublishId(self.next);
        let pending = Pending { id: id.0, route: to.clone(), message, returned: false, replayed: false };
        // Before it is handed over, so that never more are settled than published.
        self.hub.published();
        match self.intake.try_send(pending) {
            Ok(()) => {
                self.next += 1;
                Ok(id)
            }
            // Not full: what the gate lets in fits.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(PublishError::Closed),
        }
    }

    fn settled(&self) -> &Receiver<Settled> {
        &self.settled
    }
}

impl Drop for RabbitProducer {
    fn drop(&mut self) {
        self.closer.order(Instant::now() + DROP_GRACE, false);
    }
}

impl Closer {
    /// Takes no more publishes; waits for the answers to those that are on their way, until the
    /// deadline, then settles the rest as unknown. Does not block.
    pub(super) fn close(&self, deadline: Instant) {
        self.order(deadline, true);
    }

    fn order(&self, deadline: Instant, with_connection: bool) {
        let mut orders = self.orders.lock();
        orders.end_by(deadline);
        orders.with_connection |= with_connection;
        drop(orders);
        self.gate.close();
        wake(&self.wake);
    }

    /// Whether publishes had to be settled as unknown at the end.
    pub(super) fn left_unsettled(&self) -> bool {
        self.unsettled.load(Ordering::Acquire)
    }

    /// The end of the actor.
    pub(super) fn finished(&self) -> &Finished {
        &self.finished
    }
}

impl fmt::Debug for RabbitProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitProducer")
            .field("options", &self.options)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
