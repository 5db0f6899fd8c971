//! The thread of a client: sends requests, sends them again, and hands replies to those who wait.
//! Knows no types; `client` puts them around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, at, bounded, never, select};

use crate::broker::Broker;
use crate::consumer::Delivery;
use crate::deadline::{after, later};
use crate::middleware::StopError;
use crate::producer::{ProducerOptions, Settled};
use crate::random::unique_id;
use crate::route::Route;

use super::Semantics;
use super::client::ClientOptions;
use super::error::{CallError, NoError, SetupError};
use super::inbox::Inbox;
use super::outbox::{Fate, Outbox, Parcel};
use super::task::{SHORTEST_PAUSE, Task};
use super::wire::{CallId, Reply, Request, Status};

/// A reply, or why there is none.
pub(super) type Answer = Result<(Status, Bytes), CallError<NoError>>;

/// Each pause between two tries is twice the one before, up to so many times the first.
const LONGEST_PAUSE: u32 = 32;

/// The thread answers at the deadline of a call; whoever waits for longer waits for a machine that stands still.
const SLACK: Duration = Duration::from_millis(200);

/// A call on its way to the thread.
pub(super) struct Call {
    pub(super) to: Route,
    pub(super) object: Option<String>,
    pub(super) body: Bytes,
    pub(super) deadline: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) retries: AtomicU64,
    pub(super) unclaimed: AtomicU64,
}

/// A client without types.
pub(super) struct Caller {
    // Dropped before `calls`, whose end would stop the thread without its grace.
    task: Task,
    calls: Sender<(Call, Sender<Answer>)>,
    pub(super) counts: Arc<Counts>,
}

impl Caller {
    /// Declares the queue of replies and starts the thread.
    pub(super) fn start(broker: Arc<dyn Broker>, name: &str, options: &ClientOptions) -> Result<Self, SetupError> {
        let deadline = after(options.setup);
        let inbox = Inbox::open(broker.clone(), deadline)?;
        let producer = broker.producer(ProducerOptions::default())?;
        let counts = Arc::new(Counts::default());
        let (calls, called) = bounded(0);
        let desk = Desk {
            options: options.clone(),
            id: unique_id(),
            inbox,
            called,
            outbox: Outbox::new(producer),
            open: BTreeMap::new(),
            alarms: BTreeSet::new(),
            next: 0,
            counts: counts.clone(),
        };
        let task = Task::start(&format!("rpc call {name}"), move |stop| desk.run(&stop))?;
        Ok(Self { calls, task, counts })
    }

    pub(super) fn call(&self, call: Call) -> Answer {
        let deadline = call.deadline;
        let (answer, answered) = bounded(1);
        self.calls.send_deadline((call, answer), deadline).map_err(|error| match error {
            SendTimeoutError::Timeout(_) => CallError::Busy,
            SendTimeoutError::Disconnected(_) => CallError::Closed,
        })?;
        answered.recv_deadline(later(deadline, SLACK)).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(CallError::Timeout),
            RecvTimeoutError::Disconnected => Err(CallError::Closed),
        })
    }

    pub(super) fn close(&self, deadline: Instant) -> Result<(), StopError> {
        self.task.stop(deadline)
    }
}

/// A call that somebody waits for.
struct Open {
    call: Call,
    answer: Sender<Answer>,
    tries: u32,
    pause: Duration,
    alarm: Instant,
}

struct Desk {
    options: ClientOptions,
    id: String,
    inbox: Inbox,
    called: Receiver<(Call, Sender<Answer>)>,
    outbox: Outbox<u64>,
    open: BTreeMap<u64, Open>,
    /// When to look after which open call; each has one alarm.
    alarms: BTreeSet<(Instant, u64)>,
    next: u64,
    counts: Arc<Counts>,
}

impl Desk {
    fn run(mut self, stop: &Receiver<Instant>) -> bool {
        let deadline = self.serve(stop);
        self.inbox.close(deadline)
    }

    /// Returns when it is asked to stop, or can't go on: those who wait are told by the end of their channels.
    fn serve(&mut self, stop: &Receiver<Instant>) -> Instant {
        let nothing = never();
        loop {
            let now = Instant::now();
            self.look_after_calls(now);
            let fates = self.outbox.send(now);
            self.tell_all(fates);
            let called = if self.open.len() < self.options.calls.max(1) { &self.called } else { &nothing };
            let alarm = self.alarms.first().map(|(alarm, _)| *alarm);
            let alarm = alarm.into_iter().chain(self.outbox.next()).min().map_or_else(never, at);
            select! {
                recv(stop) -> deadline => return deadline.unwrap_or_else(|_| Instant::now()),
                recv(called) -> call => match call {
                    Ok((call, answer)) => self.begin(call, answer),
                    Err(_) => return Instant::now(),
                },
                recv(self.inbox.consumer.deliveries()) -> delivery => match delivery {
                    Ok(delivery) => self.reply(delivery),
                    Err(_) => return Instant::now(),
                },
                recv(self.outbox.settled()) -> settled => match settled {
                    Ok(settled) => self.settle(settled),
                    Err(_) => return Instant::now(),
                },
                recv(alarm) -> _ => {}
            }
        }
    }

    fn begin(&mut self, call: Call, answer: Sender<Answer>) {
        let number = self.next;
        self.next += 1;
        let alarm = Instant::now();
        self.alarms.insert((alarm, number));
        self.open.insert(number, Open { call, answer, tries: 0, pause: self.options.retry.max(SHORTEST_PAUSE), alarm });
    }

    /// Sends requests whose time has come, for the first time or again, and ends calls whose time is over.
    fn look_after_calls(&mut self, now: Instant) {
        while let Some((_, number)) = self.alarms.first().copied().filter(|(alarm, _)| *alarm <= now) {
            self.alarms.pop_first();
            let unsent = self.outbox.take_back(|key| *key == number);
            let low = self.open.keys().next().copied().unwrap_or(number);
            let Some(open) = self.open.get_mut(&number) else { continue };
            if unsent {
                // That try had not begun.
                open.tries -= 1;
            }
            if open.call.deadline <= now {
                let error = if open.tries == 0 { CallError::Busy } else { CallError::Timeout };
                self.finish(number, Err(error));
                continue;
            }
            if open.tries > 0 {
                self.counts.retries.fetch_add(1, Ordering::Relaxed);
            }
            open.tries += 1;
            open.alarm = match self.options.semantics {
                Semantics::Maybe => open.call.deadline,
                _ => open.call.deadline.min(later(now, open.pause)),
            };
            let longest = self.options.retry.max(SHORTEST_PAUSE).saturating_mul(LONGEST_PAUSE);
            open.pause = open.pause.saturating_mul(2).min(longest);
            self.alarms.insert((open.alarm, number));
            let request = Request {
                id: CallId { caller: self.id.clone(), number },
                low,
                semantics: self.options.semantics,
                reply_to: self.inbox.name().clone(),
                object: open.call.object.clone(),
                hops: 0,
            };
            let message = request.message(open.call.body.clone());
            self.outbox.push(Parcel { key: number, to: open.call.to.clone(), message, until: open.call.deadline });
        }
    }

    fn finish(&mut self, number: u64, answer: Answer) -> bool {
        let Some(open) = self.open.remove(&number) else { return false };
        self.alarms.remove(&(open.alarm, number));
        // One that has stopped waiting needs no answer.
        let _ = open.answer.try_send(answer);
        true
    }

    fn reply(&mut self, delivery: Delivery) {
        let claimed = match Reply::of(&delivery.message) {
            Some((number, status)) => self.finish(number, Ok((status, delivery.message.body))),
            None => false,
        };
        if !claimed {
            self.counts.unclaimed.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(error) = self.inbox.consumer.ack(delivery.tag) {
            // It comes again, and nobody waits for it then.
            log::debug!("a reply was not acked: {error}");
        }
    }

    fn settle(&mut self, settled: Settled) {
        let fates = self.outbox.settle(settled, Instant::now());
        self.tell_all(fates);
    }

    /// Ends calls of which nobody has got the first request. What becomes of later ones says nothing
    /// about the first.
    fn tell_all(&mut self, fates: Vec<(u64, Fate)>) {
        for (number, fate) in fates {
            let error = match fate {
                Fate::Unroutable => CallError::Unroutable,
                Fate::Refused(refusal) => CallError::Refused(refusal),
                Fate::Unsent(error) => CallError::Publish(error),
                // The alarm of the call comes in any case.
                Fate::Delivered | Fate::Unknown | Fate::Expired => continue,
            };
            if self.open.get(&number).is_some_and(|open| open.tries == 1) {
                self.finish(number, Err(error));
            }
        }
    }
}
