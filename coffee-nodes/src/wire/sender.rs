//! The sending half: small messages are put together, and each write has a deadline.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Breaker, HEAD, MAX_MESSAGE, MAX_PAYLOAD, WireError,
    stream::Stream,
    until::{Patience, Until},
};

/// What is put aside before it is written: many small messages become one write.
const BUFFER: usize = 64 << 10;

/// The sending half. One owner.
#[derive(Debug)]
pub struct Sender {
    stream: Stream,
    patience: Patience,
    buffer: Vec<u8>,
}

impl Sender {
    pub(super) fn new(stream: Stream, patience: Duration) -> Self {
        Sender { stream, patience: Patience::Each(patience), buffer: Vec::new() }
    }

    pub(super) fn parts(&self) -> (&Stream, Patience) {
        (&self.stream, self.patience)
    }

    /// Sets how long each write may take in all.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = Patience::Each(patience);
    }

    /// Sets when all writes have to be done, until a [patience](Self::set_patience) is set.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.patience = Patience::All(deadline);
    }

    /// Puts a message aside, to be written by the next [`flush`](Self::flush) or when there are many.
    ///
    /// # Errors
    /// Where the connection is of no more use.
    pub fn put(&mut self, message: &impl Serialize) -> Result<(), WireError> {
        self.head(message, 0)?;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes a message with its payload, and what was put aside before. Blocks while the other side does not read.
    ///
    /// # Errors
    /// Where the connection is of no more use: a part of it may have been sent.
    pub fn send(&mut self, message: &impl Serialize, payload: &[u8]) -> Result<(), WireError> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length <= MAX_PAYLOAD);
        self.head(message, length.ok_or(WireError::Protocol("a payload above its limit"))?)?;
        self.flush()?;
        Ok(Until::new(&self.stream, self.patience).write_all(payload)?)
    }

    /// Writes what was put aside.
    ///
    /// # Errors
    /// Where the connection is of no more use.
    pub fn flush(&mut self) -> Result<(), WireError> {
        let written = Until::new(&self.stream, self.patience).write_all(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        Ok(written?)
    }

    /// Writes what was put aside, and tells the other side that nothing more follows. What it says can still be received.
    ///
    /// # Errors
    /// Where the connection is of no more use.
    pub fn finish(&mut self) -> Result<(), WireError> {
        self.flush()?;
        Ok(self.stream.finish(self.patience.deadline())?)
    }

    /// Ends the connection, both ways: whoever waits on the other half returns.
    pub fn shutdown(&self) {
        self.stream.shutdown();
    }

    /// Another handle that can end the connection from another thread.
    pub fn breaker(&self) -> Breaker {
        Breaker(self.stream.clone())
    }

    fn head(&mut self, message: &impl Serialize, payload: u32) -> Result<(), WireError> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEAD]);
        let unencodable = |_| WireError::Protocol("a message that can't be encoded");
        let buffer = postcard::to_extend(message, std::mem::take(&mut self.buffer)).map_err(unencodable)?;
        self.buffer = buffer;
        let length = u32::try_from(self.buffer.len() - start - HEAD).unwrap_or(u32::MAX);
        if length > MAX_MESSAGE {
            self.buffer.truncate(start);
            return Err(WireError::Protocol("a message above its limit"));
        }
        let head = [length.to_le_bytes(), payload.to_le_bytes()].concat();
        if let Some(place) = self.buffer.get_mut(start..start + HEAD) {
            place.copy_from_slice(&head);
        }
        Ok(())
    }
}
