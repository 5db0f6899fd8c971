//! What is sent: the chunks of one table after the other, from the marks on that the gateway gives, and how many of them
//! are still to be acked.

use crate::{
    feed::{Chunks, Feed, Position},
    job::Mark,
    wire::{Sender, ToGateway, WINDOW, WireError},
};

use super::ClientError;

/// The data of a submission on its way; what is known of the way starts anew with each connection.
pub(super) struct Upload<'a> {
    tables: &'a [&'a dyn Feed],
    chunk_bytes: usize,
    /// By table; empty until the gateway has said where to start.
    sent: Vec<Sent>,
    /// Where the last connection started.
    started: Vec<Mark>,
    /// The table in turn, and its chunks.
    turn: usize,
    chunks: Option<Box<dyn Chunks + 'a>>,
    /// Bytes of the tables before that.
    done_bytes: u64,
    /// Bytes of all that is sent.
    sent_bytes: u64,
    buffer: Vec<u8>,
}

/// How far one table is.
struct Sent {
    /// What is acked.
    mark: Mark,
    /// So many chunks are sent, in all of the table.
    chunks: u64,
    finish: bool,
}

impl Sent {
    /// Chunks that are not acked, the end counted as one.
    fn unacked(&self) -> u64 {
        self.chunks.saturating_sub(self.mark.next) + u64::from(self.finish && !self.mark.finished)
    }
}

impl<'a> Upload<'a> {
    pub fn new(tables: &'a [&'a dyn Feed], chunk_bytes: usize) -> Self {
        Upload {
            tables,
            chunk_bytes,
            sent: Vec::new(),
            started: Vec::new(),
            turn: 0,
            chunks: None,
            done_bytes: 0,
            sent_bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// A new connection: nothing is sent until [`start`](Self::start).
    pub fn reset(&mut self) {
        self.sent.clear();
        (self.turn, self.chunks, self.done_bytes, self.sent_bytes) = (0, None, 0, 0);
    }

    /// Starts from marks, one a table. True where they are others than at the last start: something was confirmed since.
    pub fn start(&mut self, marks: &[Mark]) -> Result<bool, ClientError> {
        let fits = marks.iter().zip(0..).all(|(mark, table)| mark.table == table) && marks.len() == self.tables.len();
        if !self.sent.is_empty() || !fits {
            return Err(WireError::Protocol("marks that don't fit the tables").into());
        }
        self.sent = marks.iter().map(|mark| Sent { mark: *mark, chunks: mark.next, finish: mark.finished }).collect();
        self.pass_finished();
        Ok(std::mem::replace(&mut self.started, marks.to_vec()) != marks)
    }

    /// All chunks of a table below `next` are confirmed. A table may be finished before all of it is sent on this
    /// connection: what an earlier one had sent is in the job's results, and the rest need not be sent again.
    pub fn acked(&mut self, table: u16, next: u64, finished: bool) -> Result<(), ClientError> {
        let sent = self.sent.get_mut(usize::from(table)).filter(|sent| next <= sent.chunks);
        let Some(Sent { mark, finish, .. }) = sent else { return Err(WireError::Protocol("an ack of nothing").into()) };
        mark.next = mark.next.max(next);
        mark.finished |= finished;
        if finished && !std::mem::replace(finish, true) && usize::from(table) == self.turn {
            self.chunks = None;
        }
        self.pass_finished();
        Ok(())
    }

    /// Whether there is something to send that the gateway has room for.
    pub fn can_send(&self) -> bool {
        self.turn < self.sent.len() && self.sent.iter().map(Sent::unacked).sum::<u64>() < WINDOW.into()
    }

    /// Whether all is sent and confirmed.
    pub fn is_complete(&self) -> bool {
        !self.sent.is_empty() && self.sent.iter().all(|sent| sent.mark.finished)
    }

    /// How many chunks each table has: of one that is not sent whole, by what is sent so far of all; `None` where nothing says so.
    pub fn all_chunks(&self) -> Vec<Option<u64>> {
        let chunks: u64 = self.sent.iter().map(|sent| sent.chunks).fold(0, u64::saturating_add);
        let (chunks, bytes) = (u128::from(chunks), u128::from(self.sent_bytes));
        let tables = self.sent.iter().zip(self.tables);
        let all = tables.map(|(sent, table)| match (sent.finish, table.bytes()) {
            (true, _) => Some(sent.chunks),
            (false, 0) => None,
            (false, whole) => {
                let about = (u128::from(whole) * chunks).checked_div(bytes).filter(|about| *about > 0)?;
                Some(u64::try_from(about).unwrap_or(u64::MAX).max(sent.chunks.saturating_add(1)))
            }
        });
        all.collect()
    }

    /// Sends the next chunk, or the end of a table. Returns how many bytes have been sent so far.
    pub fn send(&mut self, sender: &mut Sender) -> Result<u64, ClientError> {
        let (Some(table), Some(sent)) = (self.tables.get(self.turn), self.sent.get_mut(self.turn)) else {
            return Ok(self.done_bytes);
        };
        let chunks = match &mut self.chunks {
            Some(chunks) => chunks,
            none => none.insert(table.chunks(self.chunk_bytes, sent.mark.place)?),
        };
        self.buffer.clear();
        let table = sent.mark.table;
        if let Some(Position { at, next, bytes, .. }) = chunks.fill(&mut self.buffer)? {
            sender.send(&ToGateway::Chunk { table, seq: sent.chunks, at, next }, &self.buffer)?;
            sent.chunks += 1;
            self.sent_bytes = self.done_bytes + bytes;
            return Ok(self.sent_bytes);
        }
        sender.put(&ToGateway::Finish { table, chunks: sent.chunks })?;
        sent.finish = true;
        self.chunks = None;
        self.pass_finished();
        Ok(self.done_bytes)
    }

    /// Goes on to the next table that has something to be sent.
    fn pass_finished(&mut self) {
        while let (Some(table), Some(Sent { finish: true, .. })) =
            (self.tables.get(self.turn), self.sent.get(self.turn))
        {
            self.done_bytes += table.bytes();
            self.turn += 1;
        }
    }
}
