//! An agency: sends its bets in batches, and learns of its winners. A lost connection costs it time alone.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::bet::{self, Bet};
use crate::wire::{self, MAX_BETS, MAX_REPLY, MAX_REQUEST, Reply, Request, Results, WireError};

/// The pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// Why an agency could not go on.
#[derive(Debug, Error)]
pub enum AgencyError {
    /// The server can't be spoken to. Whether it did what it was asked last is not known.
    #[error("the server can't be spoken to")]
    Wire(#[from] WireError),
    /// The server does not do what it was asked last, and never will.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server speaks of something else.
    #[error("the server gives a wrong answer: {0:?}")]
    Wrong(Reply),
}

/// The bets as texts that fit a request each; a bet that is too long for that stands alone.
///
/// # Errors
/// None that bets in memory give rise to.
pub fn batches(bets: &[Bet]) -> Result<Vec<Vec<u8>>, csv::Error> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    for bet in bets {
        let line = bet::write(bet)?;
        match batches.last_mut().filter(|batch| batch.len() + line.len() <= MAX_BETS) {
            Some(batch) => batch.extend(line),
            None => batches.push(line),
        }
    }
    Ok(batches)
}

/// One agency of a server. It connects when it has to, and again whenever the connection is lost, until its deadline.
pub struct Agency {
    server: SocketAddr,
    number: u16,
    deadline: Instant,
    stream: Option<TcpStream>,
}

impl Agency {
    pub fn new(server: SocketAddr, number: u16, deadline: Instant) -> Self {
        Self { server, number, deadline, stream: None }
    }

    /// Sends a batch; its number is its own among those of the agency. Ok: it is stored.
    ///
    /// # Errors
    /// [`AgencyError`]; after `Refused` nothing of it is stored.
    pub fn send(&mut self, number: u32, bets: Vec<u8>) -> Result<(), AgencyError> {
        let batch = Request::Batch { number, bets };
        loop {
            match self.ask(&batch)? {
                Reply::Stored => return Ok(()),
                Reply::Again => {}
                other => return Err(AgencyError::Wrong(other)),
            }
        }
    }

    /// Ends the bets, waits for the draw, and goes home. Ok: the documents of the winners.
    ///
    /// # Errors
    /// [`AgencyError`]; the bets count nevertheless.
    pub fn finish(mut self, results: Results) -> Result<Vec<u32>, AgencyError> {
        let mut reply = self.ask(&Request::End { results })?;
        while reply == Reply::Wait {
            reply = self.ask(&Request::Ask)?;
        }
        let Reply::Winners(winners) = reply else { return Err(AgencyError::Wrong(reply)) };
        if let Some(stream) = self.stream {
            // It spares the server a wait, no more.
            let _ = wire::send(&stream, &Request::Bye, MAX_REQUEST, self.deadline);
        }
        Ok(winners)
    }

    /// Asks until there is a reply: all requests may be repeated.
    fn ask(&mut self, request: &Request) -> Result<Reply, AgencyError> {
        loop {
            match self.ask_once(request) {
                Err(WireError::Io(error)) if Instant::now() + PAUSE < self.deadline => {
                    eprintln!("agency {} connects again: {error}", self.number);
                    self.stream = None;
                    thread::sleep(PAUSE);
                }
                Ok(Reply::Refused(reason)) => return Err(AgencyError::Refused(reason)),
                result => return Ok(result?),
            }
        }
    }

    fn ask_once(&mut self, request: &Request) -> Result<Reply, WireError> {
        if let Some(stream) = &self.stream {
            return talk(stream, request, self.deadline);
        }
        let stream = TcpStream::connect_timeout(&self.server, self.deadline.saturating_duration_since(Instant::now()))?;
        if stream.local_addr()? == self.server {
            // Where nobody listens, a connection to a port of this machine may be given the same port, and meet itself.
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        match talk(&stream, &Request::Hello { agency: self.number }, self.deadline)? {
            Reply::Welcome => talk(self.stream.insert(stream), request, self.deadline),
            other => Ok(other),
        }
    }
}

/// One request and its reply.
pub fn talk(stream: &TcpStream, request: &Request, deadline: Instant) -> Result<Reply, WireError> {
    wire::send(stream, request, MAX_REQUEST, deadline)?;
    wire::receive(stream, MAX_REPLY, deadline)
}
