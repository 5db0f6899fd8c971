//! One named thread that owns some sockets and moves on those that can be moved on.
//! Others reach its state only by jobs that run between two turns: no lock, and what a job has
//! changed holds for every byte that moves after it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use mio::{Evented, Events, Poll, PollOpt, Ready, Registration, SetReadiness, Token};

/// A thread answers a job between two turns, none of which blocks: only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Every turn tries all sockets, so an event says no more than that something happened.
const ANY: Token = Token(0);

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// What a driver drives.
pub(in crate::testing) trait Station: Send + 'static {
    /// Moves on whatever can be moved on without blocking.
    fn turn(&mut self) -> Next;
}

/// When the next turn is due, at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::testing) enum Next {
    /// When a socket or a job wants it.
    Event,
    /// After a time, also if nothing happens.
    After(Duration),
    /// At once: there is more to do.
    Now,
}

/// Tells the driver's thread about sockets.
#[derive(Clone)]
pub(in crate::testing) struct Sockets(Arc<Poll>);

impl Sockets {
    /// Has every change of `socket` cause a turn. Edges: a turn goes on until a call would block.
    pub(in crate::testing) fn watch(&self, socket: &impl Evented) -> io::Result<()> {
        self.0.register(socket, ANY, Ready::readable() | Ready::writable(), PollOpt::edge())
    }
}

/// The handle of the thread. Dropped, it stops the thread, joins it, and so closes its sockets.
pub(in crate::testing) struct Driver<S> {
    jobs: Option<Sender<Job<S>>>,
    waker: SetReadiness,
    thread: Option<JoinHandle<()>>,
}

impl<S: Station> Driver<S> {
    pub(in crate::testing) fn start(name: &str, make: impl FnOnce(Sockets) -> io::Result<S>) -> io::Result<Self> {
        let poll = Arc::new(Poll::new()?);
        let (waking, waker) = Registration::new2();
        poll.register(&waking, ANY, Ready::readable(), PollOpt::edge())?;
        let station = make(Sockets(poll.clone()))?;
        // A call waits for its job, so there is no more than one job a thread that calls.
        let (jobs, queue) = bounded(16);
        let turning = Turning { poll, jobs: queue, waker: waker.clone(), _waking: waking };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || turning.run(station))?;
        Ok(Self { jobs: Some(jobs), waker, thread: Some(thread) })
    }

    /// Runs `job` between two turns and gives back its answer; `None` if the thread has panicked.
    pub(in crate::testing) fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = bounded(1);
        let job: Job<S> = Box::new(move |station| {
            // Nobody listens any more if the caller has lost its patience.
            let _ = answer.send(job(station));
        });
        self.jobs.as_ref()?.send_timeout(job, PATIENCE).ok()?;
        self.wake();
        answered.recv_timeout(PATIENCE).ok()
    }
}

impl<S> Driver<S> {
    fn wake(&self) {
        if let Err(error) = self.waker.set_readiness(Ready::readable()) {
            log::error!("a test tool's thread can't be woken: {error}");
        }
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        self.jobs = None;
        self.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread of a test tool had panicked");
        }
    }
}

struct Turning<S> {
    poll: Arc<Poll>,
    jobs: Receiver<Job<S>>,
    waker: SetReadiness,
    /// Kept, as waking ends with it.
    _waking: Registration,
}

impl<S: Station> Turning<S> {
    fn run(self, mut station: S) {
        let mut events = Events::with_capacity(64);
        while self.work(&mut station) {
            let timeout = match station.turn() {
                Next::Event => None,
                Next::After(time) => Some(time),
                Next::Now => Some(Duration::ZERO),
            };
            let polled = self.poll.poll(&mut events, timeout).and_then(|_| self.waker.set_readiness(Ready::empty()));
            if let Err(error) = polled {
                log::error!("a test tool can't wait for its sockets: {error}");
                return;
            }
        }
    }

    /// Runs the jobs there are; `false` if there is nobody left to send one.
    fn work(&self, station: &mut S) -> bool {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => job(station),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}
