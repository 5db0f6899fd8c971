//! The thread that fetches a job's results, piece by piece, as they become complete, and sends them on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use coffee_core::{
    frame::{JobHead, JobId, Port},
    plan::Topology,
};
use coffee_mom::rpc::CallError;
use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{
    House,
    post::{Letter, Post},
    refused::Refused,
    registry::Watch,
};
use crate::{
    Stop,
    cluster::{ResultsError, ResultsReply, ResultsRequest},
    job::JobState,
    trail::Trail,
    wire::{RESULT_WINDOW, Refusal, ToClient},
};

/// How long it waits before it asks again for what is not there.
const POLL: Duration = Duration::from_secs(1);

/// The pieces that went over one connection.
pub(super) struct Pieces {
    sent: AtomicU64,
    took: AtomicU64,
    /// A token when some were taken.
    wake: (Sender<()>, Receiver<()>),
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces { sent: AtomicU64::default(), took: AtomicU64::default(), wake: bounded(1) }
    }
}

impl Pieces {
    /// The client keeps so many in all; false where it never got so many.
    pub fn took(&self, pieces: u64) -> bool {
        if pieces > self.sent.load(Ordering::SeqCst) {
            return false;
        }
        self.took.fetch_max(pieces, Ordering::SeqCst);
        let _ = self.wake.0.try_send(()); // full: it will look anyway
        true
    }

    /// How many the client has taken, and how many it has not.
    fn taken_and_not(&self) -> (u64, u64) {
        let took = self.took.load(Ordering::SeqCst);
        (took, self.sent.load(Ordering::SeqCst).saturating_sub(took))
    }
}

/// A fetch under way.
pub(super) struct Fetch {
    stop: Stop,
    thread: JoinHandle<()>,
}

impl Fetch {
    /// Starts to fetch the results of a job, which is the client's `own` or another's, but for the pieces that the client has.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        house: &Arc<House>,
        post: &Arc<Post>,
        pieces: &Arc<Pieces>,
        (head, own): (&JobHead, bool),
        have: &[(String, u64)],
    ) -> io::Result<Self> {
        let stop = Stop::new();
        let fetcher = Fetcher {
            sinks: sinks(&house.topology, head, have),
            watch: house.registry.watch(head.job),
            job: head.job,
            own,
            house: house.clone(),
            post: post.clone(),
            pieces: pieces.clone(),
            stop: stop.clone(),
        };
        let thread = Builder::new().name("gateway results".into()).spawn(move || fetcher.run())?;
        Ok(Fetch { stop, thread })
    }

    /// Whether there is nothing more to be sent.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it; waits for at most a call.
    pub fn end(self) {
        self.stop.trigger();
        // A panic was told on stderr; there is nothing to be saved from it.
        let _ = self.thread.join();
    }
}

/// The sinks that a job asks for, in plan order, and the rejected rows.
fn sinks(topology: &Topology, head: &JobHead, have: &[(String, u64)]) -> Vec<Sink> {
    let asked = topology.plan().sinks().enumerate().filter(|(at, _)| head.sinks.contains(*at)).map(|(_, name)| name);
    let sink = |name: &str| {
        let next = have.iter().find(|(sink, _)| sink == name).map_or(0, |(_, pieces)| *pieces);
        Some(Sink { name: name.to_owned(), port: topology.port_of(name)?, next, phase: Phase::Ready })
    };
    asked.chain(["rejected"]).filter_map(sink).collect()
}

struct Sink {
    name: String,
    port: Port,
    next: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Ready,
    Missing,
    Sent,
}

/// Why a fetch ends early: the connection closes or another fetch begins, or the job has no results.
enum End {
    Stopped,
    Ended(JobState),
    Refused(Refused),
}

struct Fetcher {
    house: Arc<House>,
    post: Arc<Post>,
    pieces: Arc<Pieces>,
    job: JobId,
    own: bool,
    sinks: Vec<Sink>,
    watch: Arc<Watch>,
    stop: Stop,
}

impl Fetcher {
    fn run(mut self) {
        let said = match self.fetch() {
            Err(End::Stopped) => return,
            Err(End::Ended(state)) => self.post.say(ToClient::Ended { state, counts: Vec::new() }),
            Err(End::Refused(refused)) => self.post.say(refused.message()),
            Ok(()) => true,
        };
        let trail = Trail::node(self.job, &self.house.options.name);
        log::info!("{trail} its results are {}", if said { "sent" } else { "given up" });
    }

    fn fetch(&mut self) -> Result<(), End> {
        while self.sinks.iter().any(|sink| sink.phase != Phase::Sent) {
            if !self.send_ready()? {
                self.wait_for_more()?;
                self.sinks
                    .iter_mut()
                    .filter(|sink| sink.phase == Phase::Missing)
                    .for_each(|sink| sink.phase = Phase::Ready);
            }
        }
        self.conclude()
    }

    /// Sends a piece of each result that is complete; false where none is.
    fn send_ready(&mut self) -> Result<bool, End> {
        let mut sent = false;
        for at in 0..self.sinks.len() {
            self.wait_for_room()?;
            sent |= self.send_piece(at)?;
        }
        Ok(sent)
    }

    fn send_piece(&mut self, at: usize) -> Result<bool, End> {
        let Some(sink) = self.sinks.get_mut(at).filter(|sink| sink.phase == Phase::Ready) else { return Ok(false) };
        let (name, number) = (sink.name.clone(), sink.next);
        let reply = self.house.calls.results(&ResultsRequest::Piece { job: self.job, port: sink.port, number });
        let letter = match reply {
            Ok(ResultsReply::Piece { payload, last }) => {
                sink.next += 1;
                sink.phase = if last { Phase::Sent } else { Phase::Ready };
                self.pieces.sent.fetch_add(1, Ordering::SeqCst);
                Letter { message: ToClient::Piece { sink: name, number, last }, payload }
            }
            Ok(ResultsReply::Failed { reason }) => {
                sink.phase = Phase::Sent;
                Letter { message: ToClient::NoResult { sink: name, reason }, payload: Vec::new() }
            }
            // The results node may not have heard of the job yet, or not be there: it is asked again.
            Ok(_) | Err(_) => {
                sink.phase = Phase::Missing;
                return match reply {
                    Err(CallError::Handler(ResultsError::UnknownJob(_))) => self.check_unknown(),
                    _ => Ok(false),
                };
            }
        };
        if self.post.send(letter) { Ok(true) } else { Err(End::Stopped) }
    }

    /// The results node knows nothing of the job: that is the end where the job has ended.
    fn check_unknown(&self) -> Result<bool, End> {
        match self.state()? {
            JobState::Done => Err(End::Refused(Refused::new(Refusal::UnknownJob, "no results of the job are kept"))),
            _ => Ok(false),
        }
    }

    /// All is sent: what was counted, how the job ended, and that its owner has it all: nobody else's fetch shortens the time
    /// for which results are kept.
    fn conclude(&mut self) -> Result<(), End> {
        let counts = loop {
            match self.house.calls.results(&ResultsRequest::Counts { job: self.job }) {
                Ok(ResultsReply::Counts(counts)) => break counts,
                _ => self.wait_for_more()?,
            }
        };
        let state = loop {
            match self.state()? {
                state if state.is_ended() => break state,
                _ => self.wait_for_more()?,
            }
        };
        // Whoever has no session of the job was not told of its work before, and does not wait for it.
        let session = self.post.session().filter(|session| session.job() == self.job);
        let stages = session.map(|session| session.fed(&self.house.lookout.work(self.job))).unwrap_or_default();
        if !stages.is_empty() {
            self.post.say(ToClient::Work { stages });
        }
        if !self.post.say(ToClient::Ended { state, counts }) {
            return Err(End::Stopped);
        }
        self.wait_until_untaken(0)?;
        while self.own && self.house.calls.results(&ResultsRequest::Taken { job: self.job }).is_err() {
            self.wait_for_more()?;
        }
        Ok(())
    }

    /// How far the job is; an end without results is the fetch's.
    fn state(&self) -> Result<JobState, End> {
        match self.house.calls.query(|query, deadline| query.state(self.job, deadline)) {
            Ok(state @ (JobState::Failed { .. } | JobState::Cancelled)) => Err(End::Ended(state)),
            Ok(state) => Ok(state),
            Err(refused) if refused.closes() => Ok(JobState::Running), // not known: asked again
            Err(refused) => Err(End::Refused(refused)),
        }
    }

    /// Waits until something has happened to the job, or may have. An end without results is the fetch's.
    fn wait_for_more(&self) -> Result<(), End> {
        select! {
            recv(self.watch.changed()) -> _ => {}
            recv(self.stop.receiver()) -> _ => return Err(End::Stopped),
            recv(self.post.closed().receiver()) -> _ => return Err(End::Stopped),
            default(POLL) => {}
        }
        self.state().map(|_| ())
    }

    fn wait_for_room(&self) -> Result<(), End> {
        self.wait_until_untaken(u64::from(RESULT_WINDOW) - 1)
    }

    /// Waits until the client has taken all but so many pieces. One that takes none for too long is sent away, whatever else
    /// it says: what it has taken it need not fetch again.
    fn wait_until_untaken(&self, most: u64) -> Result<(), End> {
        let take = self.house.options.take;
        let (mut known, mut deadline) = (0, Instant::now() + take);
        loop {
            let (took, untaken) = self.pieces.taken_and_not();
            if self.stop.is_triggered() {
                return Err(End::Stopped);
            }
            if untaken <= most {
                return Ok(());
            }
            if took > known {
                (known, deadline) = (took, Instant::now() + take);
            }
            if Instant::now() >= deadline {
                self.post.close(Some(Refused::unavailable("the client takes no more pieces of results")));
                return Err(End::Stopped);
            }
            select! {
                recv(self.pieces.wake.1) -> _ => {}
                recv(self.stop.receiver()) -> _ => {}
                recv(self.post.closed().receiver()) -> _ => return Err(End::Stopped),
                default(deadline.saturating_duration_since(Instant::now())) => {}
            }
        }
    }
}
