//! The consuming thread of an endpoint: calls the handler and passes its verdicts on.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, never, select};

use crate::consumer::{AckError, Consumer, ConsumerEnd, Delivery, Nack};

use super::{Handler, PanicPolicy, StopError, Verdict};

/// What the thread is asked to do.
#[derive(Debug, Default)]
struct Wishes {
    stop: AtomicBool,
    pause: AtomicBool,
}

/// A consuming thread, seen from outside.
#[derive(Debug)]
pub(super) struct Worker {
    wishes: Arc<Wishes>,
    /// Makes the thread look at the wishes; when it is dropped, the thread stops.
    wake: Sender<()>,
    /// Disconnects when the thread is about to end.
    finished: Receiver<Infallible>,
    thread: JoinHandle<()>,
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
        let wishes = Arc::new(Wishes { stop: AtomicBool::new(false), pause: paused.into() });
        let (wake, woken) = bounded(1);
        let (finish, finished) = bounded(0);
        let body = Loop { wishes: wishes.clone(), woken, consumer, handler, on_panic };
        let thread = thread::Builder::new().name(name).spawn(move || {
            body.run();
            drop(finish);
        })?;
        Ok(Self { wishes, wake, finished, thread })
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

    pub(super) fn ask_to_stop(&self) {
        self.wishes.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// What [`wait`] waits for.
    pub(super) fn finished(&self) -> Receiver<Infallible> {
        self.finished.clone()
    }

    /// Joins the thread, which has finished.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            log::error!("a consuming thread panicked outside its callback");
        }
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
    consumer: Box<dyn Consumer>,
    handler: Box<dyn Handler>,
    on_panic: PanicPolicy,
}

impl Loop {
    fn run(mut self) {
        let end = self.consume();
        let Self { consumer, mut handler, .. } = self;
        // What is not acked goes back before anybody hears that consuming has ended.
        drop(consumer);
        if catch_unwind(AssertUnwindSafe(|| handler.on_end(end))).is_err() {
            log::error!("the callback about the end of consuming panicked");
        }
    }

    fn consume(&mut self) -> ConsumerEnd {
        let mut paused = false;
        let nothing = never();
        while !self.wishes.stop.load(Ordering::Acquire) {
            let pause = self.wishes.pause.load(Ordering::Acquire);
            if pause != paused {
                paused = pause;
                let told = if pause { self.consumer.pause() } else { self.consumer.resume() };
                if let Err(error) = told {
                    // Its channel disconnects as well, which ends the loop as soon as it is looked at.
                    log::debug!("pausing or resuming came too late: {error}");
                }
            }
            let deliveries = if paused { &nothing } else { self.consumer.deliveries() };
            select! {
                recv(self.woken) -> woken => if woken.is_err() { break },
                recv(deliveries) -> delivery => match delivery {
                    Ok(delivery) => self.handle(&delivery),
                    Err(_) => return self.consumer.ended().unwrap_or(ConsumerEnd::Closed),
                },
            }
        }
        ConsumerEnd::Closed
    }

    fn handle(&mut self, delivery: &Delivery) {
        let handler = &mut self.handler;
        let verdict = catch_unwind(AssertUnwindSafe(|| handler.on_message(delivery)));
        let verdict = verdict.unwrap_or_else(|_| self.verdict_on_panic(delivery));
        let told = match verdict {
            Verdict::Ack => self.consumer.ack(delivery.tag),
            Verdict::Requeue => self.consumer.nack(delivery.tag, Nack::Requeue),
            Verdict::DeadLetter => self.consumer.nack(delivery.tag, Nack::DeadLetter),
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
