//! A transport that takes clients' chunks instead of consuming a queue.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use bytes::Bytes;
use coffee_core::{
    node::{PublishId, Tag},
    plan::Target,
};
use crossbeam_channel::Select;

use super::EntryThread;
use crate::{
    Pulse,
    chunk::reclaim,
    gateway::{refused::Refused, session::Ticket},
    job::ErrorReport,
    runner::{Incoming, Sender, Transport, TransportError},
};

/// Unconfirmed publishes of a thread; beyond, it takes no chunks.
const WINDOW: usize = 32;

/// The transport of one life of an entry thread.
pub(super) struct Chunks<'a> {
    thread: &'a EntryThread,
    sender: Sender,
    /// What is in hand.
    tickets: HashMap<Tag, Ticket>,
    next: u64,
    /// The last frame that was taken: its memory is used again.
    last: Bytes,
}

impl<'a> Chunks<'a> {
    pub fn new(thread: &'a EntryThread, pulse: Pulse) -> Result<Self, TransportError> {
        let entry = &thread.entry;
        let sender = Sender::new(&*entry.broker, entry.links.clone(), entry.stop.clone())?.pulse(pulse);
        Ok(Chunks { thread, sender, tickets: HashMap::new(), next: 0, last: Bytes::new() })
    }

    /// Gives up what is in hand. With a report the job of the chunk that was taken last can't go on at all; its client is sent
    /// away all the same, before that is known.
    pub fn break_off(&mut self, blame_last: Option<&ErrorReport>) {
        let last = Tag(self.next);
        for (tag, ticket) in self.tickets.drain() {
            let session = ticket.session();
            session.break_off(Refused::unavailable("the gateway lost what it had in hand: go on from the marks"));
            if let Some(report) = blame_last.filter(|_| tag == last) {
                session.fail(ErrorReport { job: Some(session.job()), ..report.clone() });
            }
        }
        self.thread.entry.registry.wake();
    }

    /// The next chunk that is ready and needed.
    fn take(&mut self) -> Option<Incoming> {
        while self.has_room() {
            let chunk = self.thread.chunks.try_recv().ok()?;
            self.recycle(chunk.body.clone());
            if chunk.ticket.session().is_dead() {
                continue;
            }
            self.next += 1;
            self.tickets.insert(Tag(self.next), chunk.ticket);
            return Some(Incoming::Delivery(Tag(self.next), chunk.body));
        }
        None
    }

    fn has_room(&self) -> bool {
        self.sender.unconfirmed() < WINDOW
    }

    /// Lets the memory of the last frame be used again, where its node has let go of it.
    fn recycle(&mut self, taken: Bytes) {
        if let Some(buffer) = reclaim(std::mem::replace(&mut self.last, taken)) {
            let _ = self.thread.spare.try_send(buffer); // where there is enough, it is freed
        }
    }

    /// Waits until something may have come.
    fn wait(&self, wait: Duration) {
        let entry = &self.thread.entry;
        let mut select = Select::new();
        select.recv(self.sender.settlements());
        select.recv(entry.stop.receiver());
        if self.has_room() {
            select.recv(&self.thread.chunks);
        }
        if !entry.drain.is_triggered() {
            select.recv(entry.drain.receiver());
        }
        // Which of them it is shows when it is looked for.
        let _ = select.ready_timeout(self.sender.patience(wait));
    }

    fn ready(&mut self) -> Result<Option<Incoming>, TransportError> {
        if let Some(id) = self.sender.confirmed()? {
            return Ok(Some(Incoming::Confirmed(id)));
        }
        if let Some(job) = self.thread.ended.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
            return Ok(Some(Incoming::Ended(job)));
        }
        if let Some(chunk) = self.take() {
            return Ok(Some(chunk));
        }
        let entry = &self.thread.entry;
        let drained = entry.drain.is_triggered() && self.tickets.is_empty();
        Ok((drained || entry.stop.is_triggered()).then_some(Incoming::End))
    }
}

impl Transport for Chunks<'_> {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        if let Some(incoming) = self.ready()? {
            return Ok(incoming);
        }
        if !wait.is_zero() {
            self.wait(wait);
        }
        Ok(self.ready()?.unwrap_or(Incoming::Nothing))
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.sender.publish(id, to, body)
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        if let Some(ticket) = self.tickets.remove(&tag) {
            ticket.confirm();
        }
        Ok(())
    }
}
