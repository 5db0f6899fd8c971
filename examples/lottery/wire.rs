//! What agencies and the server say to each other over TCP: each request has one reply.
//!
//! ```text
//! frame := length:u32be  message (postcard)      at most MAX_REQUEST bytes of message one way, MAX_REPLY the other
//! ```
//!
//! An agency says `Hello` first on each connection. Every request may be sent again after a lost connection: it is
//! known by what it says, so it has no further effect.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Most bytes of a request, and so of a batch.
pub const MAX_REQUEST: usize = 8 << 10;

/// Most bytes of a batch's bets: what is around them in a request has less than 16.
pub const MAX_BETS: usize = MAX_REQUEST - 16;

/// Most bytes of a reply.
pub const MAX_REPLY: usize = 1 << 20;

/// From an agency.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Who it is. Answered by `Welcome`.
    Hello { agency: u16 },
    /// Bets as lines of CSV. Answered by `Stored`, `Refused` or `Again`. A batch of the same number is the same batch.
    Batch { number: u32, bets: Vec<u8> },
    /// All its bets are sent. Answered by `Winners` when the draw is made, or by `Wait` at once if it wants to ask.
    End { results: Results },
    /// Answered by `Winners`, or by `Wait` after a moment.
    Ask,
    /// It has its winners. Nothing follows.
    Bye,
}

/// How an agency learns of its winners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Results {
    /// It is told when they are known.
    Pushed,
    /// It asks until they are known.
    Asked,
}

/// From the server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Welcome,
    /// The whole batch counts.
    Stored,
    /// Nothing of the request counts, nor ever will.
    Refused(String),
    /// Whether the batch counts is not known: send it again.
    Again,
    /// The draw is not made yet.
    Wait,
    /// The documents of the agency's winners, in the order of their bets.
    Winners(Vec<u32>),
}

/// Why a message was not sent, or did not come.
#[derive(Debug, Error)]
pub enum WireError {
    /// The connection is lost, or too slow.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The message is too long; of one that comes, nothing was read.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The bytes are no message.
    #[error("what was said makes no sense")]
    Nonsense(#[from] postcard::Error),
}

/// Sends a message. Ok: the system has it; only a reply says more.
///
/// # Errors
/// [`WireError`]; only after `TooLong` is the connection of use.
pub fn send(stream: &TcpStream, message: &impl Serialize, most: usize, deadline: Instant) -> Result<(), WireError> {
    let mut frame = postcard::to_extend(message, vec![0; 4])?;
    let length = frame.len() - 4;
    let head = u32::try_from(length).ok().filter(|_| length <= most).ok_or(WireError::TooLong(length))?;
    frame[..4].copy_from_slice(&head.to_be_bytes());
    Ok(Until { stream, deadline }.write_all(&frame)?)
}

/// Waits for a whole message, `deadline` at most, however little comes at a time.
///
/// # Errors
/// [`WireError`]; the connection is of no more use then.
pub fn receive<T: DeserializeOwned>(stream: &TcpStream, most: usize, deadline: Instant) -> Result<T, WireError> {
    let mut socket = Until { stream, deadline };
    let mut head = [0; 4];
    socket.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head) as usize;
    if length > most {
        return Err(WireError::TooLong(length));
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(postcard::from_bytes(&body)?)
}

/// A socket until a deadline.
struct Until<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Until<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket holds nothing back
    }
}
