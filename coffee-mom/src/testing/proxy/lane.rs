//! One way of one connection: bytes from one socket to the other, and then the end of the stream.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::rate::Rate;

const CHUNK_BYTES: usize = 64 << 10;

/// What holds for one way of all connections.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) rate: Rate,
    /// Bytes until the connection that carries the last of them is reset.
    pub(super) cut: Option<u64>,
    /// Bytes that have gone this way.
    pub(super) passed: u64,
}

impl Way {
    pub(super) fn open() -> Self {
        Self { rate: Rate::new(None), cut: None, passed: 0 }
    }

    /// Bytes until the cut.
    fn limit(&self) -> usize {
        self.cut.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Counts; fails at the cut, once.
    fn pass(&mut self, bytes: usize) -> io::Result<()> {
        self.passed += bytes as u64;
        self.cut = self.cut.map(|left| left.saturating_sub(bytes as u64));
        if self.cut == Some(0) {
            self.cut = None;
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

pub(super) struct Lane {
    chunk: Box<[u8]>,
    start: usize,
    end: usize,
    source_ended: bool,
    closed: bool,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { chunk: vec![0; CHUNK_BYTES].into(), start: 0, end: 0, source_ended: false, closed: false }
    }

    /// The end of the stream has been passed on.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Passes on a chunk. Ok: whether anything moved. Err: the connection is to be reset.
    pub(super) fn pass(&mut self, from: &mut TcpStream, to: &mut TcpStream, way: &mut Way) -> io::Result<bool> {
        let mut moved = false;
        if self.start == self.end && !self.source_ended {
            let read = self.fill(from, way.rate.room())?;
            way.rate.spend(read.unwrap_or(0));
            moved |= read.is_some();
        }
        if self.start < self.end {
            let until = self.end.min(self.start.saturating_add(way.limit()));
            if let Some(written) = ready(to.write(&self.chunk[self.start..until]))? {
                self.start += written;
                way.pass(written)?;
                moved = true;
            }
        } else if self.source_ended && !self.closed {
            to.shutdown(Shutdown::Write)?;
            self.closed = true;
            moved = true;
        }
        Ok(moved)
    }

    /// Reads a chunk and forgets it, also what was in hand. Ok: whether anything was lost, which may
    /// be the end of the stream or its failure.
    pub(super) fn swallow(&mut self, from: &mut TcpStream) -> bool {
        let mut lost = self.start < self.end;
        if !self.source_ended {
            match self.fill(from, usize::MAX) {
                Ok(read) => lost |= read.is_some(),
                Err(_) => {
                    self.source_ended = true;
                    lost = true;
                }
            }
        }
        self.start = self.end;
        lost
    }

    /// Reads what there is, `room` bytes at most, and notes the end of the stream.
    fn fill(&mut self, from: &mut TcpStream, room: usize) -> io::Result<Option<usize>> {
        let room = room.min(self.chunk.len());
        if room == 0 {
            return Ok(None);
        }
        let read = ready(from.read(&mut self.chunk[..room]))?;
        if let Some(bytes) = read {
            self.source_ended = bytes == 0;
            (self.start, self.end) = (0, bytes);
        }
        Ok(read)
    }
}

/// `None` if the socket is not ready, or not yet connected.
fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(None),
        Err(error) => Err(error),
    }
}
