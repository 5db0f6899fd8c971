//! What a connection's bytes go through: a socket, plain or encrypted, that both halves share.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::tls::Session;

/// The least that the system can wait: it takes less for no bound at all.
const LEAST: Duration = Duration::from_micros(1);

/// The socket. Of its clones one reads and one writes.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    socket: Arc<TcpStream>,
    session: Option<Arc<Session>>,
}

impl Stream {
    pub fn plain(socket: TcpStream) -> Self {
        Stream { socket: Arc::new(socket), session: None }
    }

    /// The handshake is a part of what is read and written first.
    pub fn encrypted(socket: TcpStream, session: Session) -> Self {
        Stream { socket: Arc::new(socket), session: Some(Arc::new(session)) }
    }

    /// Waits for some bytes until the deadline; 0 is the end.
    pub fn read(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        match &self.session {
            None => read(&self.socket, buffer, deadline),
            Some(session) => session.read(&self.socket, buffer, deadline),
        }
    }

    /// Writes some of the bytes, until the deadline.
    pub fn write(&self, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
        match &self.session {
            None => write(&self.socket, bytes, deadline),
            Some(session) => session.write(&self.socket, bytes, deadline),
        }
    }

    /// Tells the other side that nothing more follows.
    pub fn finish(&self, deadline: Instant) -> io::Result<()> {
        if let Some(session) = &self.session {
            session.finish(&self.socket, deadline)?;
        }
        self.socket.shutdown(Shutdown::Write)
    }

    /// Ends the connection, both ways: whoever waits on one of its halves returns.
    pub fn shutdown(&self) {
        // One that is gone already is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Waits for some bytes of a socket until the deadline.
pub(super) fn read(mut socket: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    socket.set_read_timeout(Some(left(deadline)?))?;
    socket.read(buffer)
}

/// Waits until a socket takes some of the bytes, until the deadline.
pub(super) fn write(mut socket: &TcpStream, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.write(bytes)
}

/// The time until a deadline: some, or an error once it has passed.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(LEAST)) }
}
