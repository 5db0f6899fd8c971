//! Who wants to hear of which job: the sessions, and those who wait for results.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use coffee_core::frame::JobId;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::session::Session;

/// The sessions and watches of a gateway.
pub(super) struct Registry {
    sessions: Mutex<Vec<Arc<Session>>>,
    watches: Mutex<Vec<Weak<Watch>>>,
    /// Wakes the keeper.
    wake: Sender<()>,
}

/// Tokens come when something happens to a job, until this is dropped.
pub(super) struct Watch {
    job: JobId,
    token: (Sender<()>, Receiver<()>),
}

impl Watch {
    /// A token comes when something has happened.
    pub fn changed(&self) -> &Receiver<()> {
        &self.token.1
    }
}

impl Registry {
    pub fn new(wake: Sender<()>) -> Self {
        Registry { sessions: Mutex::default(), watches: Mutex::default(), wake }
    }

    /// Adds a session: it is kept until [`Session::is_gone`].
    pub fn add(&self, session: Arc<Session>) {
        lock(&self.sessions).push(session);
    }

    /// Those of a job.
    pub fn of(&self, job: JobId) -> Vec<Arc<Session>> {
        lock(&self.sessions).iter().filter(|session| session.job() == job).cloned().collect()
    }

    /// All that there are, those left out that nobody needs any more.
    pub fn sweep(&self) -> Vec<Arc<Session>> {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|session| !session.is_gone());
        sessions.clone()
    }

    /// Makes the keeper look at the sessions.
    pub fn wake(&self) {
        let _ = self.wake.try_send(()); // full: it will look anyway
    }

    /// Watches a job.
    pub fn watch(&self, job: JobId) -> Arc<Watch> {
        let watch = Arc::new(Watch { job, token: bounded(1) });
        let mut watches = lock(&self.watches);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&watch));
        watch
    }

    /// Something happened to a job.
    pub fn announce(&self, job: JobId) {
        let watches = lock(&self.watches);
        for watch in watches.iter().filter_map(Weak::upgrade).filter(|watch| watch.job == job) {
            let _ = watch.token.0.try_send(()); // full: it will look anyway
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
