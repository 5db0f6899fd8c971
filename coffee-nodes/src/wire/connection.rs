//! A TCP connection: opened or accepted, taken apart into its two halves, and greeted.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use coffee_mom::tls::TlsConfig;
use rustls::ServerConfig;

use super::{Receiver, Sender, VERSION, WireError, stream::Stream, tls::Session, until::Until};

const MAGIC: &[u8; 6] = b"COFFEE";

/// What a TLS server says first to who does not begin with a handshake.
const ALERT: u8 = 0x15;

/// Opens a connection to an address of a gateway, within `wait`; reads and writes on it fail after waiting for `patience`. With
/// TLS, the files of its config are read.
///
/// # Errors
/// Where nobody listens there, or not in time; where the files can't be used.
pub fn connect(
    address: SocketAddr,
    gateway: &str,
    tls: Option<&TlsConfig>,
    wait: Duration,
    patience: Duration,
) -> Result<(Sender, Receiver), WireError> {
    let session = tls.map(|tls| Session::client(tls, gateway)).transpose()?;
    halves(TcpStream::connect_timeout(&address, wait)?, session, patience)
}

/// Makes the two halves of a connection that was accepted. Does not block: a handshake is done with the first bytes that are read.
///
/// # Errors
/// Where the system refuses.
pub fn accept(
    socket: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    patience: Duration,
) -> Result<(Sender, Receiver), WireError> {
    let session = tls.map(Session::server).transpose()?;
    halves(socket, session, patience)
}

fn halves(socket: TcpStream, session: Option<Session>, patience: Duration) -> Result<(Sender, Receiver), WireError> {
    socket.set_nodelay(true)?;
    let stream = match session {
        Some(session) => Stream::encrypted(socket, session),
        None => Stream::plain(socket),
    };
    Ok((Sender::new(stream.clone(), patience), Receiver::new(stream, patience)))
}

/// Says hello to the other side.
pub(crate) fn hail(sender: &mut Sender) -> Result<(), WireError> {
    let (stream, patience) = sender.parts();
    Ok(Until::new(stream, patience).write_all(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())?)
}

/// Says hello to the other side and hears its hello, within the connection's patience.
///
/// # Errors
/// Where it is not this protocol or version.
pub fn greet(sender: &mut Sender, receiver: &mut Receiver) -> Result<(), WireError> {
    hail(sender)?;
    let mut greeting = [0; 8];
    let (stream, patience) = receiver.parts();
    let mut until = Until::new(stream, patience);
    let (first, rest) = greeting.split_at_mut(1);
    until.read_exact(first)?;
    if *first == [ALERT] {
        return Err(WireError::WantsTls); // an alert is shorter than a greeting
    }
    until.read_exact(rest)?;
    let [magic @ .., low, high] = greeting;
    match u16::from_le_bytes([low, high]) {
        _ if magic != *MAGIC => Err(WireError::Protocol("no greeting")),
        VERSION => Ok(()),
        other => Err(WireError::Version(other)),
    }
}

/// Ends a connection from any thread.
#[derive(Debug)]
pub struct Breaker(pub(super) Stream);

impl Breaker {
    /// Ends the connection, both ways: whoever waits on one of its halves returns.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}
