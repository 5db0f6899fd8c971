//! The thread that reads from a client, and does what it asks.

use std::{sync::Arc, time::Instant};

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
    access::{Held, Visit},
    chunk::{chunk_frame, end_frame},
    cluster::QueryClient,
    job::{JobSpec, JobState, JobSummary, Place},
    trail::Trail,
    unique::unique,
    wire::{Receiver, ToClient, ToGateway, WireError},
};

/// As how many requests one counts that changes a job: it is written to the query node's disk, and told to all nodes.
const CHANGE: u32 = 10;

/// Each so many bytes of a request count as one more (64 KiB).
const WEIGHED: u32 = 64 << 10;

/// Why data is refused that has waited for too long.
const TOO_MUCH: &str = "more data comes of this client than it may send: try again later";

/// What one client says.
pub(super) struct Conversation<'a> {
    house: Arc<House>,
    visit: &'a Visit,
    receiver: &'a mut Receiver,
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
    /// It is refused, and the conversation is over: what comes next is not to be read.
    Last(Refused),
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

impl<'a> Conversation<'a> {
    pub fn new(house: Arc<House>, visit: &'a Visit, receiver: &'a mut Receiver, post: Arc<Post>) -> Self {
        Conversation { house, visit, receiver, post, pieces: Arc::default(), fetch: None, idle: None }
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
                    self.tell_limited(&refused);
                    self.post.say(refused.message());
                }
                Err(Stop::Refused(refused) | Stop::Last(refused)) => {
                    self.tell_limited(&refused);
                    self.post.close(Some(refused));
                }
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

    fn answer(&mut self, message: ToGateway, payload: u32) -> Result<(), Stop> {
        if payload > 0 && !matches!(message, ToGateway::Chunk { .. }) {
            return Err(Refused::protocol("a payload where none belongs").into());
        }
        self.check_idle(&message)?;
        self.check_pace(&message)?;
        let caller = self.visit.caller();
        let reply = match message {
            ToGateway::Hello { .. } => return Err(Refused::protocol("a second hello").into()),
            ToGateway::Begin { request, spec } => {
                let job = self.house.calls.query(|query, deadline| query.begin(caller, request, &spec, deadline))?;
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
                self.house.calls.query(|query, deadline| query.cancel(caller, job, deadline))?;
                let cancelled = self.describe(job)?;
                self.tell_cancelled(&cancelled);
                cancelled
            }
            ToGateway::List => {
                let jobs = self.house.calls.query(|query, deadline| query.list(caller, deadline))?;
                ToClient::Jobs { jobs }
            }
            ToGateway::Order { node, life, order } => {
                caller.demand_operator().map_err(Refused::from)?;
                self.house.lookout.order(&node, life, order)?;
                log::warn!("{} orders node {node}: {order}", caller.owner);
                ToClient::Ordered
            }
            ToGateway::Overview => {
                caller.demand_operator().map_err(Refused::from)?;
                ToClient::Overview(Box::new(self.house.lookout.overview()))
            }
            ToGateway::Describe { job } => self.describe(job)?,
            ToGateway::Bye => return Err(Stop::Over),
        };
        self.post.say(reply);
        Ok(())
    }

    fn tell_limited(&self, refused: &Refused) {
        if refused.is_limit {
            self.visit.tell_limited(&refused.text);
        }
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

    /// Holds a client back that asks faster than one may, and refuses it then what would have to wait for longer. What carries data,
    /// or takes it, has a pace of its own.
    fn check_pace(&self, message: &ToGateway) -> Result<(), Refused> {
        let weight = match message {
            ToGateway::Chunk { .. } | ToGateway::Took { .. } => return Ok(()),
            ToGateway::Begin { .. } | ToGateway::Start { .. } | ToGateway::Cancel { .. } => CHANGE,
            _ => 1,
        };
        let (wait, too_fast) = match self.visit.request(weight + self.receiver.length() / WEIGHED) {
            Ok(wait) => (wait, false),
            Err(wait) => (wait, true),
        };
        self.post.closed().wait(wait);
        if too_fast {
            return Err(Refused::limited("too many requests of this client: try again later"));
        }
        Ok(())
    }

    /// Logs an end that is not the owner's doing. Only an operator is told whose a job is.
    fn tell_cancelled(&self, cancelled: &ToClient) {
        let asks = &self.visit.caller().owner;
        if let ToClient::Job { summary: JobSummary { job, owner: Some(owner), state: JobState::Cancelled, .. }, .. } =
            cancelled
            && owner != asks
        {
            let trail = Trail::node(*job, &self.house.options.name);
            log::warn!("{trail} {asks} has cancelled it, though it is of {owner}");
        }
    }

    fn describe(&self, job: JobId) -> Result<ToClient, Refused> {
        let caller = self.visit.caller();
        let (summary, errors) = self.house.calls.query(|query, deadline| query.describe(caller, job, deadline))?;
        Ok(ToClient::Job { summary, errors })
    }

    fn start(&mut self, job: JobId, spec: &JobSpec) -> Result<(), Stop> {
        // The one before must not hear of this one as of another's.
        if let Some(before) = self.post.set_session(None) {
            self.leave(&before);
        }
        let House { calls, topology, registry, options, .. } = &*self.house;
        let id = unique();
        let attached =
            calls.query(|query, deadline| query.attach(self.visit.caller(), job, id, Some(spec), deadline))?;
        let chunks: u64 = attached.marks.iter().map(|mark| mark.next).sum();
        let session = Arc::new(Session::new(attached, topology, self.post.news())?);
        log::info!("{} its client is here, {chunks} chunks are confirmed", Trail::node(job, &options.name));
        registry.add(session.clone());
        self.post.set_session(Some(session));
        Ok(())
    }

    fn leave(&self, session: &Session) {
        log::info!("{} its client has left", Trail::node(session.job(), &self.house.options.name));
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
        // Not read meanwhile, the client is held back by its own socket.
        match self.visit.hold_back(bytes.into(), self.post.closed()) {
            Held::GoesOn => {}
            Held::Stopped => return Ok(()),
            Held::Refused => return Err(Stop::Last(Refused::limited(TOO_MUCH))),
        }
        let Some((source, meta)) = expected else { return Ok(self.receiver.skip_payload()?) };
        let buffer = self.house.entrance.buffer();
        let receiver = &mut *self.receiver;
        let made = chunk_frame(session.head(), source, seq, buffer, |payload| -> Result<_, Stop> {
            receiver.payload(payload)?;
            meta.append(payload)?;
            Ok(Some(()))
        })?;
        let frame = made.map(|(frame, ())| frame).unwrap_or_default();
        self.enter(&session, table, Some(next), bytes, frame);
        Ok(())
    }

    fn finish(&self, table: u16, chunks: u64) -> Result<(), Stop> {
        let session = self.session()?;
        let Some(source) = session.expect_end(table, chunks)? else { return Ok(()) };
        if session.wait_for_room(self.post.closed()) {
            let frame = end_frame(session.head(), source, chunks)?;
            self.enter(&session, table, None, 0, frame);
        }
        Ok(())
    }

    fn enter(&self, session: &Arc<Session>, table: u16, next: Option<Place>, bytes: u32, frame: Vec<u8>) {
        if let Some(ticket) = session.take(table, next, bytes.into()) {
            // False only where the connection closes: the client sends it again.
            self.house.entrance.enter(Chunk { ticket, body: Bytes::from(frame) }, self.post.closed());
        }
    }

    fn results(&mut self, job: JobId, have: &[(String, u64)]) -> Result<(), Stop> {
        if let Some(fetch) = self.fetch.take() {
            fetch.end();
        }
        let (head, own) = match self.post.session().filter(|session| session.job() == job) {
            Some(session) => {
                session.leave_end_to_results();
                (session.head().clone(), session.is_own())
            }
            None => {
                let attach =
                    |query: &QueryClient, deadline| query.attach(self.visit.caller(), job, unique(), None, deadline);
                let attached = self.house.calls.query(attach)?;
                (attached.head, attached.own)
            }
        };
        let fetch = Fetch::start(&self.house, &self.post, &self.pieces, (&head, own), have);
        self.fetch = Some(fetch.map_err(|_| Refused::unavailable("no thread is left for the results"))?);
        Ok(())
    }
}
