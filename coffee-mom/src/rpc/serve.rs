//! The thread of a server that talks to the broker: takes requests, passes them to the workers, and
//! sends their replies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, at, never, select};

use crate::consumer::{Consumer, ConsumerEnd, Delivery, DeliveryTag};
use crate::deadline::{after, later};
use crate::name::Name;
use crate::producer::{Producer, PublishError, Refusal};

use super::Semantics;
use super::outbox::{Fate, Outbox, Parcel};
use super::server::ServerOptions;
use super::table::{Admission, Table};
use super::task::note_end;
use super::wire::{CallId, Reply, Request, ReturnAddress, Status};

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) executed: AtomicU64,
    pub(super) repetitions: AtomicU64,
    pub(super) foreign: AtomicU64,
    pub(super) unclaimed: AtomicU64,
    /// Why it gets nothing more.
    pub(super) end: OnceLock<ConsumerEnd>,
}

/// What is left to do about a call when it is executed.
pub(super) struct Ticket {
    address: ReturnAddress,
    /// By what to know its repetitions.
    keep: Option<CallId>,
    /// What to ack when the reply is with the broker.
    ack: Option<DeliveryTag>,
}

/// A call for a worker.
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) body: Bytes,
}

/// A call that a worker has executed.
pub(super) struct Finished {
    pub(super) ticket: Ticket,
    pub(super) reply: Reply,
}

pub(super) struct Service {
    queue: Name,
    consumer: Box<dyn Consumer>,
    outbox: Outbox<Ticket>,
    shared: bool,
    patience: Duration,
    table: Table,
    jobs: Sender<Job>,
    /// The other end of `jobs`, to take back what no worker has begun.
    to_do: Receiver<Job>,
    results: Receiver<Finished>,
    /// Calls that are neither replied to nor dropped.
    in_hand: usize,
    most_in_hand: usize,
    record: Arc<Record>,
}

impl Service {
    pub(super) fn new(
        queue: &Name,
        consumer: Box<dyn Consumer>,
        producer: Box<dyn Producer>,
        options: &ServerOptions,
        (jobs, to_do): (Sender<Job>, Receiver<Job>),
        results: Receiver<Finished>,
        record: Arc<Record>,
    ) -> Self {
        Self {
            queue: queue.clone(),
            consumer,
            outbox: Outbox::new(producer),
            shared: options.shared,
            patience: options.patience,
            table: Table::new(options.limits),
            jobs,
            to_do,
            results,
            in_hand: 0,
            most_in_hand: usize::from(options.in_hand.get()),
            record,
        }
    }

    /// False if calls were left in hand.
    pub(super) fn run(mut self, stop: &Receiver<Instant>) -> bool {
        let deadline = self.serve(stop);
        let done = self.in_hand == 0;
        // Workers shall not begin what nobody will reply to.
        self.to_do.try_iter().for_each(drop);
        done && self.consumer.close(deadline).is_ok()
    }

    /// Returns when it is asked to stop and has nothing more in hand, or the time for that is over.
    fn serve(&mut self, stop: &Receiver<Instant>) -> Instant {
        let mut until = None;
        let (nobody, nothing) = (never(), never());
        loop {
            let now = Instant::now();
            let fates = self.outbox.send(now);
            self.tell_all(fates);
            match until {
                Some(deadline) if self.in_hand == 0 || now >= deadline => return deadline,
                _ => {}
            }
            let stop = if until.is_some() { &nobody } else { stop };
            let free = until.is_none() && self.in_hand < self.most_in_hand;
            let deliveries = if free { self.consumer.deliveries() } else { &nothing };
            let alarm = until.into_iter().chain(self.outbox.next()).min().map_or_else(never, at);
            select! {
                recv(stop) -> deadline => until = Some(deadline.unwrap_or_else(|_| Instant::now())),
                recv(deliveries) -> delivery => match delivery {
                    Ok(delivery) => self.take(&delivery),
                    // What is in hand can still be finished.
                    Err(_) => {
                        note_end(&self.record.end, self.consumer.as_ref(), &self.queue);
                        until = Some(later(now, self.patience));
                    }
                },
                recv(self.results) -> finished => if let Ok(Finished { ticket, reply }) = finished {
                    self.record.executed.fetch_add(1, Ordering::Relaxed);
                    self.reply(ticket, reply);
                },
                recv(self.outbox.settled()) -> settled => if let Ok(settled) = settled {
                    let fates = self.outbox.settle(settled, Instant::now());
                    self.tell_all(fates);
                },
                recv(alarm) -> _ => {}
            }
        }
    }

    fn take(&mut self, delivery: &Delivery) {
        let Some(request) = Request::of(&delivery.message) else {
            self.record.foreign.fetch_add(1, Ordering::Relaxed);
            self.ack(delivery.tag);
            return;
        };
        let mut ticket = Ticket { address: request.return_address(), keep: None, ack: None };
        if request.semantics == Semantics::AtLeastOnce {
            ticket.ack = Some(delivery.tag);
        } else {
            // Before it is executed: so the broker does not give it to a successor.
            self.ack(delivery.tag);
        }
        if request.semantics == Semantics::AtMostOnce {
            if self.shared {
                return self.start_reply(ticket, Reply::empty(Status::Unsupported));
            }
            let admission = self.table.admit(&request.id, request.low);
            if admission != Admission::Execute {
                self.record.repetitions.fetch_add(1, Ordering::Relaxed);
            }
            match admission {
                Admission::Execute => ticket.keep = Some(request.id),
                Admission::Repeat(reply) => return self.start_reply(ticket, reply),
                Admission::Forgotten => return self.start_reply(ticket, Reply::empty(Status::Forgotten)),
                Admission::Ignore => return,
            }
        }
        self.in_hand += 1;
        let sent = self.jobs.try_send(Job { ticket, body: delivery.message.body.clone() });
        debug_assert!(sent.is_ok(), "there is room for all calls in hand");
    }

    fn start_reply(&mut self, ticket: Ticket, reply: Reply) {
        self.in_hand += 1;
        self.reply(ticket, reply);
    }

    fn reply(&mut self, mut ticket: Ticket, reply: Reply) {
        if let Some(id) = ticket.keep.take() {
            self.table.keep(&id, &reply);
        }
        let (to, message) = (ticket.address.to.clone(), reply.message(&ticket.address));
        self.outbox.push(Parcel { key: ticket, to, message, until: after(self.patience) });
    }

    fn tell_all(&mut self, fates: Vec<(Ticket, Fate)>) {
        for (ticket, fate) in fates {
            match fate {
                // Of the reply only that is sent; it is as small as can be.
                Fate::Unsent(PublishError::TooLarge { .. }) | Fate::Refused(Refusal::TooLarge) => {
                    self.reply(ticket, Reply::empty(Status::Unsendable));
                    continue;
                }
                Fate::Delivered => {}
                _ => drop(self.record.unclaimed.fetch_add(1, Ordering::Relaxed)),
            }
            self.in_hand -= 1;
            if let Some(tag) = ticket.ack {
                self.ack(tag);
            }
        }
    }

    fn ack(&mut self, tag: DeliveryTag) {
        if let Err(error) = self.consumer.ack(tag) {
            log::debug!("a request comes again: {error}");
        }
    }
}
