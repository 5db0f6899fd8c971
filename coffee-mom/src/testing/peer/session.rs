//! One connection's socket: read as long as the client speaks, written as fast as it takes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::decoder::{Decoder, Said};
use super::from_client::FromClient;
use super::link::{End, Link};
use crate::testing::proxy::reset;

const CHUNK_BYTES: usize = 64 << 10;
/// What may wait for a client that does not read.
const MAX_OUT: usize = 256 << 20;

pub(super) struct Session {
    pub(super) link: Link,
    socket: TcpStream,
    input: Vec<u8>,
    sent: usize,
    decoder: Decoder,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The stream to the client is ended; what it still says is thrown away until it ends its own.
    /// Closing at once would turn the end into a reset.
    HungUp,
    Over,
}

impl Session {
    pub(super) fn new(socket: TcpStream) -> Self {
        let (input, decoder) = (Vec::new(), Decoder::default());
        Self { link: Link::new(), socket, input, sent: 0, decoder, state: State::Open }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Reads a chunk and appends what the client says by it. Whether there may be more to read.
    pub(super) fn read(&mut self, said: &mut Vec<Said>) -> bool {
        let held = self.input.len();
        self.input.resize(held + CHUNK_BYTES, 0);
        let read = self.socket.read(&mut self.input[held..]);
        self.input.truncate(held + read.as_ref().copied().unwrap_or(0));
        let open = self.state == State::Open;
        match read {
            Ok(bytes) if bytes > 0 => match open {
                true => self.decoder.decode(&mut self.input, said),
                false => self.input.clear(),
            },
            Err(error) if is_later(&error) => return false,
            Ok(_) | Err(_) => {
                self.state = State::Over;
                said.extend(open.then_some((0, FromClient::Gone)));
                return false;
            }
        }
        true
    }

    /// Writes what was sent, as far as the client takes it, and ends the connection if that is wanted.
    pub(super) fn write(&mut self) {
        if self.state != State::Open {
            return;
        }
        if self.link.out.len() > MAX_OUT {
            log::error!("a client of the scripted peer leaves too much unread");
            self.link.reset();
        }
        if self.link.end == Some(End::Reset) {
            self.state = State::Over;
            return;
        }
        match self.write_out() {
            Ok(true) if self.link.end == Some(End::HangUp) => {
                let ended = self.socket.shutdown(Shutdown::Write);
                self.state = if ended.is_ok() { State::HungUp } else { State::Over };
            }
            Ok(_) => {}
            // Reading tells that the client is gone, after what it has said before.
            Err(error) => log::debug!("a client of the scripted peer does not take what it is sent: {error}"),
        }
    }

    /// Whether all is written.
    fn write_out(&mut self) -> io::Result<bool> {
        while self.sent < self.link.out.len() {
            match self.socket.write(&self.link.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.link.out.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Closes the socket as the script wants it closed.
    pub(super) fn close(self) {
        if self.link.end == Some(End::Reset) {
            reset(self.socket);
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
