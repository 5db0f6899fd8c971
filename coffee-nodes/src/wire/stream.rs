//! What a connection's bytes go through: a socket, plain or encrypted, that both halves share.

use std::{
    io,
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::tls::Session;

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

    /// Waits for some bytes; 0 is the end. Encrypted bytes may come and make none: so there is a deadline, but a call that waits in
    /// the system then ends with the socket's own timeout.
    pub fn read(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        match &self.session {
            None => io::Read::read(&mut &*self.socket, buffer),
            Some(session) => session.read(&self.socket, buffer, deadline),
        }
    }

    /// Writes some of the bytes; the deadline is as of [`read`](Self::read).
    pub fn write(&self, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
        match &self.session {
            None => io::Write::write(&mut &*self.socket, bytes),
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

    pub fn set_read_timeout(&self, wait: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(wait))
    }

    pub fn set_write_timeout(&self, wait: Duration) -> io::Result<()> {
        self.socket.set_write_timeout(Some(wait))
    }
}

/// An error of a socket's call once the deadline has passed.
pub(super) fn in_time(deadline: Instant) -> io::Result<()> {
    if Instant::now() > deadline { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}
