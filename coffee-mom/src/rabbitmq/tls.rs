//! TLS by rustls below amiquip, which polls edge-triggered and asks for writability only while it
//! has something to write. Three rules make that work on the readiness of the bare socket:
//!
//! - The handshake is done, blocking and by the deadline, before amiquip sees the stream.
//! - A read says `WouldBlock` only when the socket has, and all that came is decrypted and read.
//! - A write says how much it took only when the socket has taken all its records; until then it
//!   says `WouldBlock`, and amiquip comes again with the same bytes. So nothing stays behind in
//!   rustls when amiquip has nothing more to write.

use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::tls::TlsConfig;

use super::config::Host;
use super::failure::Failure;

/// Encrypts a connected socket that blocks. Reads the files of the config first.
///
/// Blocks until `deadline` at most, also with a peer that sends byte by byte.
pub(super) fn handshake(
    socket: &mut TcpStream,
    config: &TlsConfig,
    host: &Host,
    deadline: Instant,
) -> Result<ClientConnection, Failure> {
    let name = config.server_name.as_ref().unwrap_or(&host.name);
    let name = ServerName::try_from(name.clone()).map_err(|_| Failure::UnknownHost)?;
    let mut session = ClientConnection::new(config.client()?, name).map_err(Failure::Tls)?;
    while session.is_handshaking() || session.wants_write() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Deadline);
        }
        step(&mut session, socket, left).map_err(|error| Failure::connecting(&error))?;
    }
    Ok(session)
}

/// One call of the socket, of at most `timeout`.
fn step(session: &mut ClientConnection, socket: &mut TcpStream, timeout: Duration) -> io::Result<()> {
    if session.wants_write() {
        socket.set_write_timeout(Some(timeout))?;
        return session.write_tls(socket).map(drop);
    }
    socket.set_read_timeout(Some(timeout))?;
    if session.read_tls(socket)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    process(session, socket)
}

/// Decrypts what has come. When that fails, the peer is told why, if it can be told at once.
fn process(session: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    session.process_new_packets().map(drop).map_err(|error| {
        let _ = session.write_tls(socket);
        io::Error::new(io::ErrorKind::InvalidData, error)
    })
}

/// An encrypted stream over a socket that does not block.
#[derive(Debug)]
pub(super) struct TlsStream<S> {
    session: ClientConnection,
    socket: S,
    /// Bytes that are encrypted, but not all of whose records the socket has taken yet; the writer
    /// does not know that they are.
    unwritten: usize,
}

impl<S: Read + Write> TlsStream<S> {
    /// After the [`handshake`].
    pub(super) fn new(session: ClientConnection, socket: S) -> Self {
        Self { session, socket, unwritten: 0 }
    }

    /// Takes what the socket has. Ok: something came, be it the end.
    fn receive(&mut self) -> io::Result<()> {
        self.session.read_tls(&mut self.socket)?;
        process(&mut self.session, &mut self.socket)
    }

    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// The reason that the peer has given before it closed the socket on us, if it has.
    fn reason(&mut self, error: io::Error) -> io::Error {
        match self.receive() {
            Err(reason) if reason.kind() == io::ErrorKind::InvalidData => reason,
            _ => error,
        }
    }
}

impl<S: Read + Write> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive()?,
                done => return done,
            }
        }
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    /// After `WouldBlock` it has to be called with the same bytes, or more of them behind.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unwritten == 0 {
            self.unwritten = self.session.writer().write(bytes)?;
            if self.unwritten == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        match self.send() {
            Ok(()) => Ok(mem::take(&mut self.unwritten)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) => Err(self.reason(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

#[cfg(test)]
mod tests;
