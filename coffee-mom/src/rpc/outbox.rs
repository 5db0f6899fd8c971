//! Messages of a thread that must not wait: kept until the broker takes them, or their time is over.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::message::Message;
use crate::producer::{Outcome, Producer, PublishError, PublishId, Refusal, Settled};
use crate::route::Route;

/// The pause after back-pressure: doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(64);

/// A message to be sent, known to its sender by `key`.
#[derive(Debug)]
pub(super) struct Parcel<K> {
    pub(super) key: K,
    pub(super) to: Route,
    pub(super) message: Message,
    /// When it is of no use any more.
    pub(super) until: Instant,
}

/// A parcel, and whether the broker has nacked it: then some of its queues may have it.
struct Waiting<K> {
    parcel: Parcel<K>,
    nacked: bool,
}

/// What became of a parcel; told once for each.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The broker has it.
    Delivered,
    /// No queue was there for it.
    Unroutable,
    /// The broker will never take it.
    Refused(Refusal),
    /// The broker may have it.
    Unknown,
    /// It can't be sent.
    Unsent(PublishError),
    /// There was no room for it until its time was over.
    Expired,
}

pub(super) struct Outbox<K> {
    producer: Box<dyn Producer>,
    waiting: VecDeque<Waiting<K>>,
    flying: HashMap<u64, Parcel<K>>,
    /// After back-pressure: when to try again.
    again: Instant,
    pause: Duration,
}

impl<K> Outbox<K> {
    pub(super) fn new(producer: Box<dyn Producer>) -> Self {
        Self { producer, waiting: VecDeque::new(), flying: HashMap::new(), again: Instant::now(), pause: FIRST_PAUSE }
    }

    pub(super) fn push(&mut self, parcel: Parcel<K>) {
        self.waiting.push_back(Waiting { parcel, nacked: false });
    }

    /// Parcels that are on their way.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.flying.len()
    }

    /// Takes a parcel back that waits to be handed over. True if nobody can have got it.
    pub(super) fn take_back(&mut self, is_it: impl Fn(&K) -> bool) -> bool {
        let found = self.waiting.iter().position(|waiting| is_it(&waiting.parcel.key));
        found.and_then(|place| self.waiting.remove(place)).is_some_and(|waiting| !waiting.nacked)
    }

    /// Hands over what there is room for, without waiting. Parcels for a full queue let others pass.
    pub(super) fn send(&mut self, now: Instant) -> Vec<(K, Fate)> {
        let mut fates = Vec::new();
        if now < self.again {
            return fates;
        }
        let mut stuck = VecDeque::new();
        while let Some(Waiting { parcel, nacked }) = self.waiting.pop_front() {
            if parcel.until <= now {
                fates.push((parcel.key, Fate::Expired));
                continue;
            }
            match self.producer.publish(&parcel.to, parcel.message.clone(), now) {
                Ok(PublishId(id)) => drop(self.flying.insert(id, parcel)),
                Err(error) if error.is_back_pressure() => {
                    stuck.push_back(Waiting { parcel, nacked });
                    if !matches!(error, PublishError::QueueFull(_)) {
                        break;
                    }
                }
                Err(error) => fates.push((parcel.key, Fate::Unsent(error))),
            }
        }
        if stuck.is_empty() {
            self.pause = FIRST_PAUSE;
        } else {
            self.hold(now);
        }
        stuck.append(&mut self.waiting);
        self.waiting = stuck;
        fates
    }

    fn hold(&mut self, now: Instant) {
        self.again = now + self.pause;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// When [`send`](Self::send) has something to do; none if that is never.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.again)
    }

    /// The settlements to be passed to [`settle`](Self::settle).
    pub(super) fn settled(&self) -> &Receiver<Settled> {
        self.producer.settled()
    }

    /// What a nack says nobody has is sent again, in its time.
    pub(super) fn settle(&mut self, settled: Settled, now: Instant) -> Vec<(K, Fate)> {
        let mut fates = Vec::new();
        for id in settled.ids() {
            let Some(parcel) = self.flying.remove(&id) else { continue };
            let fate = match settled.outcome {
                Outcome::Confirmed => Fate::Delivered,
                Outcome::Returned => Fate::Unroutable,
                Outcome::Refused(refusal) => Fate::Refused(refusal),
                Outcome::Unknown => Fate::Unknown,
                Outcome::Nacked => {
                    self.waiting.push_back(Waiting { parcel, nacked: true });
                    self.hold(now);
                    continue;
                }
            };
            fates.push((parcel.key, fate));
        }
        fates
    }
}
