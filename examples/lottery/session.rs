//! One connection of an agency: requests come in, each gets its reply.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffee_mom::{Endpoint, Message, MessageMiddleware};
use thiserror::Error;

use crate::bet;
use crate::desk::Desk;
use crate::ledger::{Account, Batch, Ledger, LedgerError};
use crate::wire::{self, MAX_REPLY, MAX_REQUEST, Reply, Request, Results, WireError};

/// How long a batch may take to be stored, before its agency is asked to send it again.
const STORING: Duration = Duration::from_secs(3);

/// How long who asks for winners waits for them, before it has to ask again.
const ASKING: Duration = Duration::from_millis(100);

/// Why a session has ended before its agency has its winners. It may come again.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The connection was lost or silent, or what came over it can't be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// What was asked may have been done, or not.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What all sessions share.
pub struct Office {
    /// The queue that batches take to the storage worker.
    pub bets: Endpoint,
    pub ledger: Arc<Ledger>,
    /// One an agency.
    pub desks: Vec<Desk>,
    /// How long an agency may say nothing.
    pub silence: Duration,
    /// When the draw has been made, or will not be.
    pub over: Instant,
}

impl Office {
    /// Makes the draw: all agencies are closed. Again, it changes nothing. Ok: what became of each agency.
    ///
    /// # Errors
    /// [`LedgerError`]: whether it is made is not known.
    pub fn draw(&self, winning: u16) -> Result<Vec<Account>, LedgerError> {
        let drawn = self.ledger.draw(winning)?;
        (0..).zip(&self.desks).map(|(agency, _)| self.ledger.account(agency, drawn)).collect()
    }

    /// Makes the draw, and tells the agencies.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    pub fn publish(&self, winning: u16) -> Result<(), LedgerError> {
        let accounts = self.draw(winning)?;
        self.desks.iter().zip(accounts).for_each(|(desk, account)| desk.publish(account.winners));
        Ok(())
    }

    /// Serves a connection until its agency goes home. Ok: it has its winners.
    ///
    /// # Errors
    /// [`SessionError`]
    pub fn serve(&self, stream: &TcpStream) -> Result<(), SessionError> {
        let ended = self.converse(stream);
        if let Err(SessionError::Wire(error @ (WireError::TooLong(_) | WireError::Nonsense(_)))) = &ended {
            self.reply(stream, &Reply::Refused(error.to_string()))?;
        }
        ended
    }

    fn converse(&self, stream: &TcpStream) -> Result<(), SessionError> {
        let Request::Hello { agency } = self.request(stream)? else {
            return Ok(self.reply(stream, &Reply::Refused("who are you?".to_owned()))?);
        };
        let Some(desk) = self.desks.get(usize::from(agency)) else {
            return Ok(self.reply(stream, &Reply::Refused(format!("there is no agency {agency}")))?);
        };
        self.reply(stream, &Reply::Welcome)?;
        loop {
            let request = self.request(stream)?;
            if matches!(request, Request::Bye) {
                desk.go_home();
                return Ok(());
            }
            self.reply(stream, &desk.serve(|| self.answer(agency, desk, request))?)?;
        }
    }

    fn request(&self, stream: &TcpStream) -> Result<Request, WireError> {
        wire::receive(stream, MAX_REQUEST, Instant::now() + self.silence)
    }

    fn reply(&self, stream: &TcpStream, reply: &Reply) -> Result<(), WireError> {
        wire::send(stream, reply, MAX_REPLY, Instant::now() + self.silence)
    }

    fn answer(&self, agency: u16, desk: &Desk, request: Request) -> Result<Reply, LedgerError> {
        Ok(match request {
            Request::Batch { number, bets } => self.store(agency, number, &bets)?,
            Request::End { results } => {
                // Before the answer: an agency that wants to ask does not say it again.
                self.ledger.close(agency, true)?;
                desk.end();
                self.winners(desk, if results == Results::Pushed { self.over } else { Instant::now() })
            }
            Request::Ask => self.winners(desk, self.over.min(Instant::now() + ASKING)),
            Request::Hello { .. } | Request::Bye => Reply::Refused("that has been said".to_owned()),
        })
    }

    fn winners(&self, desk: &Desk, deadline: Instant) -> Reply {
        desk.wait_for_winners(deadline).map_or(Reply::Wait, Reply::Winners)
    }

    /// Has a batch stored by the worker. A copy that comes late, or twice, does no harm: the ledger knows it.
    fn store(&self, agency: u16, number: u32, bets: &[u8]) -> Result<Reply, LedgerError> {
        let bets = match bet::read(bets) {
            Ok(bets) => bets,
            Err(bad) => return Ok(Reply::Refused(bad.to_string())),
        };
        let deadline = Instant::now() + STORING;
        let body = match postcard::to_stdvec(&Batch { agency, number, bets }) {
            Ok(body) => body,
            Err(error) => return Ok(Reply::Refused(error.to_string())),
        };
        if let Err(error) = self.bets.send(Message::new(body), deadline) {
            eprintln!("batch {number} of agency {agency} may not have arrived: {error}");
            return Ok(Reply::Again);
        }
        Ok(match self.ledger.wait_for(agency, number, deadline)? {
            Some(true) => Reply::Stored,
            Some(false) => Reply::Refused("the sale is over".to_owned()),
            None => Reply::Again,
        })
    }
}
