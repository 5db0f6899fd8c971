//! The way out of the last nodes: what is for the client goes into the results store.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use coffee_core::{
    node::{PublishId, Tag},
    plan::Target,
};
use crossbeam_channel::Sender;

use super::{News, ResultsStore};
use crate::{
    job::now_ms,
    runner::{Incoming, Transport, TransportError},
};

/// Frames for the client are put when they have this many bytes, or before anything else is waited for.
const GROUP_BYTES: usize = 8 << 20;

/// A transport that puts the frames for the client into a store, and confirms them when they are kept there. All else is
/// passed through; a job's end drops its results first, where they are not complete.
pub struct ResultsTransport<T> {
    inner: T,
    store: Arc<ResultsStore>,
    news: Sender<News>,
    /// Published, and not put.
    held: Vec<Bytes>,
    held_ids: Vec<PublishId>,
    bytes: usize,
    confirmed: VecDeque<PublishId>,
}

impl<T: Transport> ResultsTransport<T> {
    /// Around `inner`. What becomes true of jobs goes to `news`, as far as there is room: the store knows it too.
    pub fn new(inner: T, store: Arc<ResultsStore>, news: Sender<News>) -> Self {
        ResultsTransport {
            inner,
            store,
            news,
            held: Vec::new(),
            held_ids: Vec::new(),
            bytes: 0,
            confirmed: VecDeque::new(),
        }
    }

    fn put(&mut self) -> Result<(), TransportError> {
        for news in self.store.put(&self.held, now_ms())? {
            if self.news.try_send(news).is_err() {
                log::debug!("{news:?} is not told at once");
            }
        }
        self.held.clear();
        self.bytes = 0;
        self.confirmed.extend(self.held_ids.drain(..));
        Ok(())
    }
}

impl<T: Transport> Transport for ResultsTransport<T> {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        if let Some(id) = self.confirmed.pop_front() {
            return Ok(Incoming::Confirmed(id));
        }
        if !self.held.is_empty() {
            self.put()?;
            return Ok(self.confirmed.pop_front().map_or(Incoming::Nothing, Incoming::Confirmed));
        }
        let incoming = self.inner.next(wait)?;
        if let Incoming::Ended(job) = incoming {
            self.store.discard_incomplete(job)?;
        }
        Ok(incoming)
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        if to != Target::Client {
            return self.inner.publish(id, to, body);
        }
        self.bytes += body.len();
        self.held.push(body);
        self.held_ids.push(id);
        if self.bytes < GROUP_BYTES { Ok(()) } else { self.put() }
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        self.inner.ack(tag)
    }
}
