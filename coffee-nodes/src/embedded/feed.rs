//! What goes in: the chunks of each source, as frames, in turn.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use coffee_core::{
    codec,
    frame::{ChunkMeta, JobHead},
    node::{PublishId, Tag},
    operator::Row,
    plan::{SourceInfo, Target},
};

use crate::{
    chunk::{chunk_frame, end_frame, reclaim},
    input::{Chunker, InputError},
    runner::{Incoming, Sender, Transport, TransportError},
};

/// Unconfirmed publishes of a feeder; beyond, it waits before it reads on.
const WINDOW: usize = 64;

/// Encoded rows a chunk has.
const ROWS_CHUNK: usize = 1 << 20;

/// Where a chunk stands in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which file of the table.
    pub file: u32,
    /// The number of the chunk's first row or line.
    pub first_line: u64,
    /// The file's header line.
    pub header: Arc<[u8]>,
    /// How many bytes of the source are read so far.
    pub bytes: u64,
}

/// Yields a source's chunks in order.
pub trait ChunkFeed: Send {
    /// Appends the next chunk to `buffer`; `None` at the end.
    ///
    /// # Errors
    /// Where it can't be read or encoded; `buffer` is then not to be used.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, TransportError>;
}

impl ChunkFeed for Chunker {
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, TransportError> {
        let info = Chunker::fill(self, buffer).map_err(|error: InputError| TransportError::Input(error))?;
        Ok(info.map(|info| Position {
            file: info.file,
            first_line: info.first_line,
            header: info.header,
            bytes: info.position,
        }))
    }
}

/// Feeds rows that the program makes.
pub(crate) struct RowsFeed<I> {
    pub rows: I,
    pub next: u64,
    pub bytes: u64,
}

impl<R: Row, I: Iterator<Item = R> + Send> ChunkFeed for RowsFeed<I> {
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, TransportError> {
        let (start, first_line) = (buffer.len(), self.next);
        while buffer.len() - start < ROWS_CHUNK {
            let Some(row) = self.rows.next() else { break };
            codec::encode(&row, buffer)?;
            self.next += 1;
        }
        self.bytes += (buffer.len() - start) as u64;
        let position = Position { file: 0, first_line, header: Arc::default(), bytes: self.bytes };
        Ok((buffer.len() > start).then_some(position))
    }
}

/// A source and what it is fed with.
pub(crate) type SourceFeed<'a> = (SourceInfo, Box<dyn ChunkFeed + 'a>);

/// All sources of a job, shared by the feeder threads: each takes the next chunk when it is ready for one.
pub(crate) struct Feeds<'a> {
    head: &'a JobHead,
    queue: Mutex<VecDeque<Feed<'a>>>,
    read: &'a AtomicU64,
    done: AtomicU64,
}

struct Feed<'a> {
    source: SourceInfo,
    chunks: Box<dyn ChunkFeed + 'a>,
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
            let Some(Position { file, first_line, header, bytes }) = chunks.fill(payload)? else { return Ok(None) };
            ChunkMeta { file, first_line, header: &header }.append(payload)?;
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
