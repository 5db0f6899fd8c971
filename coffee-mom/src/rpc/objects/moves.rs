//! How a host sends objects away and takes them in. Part of the keeper's thread.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::broker::BindError;
use crate::deadline::{after, later};
use crate::message::PropertyError;
use crate::name::{Name, RoutingKey};
use crate::route::Route;
use crate::rpc::outbox::{Fate, Parcel};
use crate::rpc::task::SHORTEST_PAUSE;
use crate::topology::Binding;

use super::keeper::{Keeper, Sent};
use super::place::{Gone, Leaving, Place, Resident, Waiter};
use super::transfer::{News, Notice};
use super::{MoveError, Object};

impl<T: Object> Keeper<T> {
    pub(super) fn start_move(&mut self, id: String, to: Name, waiter: Waiter) {
        let answer = match self.places.get_mut(&id) {
            Some(Place::Leaving(leaving)) if leaving.to == to => return leaving.waiters.push(waiter),
            Some(Place::Leaving(_)) => Err(MoveError::Moving),
            Some(Place::Here(_)) if to == *self.inbox.name() => Ok(()),
            Some(Place::Gone(gone)) if gone.to == to => Ok(()),
            Some(Place::Here(resident)) => match resident.pack() {
                Ok(luggage) => return self.leave(id, to, luggage, waiter),
                Err(error) => Err(error.into()),
            },
            _ => Err(MoveError::UnknownObject),
        };
        // One that has stopped waiting needs no answer.
        let _ = waiter.1.try_send(answer);
    }

    fn leave(&mut self, id: String, to: Name, luggage: Bytes, waiter: Waiter) {
        match self.places.remove(&id) {
            Some(Place::Here(resident)) => {
                self.leaving.insert(id.clone());
                let leaving = Leaving {
                    resident,
                    to,
                    luggage,
                    tries: 0,
                    bounced: 0,
                    again: Instant::now(),
                    waiters: vec![waiter],
                    parked: VecDeque::new(),
                };
                self.places.insert(id, Place::Leaving(leaving));
            }
            other => self.places.extend(other.map(|place| (id, place))),
        }
    }

    /// Offers objects whose time has come, and tells those who have waited long enough. Returns when to
    /// look again.
    pub(super) fn offer_again(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for id in &self.leaving {
            let Some(Place::Leaving(leaving)) = self.places.get_mut(id) else { continue };
            leaving.waiters.retain(|(deadline, answer)| {
                let waits = *deadline > now;
                if !waits {
                    let _ = answer.try_send(Err(MoveError::InDoubt));
                }
                waits
            });
            if leaving.again <= now {
                leaving.again = later(now, self.options.retry.max(SHORTEST_PAUSE));
                leaving.tries += 1;
                let version = leaving.resident.version + 1;
                let notice = Notice { news: News::Take, object: id.clone(), version, host: self.inbox.name().clone() };
                self.outbox.push(Parcel {
                    key: Sent::Object(id.clone(), version),
                    to: Route::queue(&leaving.to),
                    message: notice.message(leaving.luggage.clone()),
                    until: leaving.again,
                });
            }
            let alarms = leaving.waiters.iter().map(|(deadline, _)| *deadline).chain([leaving.again]);
            next = next.into_iter().chain(alarms).min();
        }
        next
    }

    pub(super) fn tell_all(&mut self, fates: Vec<(Sent, Fate)>) {
        for (sent, fate) in fates {
            let Sent::Object(id, version) = sent else { continue };
            let Some(Place::Leaving(leaving)) = self.places.get_mut(&id) else { continue };
            if leaving.resident.version + 1 != version {
                continue;
            }
            let error = match fate {
                Fate::Unroutable => MoveError::Unroutable,
                Fate::Refused(refusal) => MoveError::Refused(refusal),
                Fate::Unsent(error) => MoveError::Publish(error),
                Fate::Delivered | Fate::Unknown => continue,
                Fate::Expired => {
                    leaving.tries = leaving.tries.saturating_sub(1);
                    continue;
                }
            };
            leaving.bounced += 1;
            if leaving.bounced == leaving.tries {
                self.stay(&id, error);
            }
        }
    }

    /// The object does not move: nobody else has it.
    pub(super) fn stay(&mut self, id: &str, error: MoveError) {
        if let Some(Leaving { mut resident, waiters, parked, .. }) = self.end_leaving(id) {
            // So that a late word about this move is not taken for one about the next.
            resident.version += 1;
            self.places.insert(id.to_owned(), Place::Here(resident));
            waiters.into_iter().for_each(|(_, answer)| drop(answer.try_send(Err(error.clone()))));
            parked.into_iter().for_each(|(request, body)| self.call(request, &body));
        }
    }

    /// The object has moved, and calls are led to its new place already.
    pub(super) fn gone(&mut self, id: &str, version: u64, to: Name) {
        let Some(Leaving { waiters, parked, .. }) = self.end_leaving(id) else { return };
        let departure = self.departures;
        self.departures += 1;
        self.put(id, Place::Gone(Gone { to, version, departure }));
        self.gone.insert(departure, id.to_owned());
        waiters.into_iter().for_each(|(_, answer)| drop(answer.try_send(Ok(()))));
        parked.into_iter().for_each(|(request, body)| self.call(request, &body));
        if let Err(error) = self.rebind(id, false) {
            log::debug!("calls to an object that has moved still come here, and are passed on: {error}");
        }
        if self.gone.len() > self.options.traces
            && let Some((_, oldest)) = self.gone.pop_first()
        {
            self.places.remove(&oldest);
        }
    }

    /// Says where an object is. One that is back is not away any more.
    pub(super) fn put(&mut self, id: &str, place: Place<T>) {
        if let Some(Place::Gone(Gone { departure, .. })) = self.places.insert(id.to_owned(), place) {
            self.gone.remove(&departure);
        }
    }

    fn end_leaving(&mut self, id: &str) -> Option<Leaving<T>> {
        match self.places.remove(id)? {
            Place::Leaving(leaving) => {
                self.leaving.remove(id);
                Some(leaving)
            }
            other => {
                self.places.insert(id.to_owned(), other);
                None
            }
        }
    }

    fn rebind(&self, id: &str, to_here: bool) -> Result<(), BindError> {
        let binding = Binding::Key(RoutingKey::new(id).map_err(PropertyError::from)?);
        let deadline = after(self.options.patience);
        if to_here {
            self.broker.bind(self.inbox.name(), &self.space, &binding, deadline)
        } else {
            self.broker.unbind(self.inbox.name(), &self.space, &binding, deadline)
        }
    }

    /// Takes an object in, and says what to answer; nothing if it shall be offered again.
    pub(super) fn arrive(&mut self, notice: &Notice, body: &[u8]) -> Option<News> {
        let id = &notice.object;
        let known = self.places.get(id).and_then(Place::version);
        if known.is_some_and(|version| version >= notice.version) {
            return Some(News::Taken);
        }
        let Ok(resident) = Resident::unpack(body, notice.version, &self.options) else {
            return Some(News::Refused);
        };
        // A later version has come back, so the earlier one was taken there.
        let left = self.end_leaving(id);
        let (waiters, parked) = left.map_or_else(Default::default, |left| (left.waiters, left.parked));
        waiters.into_iter().for_each(|(_, answer)| drop(answer.try_send(Ok(()))));
        if let Err(error) = self.rebind(id, true) {
            log::debug!("an object waits for its calls to be led here: {error}");
            self.put(id, Place::Arriving(known));
            return None;
        }
        self.put(id, Place::Here(resident));
        parked.into_iter().for_each(|(request, body)| self.call(request, &body));
        Some(News::Taken)
    }
}
