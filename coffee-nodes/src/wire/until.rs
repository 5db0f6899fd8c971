//! A socket until a deadline: who sends or takes a byte now and then is cut off like who does nothing at all.

use std::{
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use super::stream::{Stream, in_time};

/// Reads and writes until a deadline, however little moves at a time. A call that waits in the system when the deadline
/// passes ends with the socket's own timeout.
pub(super) struct Until<'a> {
    stream: &'a Stream,
    deadline: Instant,
}

impl<'a> Until<'a> {
    /// For so long from now.
    pub fn new(stream: &'a Stream, patience: Duration) -> Self {
        Until { stream, deadline: Instant::now() + patience }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        in_time(self.deadline)?;
        self.stream.read(buffer, self.deadline)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        in_time(self.deadline)?;
        self.stream.write(buffer, self.deadline)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket holds nothing back
    }
}
