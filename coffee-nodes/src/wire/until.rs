//! A socket until a deadline: who sends or takes a byte now and then is cut off like who does nothing at all.

use std::{
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use super::stream::Stream;

/// How long one side waits for the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// So long for each thing.
    Each(Duration),
    /// Until then for all things together.
    All(Instant),
}

impl Patience {
    /// When what begins now has to be done.
    pub fn deadline(self) -> Instant {
        match self {
            Patience::Each(patience) => Instant::now() + patience,
            Patience::All(deadline) => deadline,
        }
    }
}

/// Reads and writes until a deadline, however little moves at a time.
pub(super) struct Until<'a> {
    stream: &'a Stream,
    deadline: Instant,
}

impl<'a> Until<'a> {
    /// For one thing that begins now.
    pub fn new(stream: &'a Stream, patience: Patience) -> Self {
        Until { stream, deadline: patience.deadline() }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer, self.deadline)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer, self.deadline)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket holds nothing back
    }
}
