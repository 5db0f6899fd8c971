//! A socket until a deadline: who sends or takes a byte now and then is cut off like who does nothing at all.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Reads and writes until a deadline, however little moves at a time. A call that waits in the system when the deadline
/// passes ends with the socket's own timeout.
pub(super) struct Until<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl<'a> Until<'a> {
    /// For so long from now.
    pub fn new(stream: &'a TcpStream, patience: Duration) -> Self {
        Until { stream, deadline: Instant::now() + patience }
    }

    fn check(&self) -> io::Result<()> {
        if Instant::now() > self.deadline { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket holds nothing back
    }
}
