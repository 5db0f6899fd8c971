//! The thread of a host: executes calls, and passes on what comes too late. How objects move is in `moves`.
//!
//! An object is executed here only while its place is `Here`. It gets there by an insertion, or by an
//! offer (`Take`) of a later version than any that was here; it leaves that place before it is offered,
//! and comes back only if nobody can have got the offer. So of all hosts at most one executes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, at, never, select};

use crate::broker::Broker;
use crate::consumer::{ConsumerEnd, Delivery};
use crate::deadline::after;
use crate::message::Message;
use crate::name::Name;
use crate::producer::Producer;
use crate::route::Route;
use crate::rpc::inbox::Inbox;
use crate::rpc::outbox::{Outbox, Parcel};
use crate::rpc::table::{Admission, Table};
use crate::rpc::task::note_end;
use crate::rpc::wire::{Reply, Request, Status};
use crate::rpc::work::work;

use super::host::HostOptions;
use super::place::{Place, Resident, Waiter};
use super::transfer::{News, Notice};
use super::{InsertError, MoveError, Object};

/// Most messages on their way to the broker before no more calls are taken.
const MOST_ON_THEIR_WAY: usize = 256;

/// What the owner of a host wants.
pub(super) enum Order<T> {
    Insert { id: String, object: T, answer: Sender<Result<(), InsertError>> },
    Move { id: String, to: Name, waiter: Waiter },
}

/// What a message is, when its fate is told.
pub(super) enum Sent {
    /// The client or the other host asks again if it does not arrive.
    Message,
    /// An object of this version.
    Object(String, u64),
}

pub(super) struct Keeper<T> {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) space: Name,
    pub(super) inbox: Inbox,
    pub(super) options: HostOptions,
    pub(super) outbox: Outbox<Sent>,
    orders: Receiver<Order<T>>,
    pub(super) places: HashMap<String, Place<T>>,
    pub(super) leaving: BTreeSet<String>,
    /// Objects that are away, by their departures, the earliest first.
    pub(super) gone: BTreeMap<u64, String>,
    pub(super) departures: u64,
    /// Why it gets nothing more.
    pub(super) end: Arc<OnceLock<ConsumerEnd>>,
}

impl<T: Object> Keeper<T> {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        space: &Name,
        inbox: Inbox,
        options: HostOptions,
        producer: Box<dyn Producer>,
        orders: Receiver<Order<T>>,
    ) -> Self {
        Self {
            broker,
            space: space.clone(),
            inbox,
            options,
            outbox: Outbox::new(producer),
            orders,
            places: HashMap::new(),
            leaving: BTreeSet::new(),
            gone: BTreeMap::new(),
            departures: 0,
            end: Arc::default(),
        }
    }

    /// False if something was left on its way.
    pub(super) fn run(mut self, stop: &Receiver<Instant>) -> bool {
        let deadline = self.serve(stop);
        let done = self.outbox.len() == 0;
        let closed = self.inbox.close(deadline);
        done && closed
    }

    fn serve(&mut self, stop: &Receiver<Instant>) -> Instant {
        let mut until = None;
        let (nobody, nothing, no_orders) = (never(), never(), never());
        loop {
            let now = Instant::now();
            let alarm = self.offer_again(now);
            let fates = self.outbox.send(now);
            self.tell_all(fates);
            match until {
                Some(deadline) if self.outbox.len() == 0 || now >= deadline => return deadline,
                _ => {}
            }
            let (stop, orders) = if until.is_some() { (&nobody, &no_orders) } else { (stop, &self.orders) };
            let free = until.is_none() && self.outbox.len() < MOST_ON_THEIR_WAY;
            let deliveries = if free { self.inbox.consumer.deliveries() } else { &nothing };
            let alarms = until.into_iter().chain(alarm).chain(self.outbox.next());
            let alarm = alarms.min().map_or_else(never, at);
            select! {
                recv(stop) -> deadline => until = Some(deadline.unwrap_or_else(|_| Instant::now())),
                recv(orders) -> order => match order {
                    Ok(order) => self.obey(order),
                    Err(_) => until = Some(now),
                },
                recv(deliveries) -> delivery => match delivery {
                    Ok(delivery) => self.take(delivery),
                    Err(_) => {
                        note_end(&self.end, self.inbox.consumer.as_ref(), self.inbox.name());
                        return now;
                    }
                },
                recv(self.outbox.settled()) -> settled => if let Ok(settled) = settled {
                    let fates = self.outbox.settle(settled, Instant::now());
                    self.tell_all(fates);
                },
                recv(alarm) -> _ => {}
            }
        }
    }

    fn obey(&mut self, order: Order<T>) {
        match order {
            Order::Insert { id, object, answer } => {
                let version = match self.places.get(&id) {
                    None => 0,
                    Some(Place::Gone(gone)) => gone.version + 1,
                    Some(_) => return drop(answer.try_send(Err(InsertError::Exists))),
                };
                let calls = Table::new(self.options.limits);
                self.put(&id, Place::Here(Resident { object, calls, version }));
                let _ = answer.try_send(Ok(()));
            }
            Order::Move { id, to, waiter } => self.start_move(id, to, waiter),
        }
    }

    fn take(&mut self, delivery: Delivery) {
        // What is lost with this host is asked for again, so nothing is kept for its sake.
        if let Err(error) = self.inbox.consumer.ack(delivery.tag) {
            log::debug!("a message to a host comes again: {error}");
        }
        if let Some(notice) = Notice::of(&delivery.message) {
            self.hear(notice, &delivery.message.body);
        } else if let Some(request) = Request::of(&delivery.message) {
            self.call(request, &delivery.message.body);
        } else {
            log::debug!("a message to a host is neither a call nor of another host");
        }
    }

    fn hear(&mut self, notice: Notice, body: &Bytes) {
        if notice.news == News::Take {
            if let Some(news) = self.arrive(&notice, body) {
                let answer = Notice { news, host: self.inbox.name().clone(), ..notice.clone() };
                self.send(Route::queue(&notice.host), answer.message(Bytes::new()));
            }
            return;
        }
        let asked = match self.places.get(&notice.object) {
            Some(Place::Leaving(leaving)) => leaving.resident.version + 1 == notice.version,
            _ => false,
        };
        match notice.news {
            News::Taken if asked => self.gone(&notice.object, notice.version, notice.host),
            News::Refused if asked => self.stay(&notice.object, MoveError::Undecodable),
            _ => {}
        }
    }

    pub(super) fn call(&mut self, mut request: Request, body: &Bytes) {
        let Some(id) = request.object.as_ref() else {
            return self.reply(&request, Reply::empty(Status::Unsupported));
        };
        let reply = match self.places.get_mut(id) {
            None => Some(Reply::empty(Status::UnknownObject)),
            Some(Place::Here(resident)) => execute(resident, &request, body),
            Some(Place::Leaving(leaving)) if leaving.parked.len() < self.options.parked => {
                leaving.parked.push_back((request, body.clone()));
                return;
            }
            Some(Place::Gone(gone)) if request.hops < self.options.hops => {
                let to = Route::queue(&gone.to);
                request.hops += 1;
                let message = request.message(body.clone());
                return self.send(to, message);
            }
            // The client sends it again.
            Some(Place::Leaving(_) | Place::Gone(_) | Place::Arriving(_)) => None,
        };
        if let Some(reply) = reply {
            self.reply(&request, reply);
        }
    }

    fn reply(&mut self, request: &Request, reply: Reply) {
        let address = request.return_address();
        let message = reply.message(&address);
        self.send(address.to, message);
    }

    fn send(&mut self, to: Route, message: Message) {
        let until = after(self.options.patience);
        self.outbox.push(Parcel { key: Sent::Message, to, message, until });
    }
}

/// Executes a call unless that was done before; none if nobody waits for a reply.
fn execute<T: Object>(resident: &mut Resident<T>, request: &Request, body: &[u8]) -> Option<Reply> {
    match resident.calls.admit(&request.id, request.low) {
        Admission::Execute => {
            let reply = work(body, |asked| resident.object.call(asked));
            resident.calls.keep(&request.id, &reply);
            Some(reply)
        }
        Admission::Repeat(reply) => Some(reply),
        Admission::Forgotten => Some(Reply::empty(Status::Forgotten)),
        Admission::Ignore => None,
    }
}
