//! What is to be said to one client: the threads of its connection put it here, one of them writes it.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{refused::Refused, session::Session};
use crate::{Stop, wire::ToClient};

/// Letters that wait to be written, as some hold a piece of a result; whoever has more waits.
const WAITING: usize = 2;

/// A message and its payload.
pub(super) struct Letter {
    pub message: ToClient,
    pub payload: Vec<u8>,
}

/// One connection's post.
pub(super) struct Post {
    letters: Sender<Letter>,
    news: Sender<()>,
    session: Mutex<Option<Arc<Session>>>,
    closed: Stop,
    last: Mutex<Option<Refused>>,
}

/// What the writing thread takes from.
pub(super) struct Letters {
    pub letters: Receiver<Letter>,
    /// A token when the session has news.
    pub news: Receiver<()>,
}

impl Post {
    pub fn new() -> (Self, Letters) {
        let (letters, taken) = bounded(WAITING);
        let (token, news) = bounded(1);
        let post =
            Post { letters, news: token, session: Mutex::default(), closed: Stop::new(), last: Mutex::default() };
        (post, Letters { letters: taken, news })
    }

    /// Says something, waiting while the client does not read; false where the connection closes.
    pub fn say(&self, message: ToClient) -> bool {
        self.send(Letter { message, payload: Vec::new() })
    }

    /// Sends a letter, waiting while the client does not read; false where the connection closes.
    pub fn send(&self, letter: Letter) -> bool {
        select! {
            send(self.letters, letter) -> sent => sent.is_ok(),
            recv(self.closed.receiver()) -> _ => false,
        }
    }

    /// By which a session says that it has news.
    pub fn news(&self) -> Sender<()> {
        self.news.clone()
    }

    /// The session whose news are told.
    pub fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    /// Tells this session's news from now on; returns the one before.
    pub fn set_session(&self, session: Option<Arc<Session>>) -> Option<Arc<Session>> {
        let before = std::mem::replace(&mut *lock(&self.session), session);
        let _ = self.news.try_send(()); // full: it will look anyway
        before
    }

    /// Closes the connection, with a last word. What was said before is still written.
    pub fn close(&self, last: Option<Refused>) {
        let mut word = lock(&self.last);
        if !self.closed.is_triggered() {
            *word = last;
        }
        drop(word);
        self.closed.trigger();
    }

    /// Triggered once the connection closes.
    pub fn closed(&self) -> &Stop {
        &self.closed
    }

    /// The last word, once.
    pub fn last_word(&self) -> Option<Refused> {
        lock(&self.last).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
