//! The consuming thread of an endpoint: calls the handler and passes its verdicts on.

use std::collections::HashSet;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, at, bounded, never, select};
use parking_lot::Mutex;

use crate::consumer::{AckError, Consumer, ConsumerEnd, Delivery, DeliveryTag, Nack};

use super::{Handler, PanicPolicy, StopError, Verdict};

/// Deferred verdicts on their way to the thread; more make their senders wait.
const VERDICTS: usize = 256;

/// How a thread is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// After the callback in hand.
    Now,
    /// After the callback in hand and all verdicts that it deferred.
    Finish,
}

/// What the thread is asked to do.
#[derive(Debug, Default)]
struct Wishes {
    pause: AtomicBool,
    /// Which stop, and until when it waits for verdicts and for the broker.
    stop: Mutex<Option<(Stop, Instant)>>,
}

/// A consuming thread, seen from outside.
#[derive(Debug)]
pub(super) struct Worker {
    wishes: Arc<Wishes>,
    /// Makes the thread look at the wishes; when it is dropped, the thread stops.
    wake: Sender<()>,
    verdicts: Sender<(DeliveryTag, Verdict)>,
    /// Disconnects when the thread is about to end.
    finished: Receiver<Infallible>,
    /// Whether nothing was left behind.
    thread: JoinHandle<bool>,
}

impl Worker {
    /// Starts a thread of that name.
    pub(super) fn start(
        name: String,
        consumer: Box<dyn Consumer>,
        handler: Box<dyn Handler>,
        on_panic: PanicPolicy,
        paused: bool,
    ) -> std::io::Result<Self> {
        let wishes = Arc::new(Wishes { pause: paused.into(), stop: Mutex::new(None) });
        let (wake, woken) = bounded(1);
        let (verdicts, deferred) = bounded(VERDICTS);
        let (finish, finished) = bounded(0);
        let body = Loop { wishes: wishes.clone(), woken, deferred, open: HashSet::new(), consumer, handler, on_panic };
        let thread = thread::Builder::new().name(name).spawn(move || {
            let clean = body.run();
            drop(finish);
            clean
        })?;
        Ok(Self { wishes, wake, verdicts, finished, thread })
    }

    pub(super) fn is_current_thread(&self) -> bool {
        self.thread.thread().id() == thread::current().id()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.wishes.pause.store(paused, Ordering::Release);
        self.wake();
    }

    /// Where deferred verdicts go.
    pub(super) fn verdicts(&self) -> Sender<(DeliveryTag, Verdict)> {
        self.verdicts.clone()
    }

    /// The last call counts, but a `Now` stays one.
    pub(super) fn ask_to_stop(&self, stop: Stop, deadline: Instant) {
        let mut asked = self.wishes.stop.lock();
        let now = matches!(*asked, Some((Stop::Now, _)));
        *asked = Some((if now { Stop::Now } else { stop }, deadline));
        drop(asked);
        self.wake();
    }

    /// What [`wait`] waits for.
    pub(super) fn finished(&self) -> Receiver<Infallible> {
        self.finished.clone()
    }

    /// Joins the thread, which has finished; false if it had to leave work behind.
    pub(super) fn join(self) -> bool {
        self.thread.join().unwrap_or_else(|_| {
            log::error!("a consuming thread panicked outside its callback");
            false
        })
    }

    fn wake(&self) {
        match self.wake.try_send(()) {
            // Full: the thread will look at the wishes anyway. Gone: there is nobody to tell.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

/// Waits until a worker has finished.
pub(super) fn wait(finished: &Receiver<Infallible>, deadline: Instant) -> Result<(), StopError> {
    match finished.recv_deadline(deadline) {
        Ok(infallible) => match infallible {},
        Err(RecvTimeoutError::Disconnected) => Ok(()),
        Err(RecvTimeoutError::Timeout) => Err(StopError::Deadline),
    }
}

struct Loop {
    wishes: Arc<Wishes>,
    woken: Receiver<()>,
    deferred: Receiver<(DeliveryTag, Verdict)>,
    /// Deliveries that were deferred and wait for their verdict; a requeue by a lost connection leaves
    /// its tag until the verdict comes.
    open: HashSet<DeliveryTag>,
    consumer: Box<dyn Consumer>,
    handler: Box<dyn Handler>,
    on_panic: PanicPolicy,
}

impl Loop {
    /// False if verdicts were missing or the consumer could not be closed in time.
    fn run(mut self) -> bool {
        let end = self.consume();
        let finished = self.open.is_empty();
        let deadline = self.wishes.stop.lock().map_or_else(Instant::now, |(_, deadline)| deadline);
        let Self { mut consumer, mut handler, .. } = self;
        // What is not acked goes back before anybody hears that consuming has ended.
        let closed = consumer.close(deadline);
        drop(consumer);
        if catch_unwind(AssertUnwindSafe(|| handler.on_end(end))).is_err() {
            log::error!("the callback about the end of consuming panicked");
        }
        finished && closed.is_ok()
    }

    fn consume(&mut self) -> ConsumerEnd {
        let mut paused = false;
        let nothing = never();
        loop {
            let stop = *self.wishes.stop.lock();
            match stop {
                Some((Stop::Now, _)) => return ConsumerEnd::Closed,
                Some((Stop::Finish, deadline)) if self.open.is_empty() || Instant::now() >= deadline => {
                    return ConsumerEnd::Closed;
                }
                _ => {}
            }
            let pause = stop.is_some() || self.wishes.pause.load(Ordering::Acquire);
            if pause != paused {
                paused = pause;
                self.tell_pause(pause);
            }
            let deliveries = if paused { &nothing } else { self.consumer.deliveries() };
            let patience = stop.map_or_else(never, |(_, deadline)| at(deadline));
            select! {
                recv(self.woken) -> woken => if woken.is_err() { return ConsumerEnd::Closed },
                recv(self.deferred) -> verdict => if let Ok((tag, verdict)) = verdict { self.settle(tag, verdict) },
                recv(deliveries) -> delivery => match delivery {
                    Ok(delivery) => self.handle(&delivery),
                    Err(_) => return self.consumer.ended().unwrap_or(ConsumerEnd::Closed),
                },
                recv(patience) -> _ => {}
            }
        }
    }

    fn tell_pause(&mut self, pause: bool) {
        let told = if pause { self.consumer.pause() } else { self.consumer.resume() };
        if let Err(error) = told {
            // Its channel disconnects as well, which ends the loop as soon as it is looked at.
            log::debug!("pausing or resuming came too late: {error}");
        }
    }

    fn handle(&mut self, delivery: &Delivery) {
        let handler = &mut self.handler;
        let verdict = catch_unwind(AssertUnwindSafe(|| handler.on_message(delivery)));
        let verdict = verdict.unwrap_or_else(|_| self.verdict_on_panic(delivery));
        if verdict == Verdict::Defer {
            self.open.insert(delivery.tag);
            return;
        }
        self.tell(delivery.tag, verdict);
    }

    /// A verdict that comes before its callback has returned waits in the channel: this thread takes
    /// it out only between callbacks.
    fn settle(&mut self, tag: DeliveryTag, verdict: Verdict) {
        if self.open.remove(&tag) {
            self.tell(tag, verdict);
        }
    }

    fn tell(&mut self, tag: DeliveryTag, verdict: Verdict) {
        let told = match verdict {
            Verdict::Ack => self.consumer.ack(tag),
            Verdict::Requeue => self.consumer.nack(tag, Nack::Requeue),
            Verdict::DeadLetter => self.consumer.nack(tag, Nack::DeadLetter),
            Verdict::Defer => Ok(()),
        };
        if let Err(error) = told {
            log_lost_verdict(verdict, &error);
        }
    }

    fn verdict_on_panic(&self, delivery: &Delivery) -> Verdict {
        let verdict = match self.on_panic {
            PanicPolicy::RequeueOnce if !delivery.redelivered => Verdict::Requeue,
            PanicPolicy::Requeue => Verdict::Requeue,
            PanicPolicy::RequeueOnce | PanicPolicy::DeadLetter => Verdict::DeadLetter,
        };
        log::error!("a callback panicked; its message from {}: {verdict:?}", delivery.route);
        verdict
    }
}

/// The delivery went back to its queue before its verdict arrived, or its queue is gone.
fn log_lost_verdict(verdict: Verdict, error: &AckError) {
    log::debug!("verdict {verdict:?} came too late: {error}");
}
