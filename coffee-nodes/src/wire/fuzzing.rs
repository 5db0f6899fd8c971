//! Targets for fuzzers: what comes on a connection, from its first byte to its last.

#![expect(clippy::unwrap_used, reason = "a target fails by a panic")]

use std::{
    fmt::Debug,
    io::Write,
    net::{Shutdown, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use coffee_core::fuzzing::decoded;
use serde::{Serialize, de::DeserializeOwned};

use super::{MAX_PAYLOAD, Receiver, Sender, ToClient, ToGateway, greet, stream::Stream};

/// More than any message waits for bytes that are there.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many bytes the system takes before anybody reads them.
const MOST: usize = 64 << 10;

/// What a gateway hears.
pub(crate) fn from_client(bytes: &[u8]) {
    hear::<ToGateway>(bytes);
}

/// What a client hears.
pub(crate) fn from_gateway(bytes: &[u8]) {
    hear::<ToClient>(bytes);
}

/// Whether a greeting is expected, then what comes. A pair of sockets stands for the connection.
fn hear<M: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first().filter(|(_, bytes)| bytes.len() < MOST) else { return };
    let (mut other, own) = UnixStream::pair().unwrap();
    other.write_all(bytes).unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    let stream = Stream::plain(TcpStream::from(OwnedFd::from(own)));
    let (mut sender, mut receiver) = (Sender::new(stream.clone(), PATIENCE), Receiver::new(stream, PATIENCE));
    if how & 1 == 1 && greet(&mut sender, &mut receiver).is_err() {
        return;
    }
    while let Ok((message, length)) = receiver.next::<M>() {
        assert!(length <= MAX_PAYLOAD);
        let encoded = postcard::to_stdvec(&message).unwrap();
        assert_eq!(decoded::<M>(&encoded), Some(message));
        let mut payload = Vec::new();
        let taken = if how & 2 == 2 { receiver.payload(&mut payload) } else { receiver.skip_payload() };
        if taken.is_err() {
            return;
        }
        assert!(how & 2 == 0 || payload.len() == length as usize);
    }
}
