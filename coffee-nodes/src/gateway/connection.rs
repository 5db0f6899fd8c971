//! One connection, from its greeting to its end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel as channel;

use super::{
    House,
    conversation::Conversation,
    post::{Letters, Post},
    refused::{Refused, last_word},
    writing,
};
use crate::wire::{Breaker, Receiver, Refusal, Sender, ToClient, ToGateway, WireError, greet};

/// The most bytes of the first message: nobody knows yet who sends it.
const HELLO: u32 = 4096;

/// Why a gateway takes no more clients.
pub(super) const NO_ROOM: &str = "the gateway has as many connections as it takes";

/// Who is at the door.
#[derive(Clone, Copy)]
pub(super) struct Guest {
    pub number: u64,
    pub peer: SocketAddr,
    /// Whether there is room; else it is told that there is not.
    pub has_room: bool,
}

/// An open connection, as whoever accepted it sees it.
pub(super) struct Connection {
    post: Arc<Post>,
    breaker: Arc<Breaker>,
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
        let (served, broken) = (post.clone(), breaker.clone());
        let thread = thread::Builder::new().name(format!("gateway reading {}", guest.number)).spawn(move || {
            let _open = open;
            if let Err(error) = serve(house, (sender, receiver), &served, letters, guest) {
                log::warn!("a connection is given up: {error}");
            }
            broken.shutdown();
        });
        Ok(Connection { post, breaker, thread: thread.map_err(WireError::Io)? })
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells the client to try elsewhere, and closes.
    pub fn send_away(&self) {
        self.post.close(Some(Refused::unavailable("the gateway is stopping")));
    }

    /// Ends it, whatever the client does.
    pub fn cut(&self) {
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
) -> io::Result<()> {
    let welcomed = welcome(&house, &mut sender, &mut receiver, guest);
    if let Err(refused) = &welcomed {
        post.close(refused.clone());
    }
    let (writes, ping) = (post.clone(), house.options.ping);
    let writing = thread::Builder::new()
        .name(format!("gateway writing {}", guest.number))
        .spawn(move || writing::write(sender, &letters, &writes, ping))?;
    let mut conversation = Conversation::new(house, receiver, post.clone());
    conversation.run();
    // A panic was told on stderr; there is nothing to be saved from it.
    let _ = writing.join();
    conversation.part();
    Ok(())
}

/// Hears who the client is. An error is the last word to it, if it is to have one.
fn welcome(house: &House, sender: &mut Sender, receiver: &mut Receiver, guest: Guest) -> Result<(), Option<Refused>> {
    let options = &house.options;
    let gone = |error: WireError| last_word(&error);
    greet(sender, receiver).map_err(|error| {
        if let WireError::Tls(error) = &error {
            log::warn!("{} is not let in: {error}", guest.peer);
        }
        gone(error)
    })?;
    receiver.set_limit(HELLO);
    let token = match receiver.next().map_err(gone)? {
        (ToGateway::Hello { token }, 0) => token,
        _ => return Err(Some(Refused::protocol("the first message is no hello"))),
    };
    if !guest.has_room {
        return Err(Some(Refused::new(Refusal::Full, NO_ROOM)));
    }
    if options.token.as_ref().is_some_and(|expected| !same(expected, token.as_deref().unwrap_or_default())) {
        return Err(Some(Refused::new(Refusal::Denied, "the token is not the cluster's")));
    }
    receiver.set_limit(u32::MAX);
    sender.set_patience(options.patience).map_err(gone)?;
    receiver.set_patience(options.patience).map_err(gone)?;
    sender.put(&ToClient::Welcome).map_err(gone)?;
    sender.flush().map_err(gone)
}

/// Compares without telling by its time where they differ.
fn same(expected: &str, token: &str) -> bool {
    let differences = expected.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    expected.len() == token.len() && std::hint::black_box(differences) == 0
}
