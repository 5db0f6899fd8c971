//! TLS between the two halves of a connection, which two threads use. None of them holds the session while it waits in the system,
//! and who reads does not wait for who writes: two sides that both wait to be read would wait for ever.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    ops::Range,
    sync::Arc,
    time::Instant,
};

use coffee_mom::tls::TlsConfig;
use parking_lot::{Mutex, MutexGuard};
use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection, pki_types::ServerName};

use super::{WireError, stream};

/// Bytes that are taken from the socket at once: a record or so.
const RECORD: usize = 16 << 10;

/// An encrypted session over one socket.
pub(super) struct Session {
    state: Mutex<Connection>,
    /// The reader's alone.
    arrived: Mutex<Arrived>,
    /// Records that the socket has not taken, in the order in which they were made.
    leaving: Mutex<Vec<u8>>,
}

/// What came by the socket and was not decrypted yet.
struct Arrived {
    bytes: Box<[u8]>,
    rest: Range<usize>,
}

impl Session {
    /// The gateway's side.
    pub fn server(config: &Arc<ServerConfig>) -> Result<Self, WireError> {
        Ok(Session::new(ServerConnection::new(config.clone())?.into()))
    }

    /// The client's side, of a connection to a gateway at `HOST:PORT`. Reads the files of the config.
    pub fn client(config: &TlsConfig, gateway: &str) -> Result<Self, WireError> {
        let host = gateway.rsplit_once(':').map_or(gateway, |(host, _)| host);
        let name = config.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| WireError::Name(name.to_owned()))?;
        Ok(Session::new(ClientConnection::new(config.client()?, name)?.into()))
    }

    fn new(state: Connection) -> Self {
        let arrived = Arrived { bytes: vec![0; RECORD].into_boxed_slice(), rest: 0..0 };
        Session { state: Mutex::new(state), arrived: Mutex::new(arrived), leaving: Mutex::default() }
    }

    pub fn read(&self, socket: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut arrived = self.arrived.lock();
        loop {
            let mut state = self.state.lock();
            match state.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // What the writer has just put there, it sends itself.
            let put = state.wants_write();
            // Only now, so that what is decrypted has room.
            let opened = arrived.open(&mut state);
            let answers = state.wants_write() && !put;
            drop(state);
            // Why it can't be opened is worth more than that nobody could be told.
            let answered = if answers { self.answer(socket, deadline) } else { Ok(()) };
            let opened = opened?;
            answered?;
            if !opened {
                arrived.fetch(socket, deadline)?;
            }
        }
    }

    pub fn write(&self, socket: &TcpStream, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
        let taken = self.state.lock().writer().write(bytes)?;
        self.send(socket, deadline)?;
        Ok(taken)
    }

    pub fn finish(&self, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        self.state.lock().send_close_notify();
        self.send(socket, deadline)
    }

    /// Sends a part of the handshake, or an alert. Where the writer is at it, that goes out with what it writes next.
    fn answer(&self, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        match self.leaving.try_lock() {
            Some(leaving) => self.send_all(leaving, socket, deadline),
            None => Ok(()),
        }
    }

    fn send(&self, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        self.send_all(self.leaving.lock(), socket, deadline)
    }

    /// Writes all that is to be sent. An error ends the connection: a record may be half written.
    fn send_all(&self, mut leaving: MutexGuard<'_, Vec<u8>>, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.wants_write() {
            state.write_tls(&mut *leaving)?;
        }
        drop(state);
        let written = write_all(socket, &leaving, deadline);
        leaving.clear();
        if written.is_err() {
            // Nobody writes behind a part of a record.
            let _ = socket.shutdown(Shutdown::Both);
        }
        written
    }
}

fn write_all(socket: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream::write(socket, bytes, deadline) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Arrived {
    /// Decrypts some of it. False: there is nothing more.
    fn open(&mut self, state: &mut Connection) -> io::Result<bool> {
        let mut rest = self.bytes.get(self.rest.clone()).unwrap_or_default();
        if rest.is_empty() {
            return Ok(false);
        }
        self.rest.start += state.read_tls(&mut rest)?;
        // What is wrong is told to the other side by an alert, which is to be sent then.
        state.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(true)
    }

    /// Waits for more. Who ends a session in order says so within it, and not by the end of the socket.
    fn fetch(&mut self, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        let length = stream::read(socket, &mut self.bytes, deadline)?;
        self.rest = 0..length;
        if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
