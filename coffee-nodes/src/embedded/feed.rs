//! What goes in: the chunks of each source, as frames, in turn.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use coffee_core::{
    frame::{ChunkMeta, JobHead},
    node::{PublishId, Tag},
    plan::{SourceInfo, Target},
};

use crate::{
    chunk::{chunk_frame, end_frame, reclaim},
    feed::{Chunks, Position},
    runner::{Incoming, Sender, Transport, TransportError},
};

/// Unconfirmed publishes of a feeder; beyond, it waits before it reads on.
const WINDOW: usize = 64;

/// A source and its chunks.
pub(crate) type SourceFeed<'a> = (SourceInfo, Box<dyn Chunks + 'a>);

/// All sources of a job, shared by the feeder threads: each takes the next chunk when it is ready for one.
pub(crate) struct Feeds<'a> {
    head: &'a JobHead,
    queue: Mutex<VecDeque<Feed<'a>>>,
    read: &'a AtomicU64,
    done: AtomicU64,
}

struct Feed<'a> {
    source: SourceInfo,
    chunks: Box<dyn Chunks + 'a>,
    seq: u64,
    bytes: u64,
}

impl<'a> Feeds<'a> {
    /// The sources in the order that they are to be read; the bytes read are kept in `read`.
    pub fn new(head: &'a JobHead, feeds: Vec<SourceFeed<'a>>, read: &'a AtomicU64) -> Self {
        let queue = feeds.into_iter().map(|(source, chunks)| Feed { source, chunks, seq: 0, bytes: 0 }).collect();
        Feeds { head, queue: Mutex::new(queue), read, done: AtomicU64::new(0) }
    }

    /// The next chunk as a frame, in `buffer`; the frame with a source's end behind its last chunk; `None` at the end.
    fn next(&self, mut buffer: Vec<u8>) -> Result<Option<Vec<u8>>, TransportError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(feed) = queue.front_mut() else { return Ok(None) };
        buffer.clear();
        if let Some((frame, read)) = feed.chunk(self.head, buffer)? {
            self.read.store(self.done.load(Ordering::Relaxed) + read, Ordering::Relaxed);
            return Ok(Some(frame));
        }
        let frame = end_frame(self.head, &feed.source, feed.seq)?;
        self.done.fetch_add(feed.bytes, Ordering::Relaxed);
        queue.pop_front();
        Ok(Some(frame))
    }
}

impl Feed<'_> {
    fn chunk(&mut self, head: &JobHead, buffer: Vec<u8>) -> Result<Option<(Vec<u8>, u64)>, TransportError> {
        let Feed { source, chunks, seq, bytes } = self;
        let made = chunk_frame(head, source, *seq, buffer, |payload| -> Result<_, TransportError> {
            let Some(Position { at, header, bytes, .. }) = chunks.fill(payload)? else { return Ok(None) };
            ChunkMeta { file: at.file, first_line: at.line, header: &header }.append(payload)?;
            Ok(Some(bytes))
        })?;
        if let Some((_, read)) = &made {
            *seq += 1;
            *bytes = *read;
        }
        Ok(made)
    }
}

/// A feeder's transport: takes chunks instead of consuming a queue.
pub(crate) struct FeedTransport<'f, 'a> {
    feeds: &'f Feeds<'a>,
    sender: Sender,
    last: Bytes,
    next: u64,
    at_end: bool,
    flushed: bool,
}

impl<'f, 'a> FeedTransport<'f, 'a> {
    pub fn new(feeds: &'f Feeds<'a>, sender: Sender) -> Self {
        FeedTransport { feeds, sender, last: Bytes::new(), next: 0, at_end: false, flushed: false }
    }
}

impl Transport for FeedTransport<'_, '_> {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        if self.sender.is_stopped() {
            return Ok(Incoming::End);
        }
        if let Some(id) = self.sender.confirmed()? {
            return Ok(Incoming::Confirmed(id));
        }
        if !self.at_end && self.sender.unconfirmed() < WINDOW {
            let buffer = reclaim(std::mem::take(&mut self.last)).unwrap_or_default();
            if let Some(frame) = self.feeds.next(buffer)? {
                self.last = Bytes::from(frame);
                self.next += 1;
                return Ok(Incoming::Delivery(Tag(self.next), self.last.clone()));
            }
            self.at_end = true;
        }
        if self.at_end {
            // Once told that nothing is ready the node sends what it holds back; then its confirmations are awaited.
            if !std::mem::replace(&mut self.flushed, true) {
                return Ok(Incoming::Nothing);
            }
            if self.sender.unconfirmed() == 0 {
                return Ok(Incoming::End);
            }
        }
        Ok(if self.sender.wait(wait)? { Incoming::Nothing } else { Incoming::End })
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.sender.publish(id, to, body)
    }

    fn ack(&mut self, _tag: Tag) -> Result<(), TransportError> {
        Ok(()) // a chunk that is not needed any more needs no answer
    }
}
