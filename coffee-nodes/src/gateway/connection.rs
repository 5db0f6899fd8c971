//! One connection, from its greeting to its end.

use std::{
    cell::Cell,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel as channel;

use super::{
    House,
    conversation::Conversation,
    post::{Letters, Post},
    refused::{Refused, last_word},
    writing,
};
use crate::{
    access::{Caller, Visit},
    wire::{Breaker, Receiver, Refusal, Sender, ToClient, ToGateway, WireError, greet},
};

/// The most bytes of the first message: nobody knows yet who sends it.
const HELLO: u32 = 4096;

/// How long the other side may take to close a connection that has ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a gateway takes no more clients.
pub(super) const NO_ROOM: &str = "the gateway has as many connections as it takes";

/// Why it takes no more connections of one.
const TOO_MANY: &str = "there are as many connections of this client as one may have";

/// Who is at the door.
#[derive(Clone, Copy)]
pub(super) struct Guest {
    pub number: u64,
    pub peer: SocketAddr,
    /// Whether there is a place for it; else it is told that there is none.
    pub has_place: bool,
}

/// Why a guest is not let in.
struct TurnedAway {
    /// For the log; `None` where it has left by itself.
    why: Option<String>,
    /// The last word to it, if it is to have one.
    word: Option<Refused>,
}

impl From<WireError> for TurnedAway {
    fn from(error: WireError) -> Self {
        let left = matches!(error, WireError::Closed | WireError::Io(_));
        TurnedAway { why: (!left).then(|| error.to_string()), word: last_word(&error) }
    }
}

impl From<Refused> for TurnedAway {
    fn from(refused: Refused) -> Self {
        TurnedAway { why: Some(refused.text.clone()), word: Some(refused) }
    }
}

/// An open connection, as whoever accepted it sees it.
pub(super) struct Connection {
    post: Arc<Post>,
    breaker: Arc<Breaker>,
    guest: Guest,
    /// Whether it is not known whose it is.
    stranger: Arc<AtomicBool>,
    /// Whether it was ended from here, and so is about to be over.
    cut: Cell<bool>,
    thread: JoinHandle<()>,
}

impl Connection {
    /// Serves a client on threads of its own, which drop `open` when they end.
    ///
    /// # Errors
    /// Where the system refuses; the connection is closed.
    pub fn open(
        house: Arc<House>,
        (sender, receiver): (Sender, Receiver),
        guest: Guest,
        open: channel::Sender<Infallible>,
    ) -> Result<Self, WireError> {
        let (post, letters) = Post::new();
        let (post, breaker) = (Arc::new(post), Arc::new(sender.breaker()));
        let stranger = Arc::new(AtomicBool::new(true));
        let (served, broken, known) = (post.clone(), breaker.clone(), stranger.clone());
        let thread = thread::Builder::new().name(format!("gateway reading {}", guest.number)).spawn(move || {
            let _open = open;
            if let Err(error) = serve(house, (sender, receiver), &served, letters, guest, &known) {
                log::warn!("a connection is given up: {error}");
            }
            broken.shutdown();
        });
        let cut = Cell::new(false);
        Ok(Connection { post, breaker, guest, stranger, cut, thread: thread.map_err(WireError::Io)? })
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells the client to try elsewhere, and closes.
    pub fn send_away(&self) {
        self.post.close(Some(Refused::unavailable("the gateway is stopping")));
    }

    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.guest.peer
    }

    /// Whether nothing is known of it but where it comes from.
    pub fn is_stranger(&self) -> bool {
        self.stranger.load(Ordering::Relaxed) && !self.cut.get()
    }

    /// Whether another can't have its place.
    pub fn has_place(&self) -> bool {
        self.guest.has_place && !self.cut.get()
    }

    /// Ends it, whatever the client does.
    pub fn cut(&self) {
        self.cut.set(true);
        self.post.close(None);
        self.breaker.shutdown();
    }

    /// Waits until it has ended.
    pub fn join(self) {
        // A panic was told on stderr; there is nothing to be saved from it.
        let _ = self.thread.join();
    }
}

fn serve(
    house: Arc<House>,
    (mut sender, mut receiver): (Sender, Receiver),
    post: &Arc<Post>,
    letters: Letters,
    guest: Guest,
    stranger: &AtomicBool,
) -> io::Result<()> {
    let welcomed = welcome(&house, &mut sender, &mut receiver, post, guest, stranger);
    let welcomed = welcomed.map_err(|TurnedAway { why, word }| {
        why.iter().for_each(|why| house.tell_turned_away(guest.peer, why));
        // For the last word, as the deadline may have passed.
        sender.set_patience(FAREWELL);
        post.close(word);
    });
    let (writes, ping) = (post.clone(), house.options.ping);
    let writing = thread::Builder::new()
        .name(format!("gateway writing {}", guest.number))
        .spawn(move || writing::write(sender, &letters, &writes, ping))?;
    // Counted until the connection is closed.
    let visit = welcomed.ok();
    if let Some(visit) = &visit {
        Conversation::new(house, visit, &mut receiver, post.clone()).run();
    }
    // A panic was told on stderr; there is nothing to be saved from it.
    let _ = writing.join();
    // So that the last word arrives.
    receiver.drain(FAREWELL);
    Ok(())
}

/// Hears who the client is.
fn welcome(
    house: &House,
    sender: &mut Sender,
    receiver: &mut Receiver,
    post: &Post,
    guest: Guest,
    stranger: &AtomicBool,
) -> Result<Visit, TurnedAway> {
    let options = &house.options;
    // One for all of it: the TLS handshake, the greeting, the hello and the welcome.
    let deadline = Instant::now() + options.handshake;
    sender.set_deadline(deadline);
    receiver.set_deadline(deadline);
    greet(sender, receiver)?;
    receiver.set_limit(HELLO);
    let token = match receiver.next()? {
        (ToGateway::Hello { token }, 0) => token,
        _ => return Err(Refused::protocol("the first message is no hello").into()),
    };
    if !guest.has_place {
        return Err(Refused::new(Refusal::Full, NO_ROOM).into());
    }
    let visit = admit(house, guest.peer, token.as_deref()).inspect_err(|_| {
        // Who comes again and again gains nothing by being fast.
        post.closed().wait(options.handshake / 10);
    })?;
    // Before it knows that it is welcome: from then on nobody else's coming ends it.
    stranger.store(false, Ordering::Relaxed);
    sender.put(&ToClient::Welcome)?;
    sender.flush()?;
    receiver.set_limit(u32::MAX);
    sender.set_patience(options.patience);
    receiver.set_patience(options.patience);
    Ok(visit)
}

/// Whose connection it is: by its token where the cluster asks for one, else by its address.
fn admit(house: &House, peer: SocketAddr, token: Option<&str>) -> Result<Visit, TurnedAway> {
    let caller = match &house.options.tokens {
        Some(tokens) => tokens.caller(token).map_err(Refused::from)?,
        None => Caller::of_peer(peer.ip()),
    };
    house.clients.enter(caller).map_err(|Caller { owner, .. }| TurnedAway {
        why: Some(format!("{TOO_MANY}: {owner}")),
        word: Some(Refused::new(Refusal::Full, TOO_MANY)),
    })
}

impl House {
    /// Logs that somebody is not let in: once in a while, as strangers may come as often as they like.
    pub fn tell_turned_away(&self, peer: SocketAddr, why: &str) {
        self.turned_away.warn(|| format!("{peer} is not let in: {why}"));
    }
}
