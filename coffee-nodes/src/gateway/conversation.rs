//! The thread that reads from a client, and does what it asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{codec::EncodeError, frame::JobId};

use super::{
    House,
    entry::Chunk,
    fetch::{Fetch, Pieces},
    post::Post,
    refused::{Refused, last_word},
    session::Session,
};
use crate::{
    chunk::{chunk_frame, end_frame},
    job::{JobSpec, Place},
    unique::unique,
    wire::{Receiver, ToClient, ToGateway, WireError},
};

/// How long the other side may take to close a connection that has ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// What one client says.
pub(super) struct Conversation {
    house: Arc<House>,
    receiver: Receiver,
    post: Arc<Post>,
    pieces: Arc<Pieces>,
    fetch: Option<Fetch>,
    /// Since when there was nothing but pings, with nothing under way.
    idle: Option<Instant>,
}

/// Why a request is not answered.
enum Stop {
    /// It is refused; the conversation may go on.
    Refused(Refused),
    /// Nobody is there any more.
    Wire(WireError),
    /// The conversation is over, and all is said.
    Over,
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Stop::Refused(refused)
    }
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Stop::Wire(error)
    }
}

impl From<EncodeError> for Stop {
    fn from(error: EncodeError) -> Self {
        Refused::unavailable(error.to_string()).into()
    }
}

impl Conversation {
    pub fn new(house: Arc<House>, receiver: Receiver, post: Arc<Post>) -> Self {
        Conversation { house, receiver, post, pieces: Arc::default(), fetch: None, idle: None }
    }

    /// Serves the client until it leaves or is sent away. Returns once the connection is of no more use to either side,
    /// but for what the writing thread still has.
    pub fn run(&mut self) {
        while !self.post.closed().is_triggered() {
            let answered = match self.receiver.next() {
                Ok((message, payload)) => self.answer(message, payload),
                Err(error) => Err(error.into()),
            };
            match answered {
                Ok(()) => {}
                Err(Stop::Refused(refused)) if !refused.closes() => {
                    self.post.say(refused.message());
                }
                Err(Stop::Refused(refused)) => self.post.close(Some(refused)),
                Err(Stop::Wire(error)) => self.post.close(last_word(&error)),
                Err(Stop::Over) => self.post.close(None),
            }
        }
        if let Some(session) = self.post.set_session(None) {
            self.leave(&session);
        }
        if let Some(fetch) = self.fetch.take() {
            fetch.end();
        }
    }

    /// Waits a moment for the client to close, so that the last word arrives.
    pub fn part(&mut self) {
        self.receiver.drain(FAREWELL);
    }

    fn answer(&mut self, message: ToGateway, payload: u32) -> Result<(), Stop> {
        if payload > 0 && !matches!(message, ToGateway::Chunk { .. }) {
            return Err(Refused::protocol("a payload where none belongs").into());
        }
        self.check_idle(&message)?;
        let reply = match message {
            ToGateway::Hello { .. } => return Err(Refused::protocol("a second hello").into()),
            ToGateway::Begin { request, spec } => {
                let job = self.house.calls.query(|query, deadline| query.begin(request, &spec, deadline))?;
                ToClient::Begun { job }
            }
            ToGateway::Start { job, spec } => return self.start(job, &spec),
            ToGateway::Chunk { table, seq, at, next } => return self.chunk(table, seq, (at, next), payload),
            ToGateway::Finish { table, chunks } => return self.finish(table, chunks),
            ToGateway::Results { job, have } => return self.results(job, &have),
            ToGateway::Took { pieces } if self.pieces.took(pieces) => return Ok(()),
            ToGateway::Took { .. } => return Err(Refused::protocol("more pieces taken than were sent").into()),
            ToGateway::Ping => ToClient::Pong,
            ToGateway::Pong => return Ok(()),
            ToGateway::Cancel { job } => {
                self.house.calls.query(|query, deadline| query.cancel(job, deadline))?;
                self.describe(job)?
            }
            ToGateway::List => ToClient::Jobs { jobs: self.house.calls.query(|query, deadline| query.list(deadline))? },
            ToGateway::Describe { job } => self.describe(job)?,
            ToGateway::Bye => return Err(Stop::Over),
        };
        self.post.say(reply);
        Ok(())
    }

    /// Sends clients away that only hold a place.
    fn check_idle(&mut self, message: &ToGateway) -> Result<(), Refused> {
        let has_session = self.post.session().is_some_and(|session| !session.is_over());
        let has_fetch = self.fetch.as_ref().is_some_and(|fetch| !fetch.is_over());
        if has_session || has_fetch || !matches!(message, ToGateway::Ping | ToGateway::Pong | ToGateway::Took { .. }) {
            self.idle = None;
            return Ok(());
        }
        let since = *self.idle.get_or_insert_with(Instant::now);
        if since.elapsed() < self.house.options.idle {
            return Ok(());
        }
        Err(Refused::unavailable("nothing is under way, and nothing was asked for: connect again when there is"))
    }

    fn describe(&self, job: JobId) -> Result<ToClient, Refused> {
        let (summary, errors) = self.house.calls.query(|query, deadline| query.describe(job, deadline))?;
        Ok(ToClient::Job { summary, errors })
    }

    fn start(&mut self, job: JobId, spec: &JobSpec) -> Result<(), Stop> {
        // The one before must not hear of this one as of another's.
        if let Some(before) = self.post.set_session(None) {
            self.leave(&before);
        }
        let House { calls, topology, registry, .. } = &*self.house;
        let id = unique();
        let attached = calls.query(|query, deadline| query.attach(job, id, Some(spec), deadline))?;
        let session = Arc::new(Session::new(attached, topology, self.post.news())?);
        registry.add(session.clone());
        self.post.set_session(Some(session));
        Ok(())
    }

    fn leave(&self, session: &Session) {
        session.leave();
        self.house.registry.wake();
    }

    fn session(&self) -> Result<Arc<Session>, Refused> {
        self.post.session().ok_or(Refused::protocol("data without a session"))
    }

    fn chunk(&mut self, table: u16, seq: u64, (at, next): (Place, Place), bytes: u32) -> Result<(), Stop> {
        let session = self.session()?;
        let expected = session.expect_chunk(table, seq, at, bytes)?;
        if !session.wait_for_room(self.post.closed()) {
            return Ok(()); // it has closed
        }
        let Some((source, meta)) = expected else { return Ok(self.receiver.skip_payload()?) };
        let buffer = self.house.entrance.buffer();
        let receiver = &mut self.receiver;
        let made = chunk_frame(session.head(), source, seq, buffer, |payload| -> Result<_, Stop> {
            receiver.payload(payload)?;
            meta.append(payload)?;
            Ok(Some(()))
        })?;
        let frame = made.map(|(frame, ())| frame).unwrap_or_default();
        self.enter(&session, table, Some(next), frame);
        Ok(())
    }

    fn finish(&self, table: u16, chunks: u64) -> Result<(), Stop> {
        let session = self.session()?;
        let Some(source) = session.expect_end(table, chunks)? else { return Ok(()) };
        if session.wait_for_room(self.post.closed()) {
            let frame = end_frame(session.head(), source, chunks)?;
            self.enter(&session, table, None, frame);
        }
        Ok(())
    }

    fn enter(&self, session: &Arc<Session>, table: u16, next: Option<Place>, frame: Vec<u8>) {
        if let Some(ticket) = session.take(table, next) {
            // False only where the connection closes: the client sends it again.
            self.house.entrance.enter(Chunk { ticket, body: Bytes::from(frame) }, self.post.closed());
        }
    }

    fn results(&mut self, job: JobId, have: &[(String, u64)]) -> Result<(), Stop> {
        if let Some(fetch) = self.fetch.take() {
            fetch.end();
        }
        let head = match self.post.session().filter(|session| session.job() == job) {
            Some(session) => {
                session.leave_end_to_results();
                session.head().clone()
            }
            None => self.house.calls.query(|query, deadline| query.attach(job, unique(), None, deadline))?.head,
        };
        let fetch = Fetch::start(&self.house, &self.post, &self.pieces, &head, have);
        self.fetch = Some(fetch.map_err(|_| Refused::unavailable("no thread is left for the results"))?);
        Ok(())
    }
}
