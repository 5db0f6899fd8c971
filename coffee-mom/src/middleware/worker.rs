//! The consuming thread of an endpoint: calls the handler and passes its verdicts on.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};

use crate::consumer::{AckError, Consumer, ConsumerEnd, Delivery, DeliveryTag, Nack};
use crate::thread::{Finished, spawn, wake};

use super::inbox::{Inbox, Stop, Verdicts, Wishes};
use super::{Handler, PanicPolicy, SettleError, Verdict};

/// What the broker gets to let a consumer go, also when a callback took until the stop's deadline: the
/// one who stops again finds it stopped.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// A consuming thread, seen from outside.
#[derive(Debug)]
pub(super) struct Worker {
    post: Post,
    finished: Finished,
    /// Whether nothing was left behind.
    thread: JoinHandle<bool>,
}

/// The way to the thread; it may be used beside the worker's owner.
#[derive(Debug, Clone)]
pub(super) struct Post {
    inbox: Arc<Inbox>,
    /// Makes the thread look into the inbox; when all are dropped, the thread stops.
    wake: Sender<()>,
}

impl Post {
    pub(super) fn set_paused(&self, paused: bool) {
        self.inbox.set_paused(paused);
        wake(&self.wake);
    }

    pub(super) fn ask_to_stop(&self, stop: Stop, deadline: Instant) {
        self.inbox.ask_to_stop(stop, deadline);
        wake(&self.wake);
    }

    /// Hands a deferred verdict over. Waits for room, `deadline` at most.
    pub(super) fn settle(&self, tag: DeliveryTag, verdict: Verdict, deadline: Instant) -> Result<(), SettleError> {
        self.inbox.put(tag, verdict, deadline)?;
        wake(&self.wake);
        Ok(())
    }
}

impl Worker {
    /// Starts a thread of that name.
    pub(super) fn start(
        name: &str,
        consumer: Box<dyn Consumer>,
        handler: Box<dyn Handler>,
        on_panic: PanicPolicy,
        paused: bool,
    ) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::new(paused));
        let (wake, woken) = bounded(1);
        let body = Loop { inbox: inbox.clone(), woken, open: HashSet::new(), consumer, handler, on_panic };
        let (thread, finished) = spawn(name, move || body.run())?;
        Ok(Self { post: Post { inbox, wake }, finished, thread })
    }

    pub(super) fn is_current_thread(&self) -> bool {
        self.thread.thread().id() == thread::current().id()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.is_over()
    }

    pub(super) fn post(&self) -> &Post {
        &self.post
    }

    pub(super) fn finished(&self) -> Finished {
        self.finished.clone()
    }

    /// Joins the thread, which has finished; false if it had to leave work behind.
    pub(super) fn join(self) -> bool {
        self.thread.join().unwrap_or_else(|_| {
            log::error!("a consuming thread panicked outside its callback");
            false
        })
    }
}

struct Loop {
    inbox: Arc<Inbox>,
    woken: Receiver<()>,
    /// Deliveries that were deferred and wait for their verdict; a requeue by a lost connection leaves
    /// its tag until the verdict comes.
    open: HashSet<DeliveryTag>,
    consumer: Box<dyn Consumer>,
    handler: Box<dyn Handler>,
    on_panic: PanicPolicy,
}

impl Loop {
    /// False if a stop was asked for, and verdicts that it waits for were missing or the consumer
    /// could not be closed in time.
    fn run(mut self) -> bool {
        let end = self.consume();
        let Wishes { stop, verdicts, .. } = self.inbox.close();
        self.settle(verdicts);
        let Self { open, mut consumer, mut handler, .. } = self;
        let deadline = stop.map_or_else(Instant::now, |(_, asked)| asked.max(Instant::now() + CLOSE_GRACE));
        // What is not acked goes back before anybody hears that consuming has ended.
        let closed = consumer.close(deadline);
        drop(consumer);
        if catch_unwind(AssertUnwindSafe(|| handler.on_end(end))).is_err() {
            log::error!("the callback about the end of consuming panicked");
        }
        match stop {
            None => true,
            Some((Stop::Now, _)) => closed.is_ok(),
            Some((Stop::Finish, _)) => closed.is_ok() && open.is_empty(),
        }
    }

    fn consume(&mut self) -> ConsumerEnd {
        let mut paused = false;
        let nothing = never();
        loop {
            let Wishes { pause, stop, verdicts } = self.inbox.take();
            self.settle(verdicts);
            match stop {
                Some((Stop::Now, _)) => return ConsumerEnd::Closed,
                Some((Stop::Finish, deadline)) if self.open.is_empty() || Instant::now() >= deadline => {
                    return ConsumerEnd::Closed;
                }
                _ => {}
            }
            let pause = stop.is_some() || pause;
            if pause != paused {
                paused = pause;
                self.tell_pause(pause);
            }
            let deliveries = if paused { &nothing } else { self.consumer.deliveries() };
            let patience = stop.map_or_else(never, |(_, deadline)| at(deadline));
            select! {
                recv(self.woken) -> woken => if woken.is_err() { return ConsumerEnd::Closed },
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

    /// A verdict that comes before its callback has returned waits in the inbox: this thread takes it
    /// out only between callbacks.
    fn settle(&mut self, verdicts: Verdicts) {
        for (tag, verdict) in verdicts {
            if self.open.remove(&tag) {
                self.tell(tag, verdict);
            }
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
