//! The receiving half: whole messages only, of bounded size, by a deadline each.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use super::{
    HEAD, MAX_MESSAGE, MAX_PAYLOAD, WireError,
    stream::Stream,
    until::{Patience, Until},
};

/// What is kept of a message's memory for the next one.
const KEPT: usize = 64 << 10;

/// What is made room for before anything has arrived.
const FIRST_STEP: usize = 64 << 10;

/// The receiving half. One owner.
#[derive(Debug)]
pub struct Receiver {
    stream: Stream,
    patience: Patience,
    limit: u32,
    /// A message's encoding.
    message: Vec<u8>,
    /// Bytes of the last message, its payload aside.
    length: u32,
    /// Bytes of the last message's payload that have not been taken.
    payload: u32,
}

impl Receiver {
    pub(super) fn new(stream: Stream, patience: Duration) -> Self {
        let (patience, message) = (Patience::Each(patience), Vec::new());
        Receiver { stream, patience, limit: MAX_MESSAGE, message, length: 0, payload: 0 }
    }

    pub(super) fn parts(&self) -> (&Stream, Patience) {
        (&self.stream, self.patience)
    }

    /// Sets how long to wait for each message, and again for the rest of one that has begun.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = Patience::Each(patience);
    }

    /// Sets when all that is read has to be there, until a [patience](Self::set_patience) is set.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.patience = Patience::All(deadline);
    }

    /// Sets the most bytes of a message, at most [`MAX_MESSAGE`]: little, before it is known who the other side is.
    pub fn set_limit(&mut self, bytes: u32) {
        self.limit = bytes.min(MAX_MESSAGE);
    }

    /// The next message, and how many bytes of payload come with it, which [`payload`](Self::payload) takes; a payload
    /// that is not taken is an error of the next call. Waits for the first byte for as long as the connection's patience,
    /// and as long again for the rest: who trickles is cut off.
    ///
    /// # Errors
    /// Where the connection is of no more use.
    #[expect(clippy::should_implement_trait, reason = "no iterator: each call names the type that it expects")]
    pub fn next<M: DeserializeOwned>(&mut self) -> Result<(M, u32), WireError> {
        if self.payload > 0 {
            return Err(WireError::Protocol("a payload where none belongs"));
        }
        let mut head = [0; HEAD];
        let first = self.first(&mut head)?;
        let mut until = Until::new(&self.stream, self.patience);
        until.read_exact(head.get_mut(first..).unwrap_or_default())?;
        let [a, b, c, d, e, f, g, h] = head;
        let (length, payload) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if length > self.limit || payload > MAX_PAYLOAD {
            return Err(WireError::Protocol("a message above its limit"));
        }
        self.length = length;
        self.message.clear();
        append(until, &mut self.message, length as usize)?;
        let decoded = decode(&self.message);
        self.message.clear();
        self.message.shrink_to(KEPT);
        self.payload = payload;
        Ok((decoded?, payload))
    }

    /// How many bytes the last message had, its payload aside.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Appends the last message's payload.
    ///
    /// # Errors
    /// Where the connection is of no more use; a part of it may have been appended.
    pub fn payload(&mut self, buffer: &mut Vec<u8>) -> Result<(), WireError> {
        let length = std::mem::take(&mut self.payload) as usize;
        append(Until::new(&self.stream, self.patience), buffer, length)
    }

    /// Passes over the last message's payload, which takes no memory.
    ///
    /// # Errors
    /// Where the connection is of no more use.
    pub fn skip_payload(&mut self) -> Result<(), WireError> {
        let length = std::mem::take(&mut self.payload);
        let skipped = io::copy(&mut Until::new(&self.stream, self.patience).take(length.into()), &mut io::sink())?;
        if skipped < length.into() { Err(WireError::Closed) } else { Ok(()) }
    }

    /// Passes over what comes until the other side closes, for at most `wait`. A connection that is closed with
    /// something unread takes along what the other side has not read yet: so the last word arrives.
    pub fn drain(&mut self, wait: Duration) {
        let deadline = Instant::now() + wait;
        let mut passed_over = [0; 4096];
        loop {
            match self.stream.read(&mut passed_over, deadline) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// The first bytes of a message's head: at least one.
    fn first(&mut self, head: &mut [u8; HEAD]) -> Result<usize, WireError> {
        let deadline = self.patience.deadline();
        loop {
            match self.stream.read(head, deadline) {
                Ok(0) => return Err(WireError::Closed),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        }
    }
}

fn decode<M: DeserializeOwned>(message: &[u8]) -> Result<M, WireError> {
    match postcard::take_from_bytes(message) {
        Ok((decoded, [])) => Ok(decoded),
        _ => Err(WireError::Protocol("an unknown message")),
    }
}

/// Memory grows with what has arrived, not with what was announced.
fn append(mut from: Until<'_>, buffer: &mut Vec<u8>, length: usize) -> Result<(), WireError> {
    let (start, end) = (buffer.len(), buffer.len() + length);
    while buffer.len() < end {
        let step = (buffer.len() - start).max(FIRST_STEP).max(buffer.capacity() - buffer.len());
        let wanted = step.min(end - buffer.len());
        buffer.reserve_exact(wanted);
        if from.by_ref().take(wanted as u64).read_to_end(buffer)? < wanted {
            return Err(WireError::Closed);
        }
    }
    Ok(())
}
