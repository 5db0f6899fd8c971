//! A TCP connection: opened or accepted, taken apart into its two halves, and greeted.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use super::{Receiver, Sender, VERSION, WireError, until::Until};

const MAGIC: &[u8; 6] = b"COFFEE";

/// Opens a connection, within `wait`; reads and writes on it fail after waiting for `patience`.
///
/// # Errors
/// Where nobody listens there, or not in time.
pub fn connect(address: SocketAddr, wait: Duration, patience: Duration) -> Result<(Sender, Receiver), WireError> {
    let stream = TcpStream::connect_timeout(&address, wait)?;
    split(stream, patience)
}

/// Makes the two halves of a connection that was accepted or opened.
///
/// # Errors
/// Where the system refuses.
pub fn split(stream: TcpStream, patience: Duration) -> Result<(Sender, Receiver), WireError> {
    stream.set_nodelay(true)?;
    let reading = stream.try_clone()?;
    let (mut sender, mut receiver) = (Sender::new(stream), Receiver::new(reading));
    sender.set_patience(patience)?;
    receiver.set_patience(patience)?;
    Ok((sender, receiver))
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
    Until::new(stream, patience).read_exact(&mut greeting)?;
    let [magic @ .., low, high] = greeting;
    match u16::from_le_bytes([low, high]) {
        _ if magic != *MAGIC => Err(WireError::Protocol("no greeting")),
        VERSION => Ok(()),
        other => Err(WireError::Version(other)),
    }
}

/// Ends a connection from any thread.
#[derive(Debug)]
pub struct Breaker(pub(super) TcpStream);

impl Breaker {
    /// Ends the connection, both ways: whoever waits on one of its halves returns.
    pub fn shutdown(&self) {
        // One that is gone already is as good.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
