//! Sees to it that a server node ends soon after it was asked to, whatever its broker does.
//!
//! ```text
//! asked      GRACE          the work ends in its time: then the broker is closed, in order
//!   |----------|-- cut      it does not: the broker is closed under it, which ends all waits for it
//!   |---------------- last  some wait has not ended by that: the process ends
//! ```
//! All of it counts from the moment at which the node was asked, so nothing adds up. What is cut off is not lost: a node can
//! be killed at any time.

use std::{
    convert::Infallible,
    io, process,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coffee_mom::Broker;
use coffee_nodes::{Stop, cluster::GRACE, orders::RESTARTED};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::{info, warn};
use parking_lot::Mutex;

use super::ready_file::ReadyFile;

/// A course of events, from the stop on.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// When the broker is closed also under those who wait for it.
    cut: Duration,
    /// When the process ends anyway.
    last: Duration,
}

/// Of a node that works: what it has in hand gets its grace, and some more to be put down. A second of the five is left to a
/// machine that is busy.
const WORKING: Course = Course { cut: GRACE.saturating_add(Duration::from_millis(300)), last: Duration::from_secs(4) };

/// Of a node that is not ready: it has nothing in hand.
const STARTING: Course = Course { cut: Duration::ZERO, last: Duration::from_secs(2) };

/// How long a broker is waited for to close. One that hangs while it is connected to takes a second more.
const CLOSE: Duration = Duration::from_millis(700);

/// How the work came to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// By itself, or in the time that it had after the stop.
    #[default]
    OfItself,
    /// It was asked to stop, and then its broker was closed under it: what failed after that may have failed by it.
    CutOff,
}

/// What closes the broker, on a thread of its own, `closing`; joined, once it has closed it, where this is dropped.
pub struct Closing {
    shared: Arc<Mutex<Shared>>,
    /// Dropped when the work has ended.
    working: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    broker: Option<Arc<dyn Broker>>,
    ready: bool,
    end: End,
}

impl Closing {
    /// Starts to wait for `asked`, which triggers `stop`; or for `stop`, where the work is at its end by itself, or by `restart`. Until there
    /// is [a broker](Self::keep) to be closed there is nothing to be put down: then the process ends as soon as it is asked.
    /// From the stop or the end on there is no `ready_file`.
    pub fn start(asked: &Stop, restart: &Stop, stop: &Stop, ready_file: &Arc<ReadyFile>) -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (working, ended) = bounded(0);
        let (asked, restart, stop) = (asked.clone(), restart.clone(), stop.clone());
        let waiting = Waiting { shared: shared.clone(), asked, restart, stop, ready_file: ready_file.clone(), ended };
        let thread = thread::Builder::new().name("closing".into()).spawn(move || waiting.run())?;
        Ok(Closing { shared, working: Some(working), thread: Some(thread) })
    }

    /// The broker that is to be closed.
    pub fn keep(&self, broker: Arc<dyn Broker>) {
        self.shared.lock().broker = Some(broker);
    }

    /// The node works: from now on it has something in hand.
    pub fn ready(&self) {
        self.shared.lock().ready = true;
    }

    /// The work has ended: closes the broker, if that is not done.
    pub fn end(self) -> End {
        let shared = self.shared.clone();
        drop(self);
        shared.lock().end
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        drop(self.working.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic was told on stderr
        }
    }
}

/// The thread's own.
struct Waiting {
    shared: Arc<Mutex<Shared>>,
    asked: Stop,
    /// Triggered before `stop` where the node was ordered to restart: as good as asked, but for how the process ends.
    restart: Stop,
    stop: Stop,
    ready_file: Arc<ReadyFile>,
    ended: Receiver<Infallible>,
}

impl Waiting {
    fn run(self) {
        select! {
            recv(self.asked.receiver()) -> _ => {}
            recv(self.stop.receiver()) -> _ => {}
            recv(self.ended) -> _ => {}
        }
        self.ready_file.remove();
        // It may have ended and been asked at once: what it came to then is its own.
        if self.has_ended(Instant::now()) {
            return self.close();
        }
        let course = self.begin();
        let since = self.asked.since().or_else(|| self.stop.since()).unwrap_or_else(Instant::now);
        if !self.has_ended(since + course.cut) {
            self.cut_off();
        }
        self.close();
        if !self.has_ended(since + course.last) {
            warn!("not all that the node does has ended: it is left as it is");
            process::exit(match (self.asked.is_triggered(), self.restart.is_triggered()) {
                (true, _) => 0,
                (false, true) => RESTARTED.into(),
                (false, false) => 1,
            });
        }
    }

    /// Lets all know of the stop, and tells what course it takes.
    fn begin(&self) -> Course {
        let shared = self.shared.lock();
        let (ready, broker) = (shared.ready, shared.broker.is_some());
        drop(shared);
        if !broker && self.asked.is_triggered() {
            process::exit(0);
        }
        if !ready {
            // Before anybody can see the stop and fail by it.
            self.cut_off();
        }
        self.stop.trigger();
        if ready { WORKING } else { STARTING }
    }

    fn cut_off(&self) {
        if self.asked.is_triggered() || self.restart.is_triggered() {
            self.shared.lock().end = End::CutOff;
        }
    }

    fn close(&self) {
        let Some(broker) = self.shared.lock().broker.take() else { return };
        if let Err(error) = broker.close(Instant::now() + CLOSE) {
            info!("the broker was not closed in order: {error}");
            // The drop of the last one would try it again. Its threads end with the process.
            std::mem::forget(broker);
        }
    }

    fn has_ended(&self, by: Instant) -> bool {
        self.ended.recv_deadline(by) == Err(RecvTimeoutError::Disconnected)
    }
}
