//! The thread that lets clients in, and sees them out at the end.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{self as channel, bounded};
use rustls::ServerConfig;

use super::{
    House,
    connection::{Connection, Guest, NO_ROOM},
    refused::Refused,
};
use crate::{
    Pulse, Stop,
    access::Owner,
    wire::{Receiver, Refusal, Sender, WireError, accept, hail},
};

/// How long clients may take to go when the gateway stops.
const GRACE: Duration = Duration::from_millis(500);

/// Before it goes on where no connection can be accepted: the system has no handles left.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections without a place: that were refused and are kept open so long that their clients can read why, or were cut and
/// are about to end.
const TURNED_AWAY: usize = 32;

/// Why a stranger had to go.
const MADE_ROOM: &str = "it has not said who it is, and others come";

/// Where clients come in.
pub(super) struct Door {
    pub listener: TcpListener,
    pub tls: Option<Arc<ServerConfig>>,
    pub house: Arc<House>,
}

impl Door {
    /// Lets clients in until asked to stop. Returns when all their threads have ended.
    pub fn run(self, stop: &Stop) {
        let (alive, all_over) = bounded(0);
        let mut open: Vec<Connection> = Vec::new();
        let mut turned_away = VecDeque::new();
        let pulse = Pulse::default();
        self.house.options.pulses.watch("gateway door", &pulse);
        for number in 0.. {
            let accepted = pulse.rest(|| self.listener.accept());
            if stop.is_triggered() {
                break;
            }
            open.extract_if(.., |connection| connection.is_over()).for_each(Connection::join);
            let met = match accepted {
                Ok((stream, peer)) => self.meet(stream, (number, peer), &mut open, &mut turned_away, &alive),
                Err(error) => {
                    let _ = stop.receiver().recv_timeout(PAUSE);
                    Err(WireError::Io(error))
                }
            };
            if let Err(error) = met {
                log::debug!("a client can't be let in: {error}");
            }
        }
        drop((self.listener, alive)); // nobody else comes
        see_out(open, &all_over);
    }

    /// Opens a connection, or turns its client away.
    fn meet(
        &self,
        stream: TcpStream,
        (number, peer): (u64, SocketAddr),
        open: &mut Vec<Connection>,
        turned_away: &mut VecDeque<(Sender, Receiver)>,
        alive: &channel::Sender<Infallible>,
    ) -> Result<(), WireError> {
        self.bound_strangers(peer, open);
        let guest = Guest { number, peer, has_place: self.has_places(open) };
        // Encrypted, who is turned away takes part in a handshake first, and a thread of its own for that.
        let opens = guest.has_place || self.tls.is_some();
        if opens && open.len() < self.house.options.max_connections + TURNED_AWAY {
            let halves = accept(stream, self.tls.as_ref(), self.house.options.handshake)?;
            open.push(Connection::open(self.house.clone(), halves, guest, alive.clone())?);
            return Ok(());
        }
        self.house.tell_turned_away(peer, NO_ROOM);
        if self.tls.is_none() {
            let halves = turn_away(stream)?;
            turned_away.truncate(TURNED_AWAY - 1);
            turned_away.push_front(halves);
        }
        Ok(())
    }

    /// Sees to it that strangers keep nobody out: those from one address have no more connections than one client, and all of them
    /// together only what is left over. The oldest has to go: who means well does not stay a stranger for long.
    fn bound_strangers(&self, peer: SocketAddr, open: &[Connection]) {
        let (options, from) = (&self.house.options, Owner::of_peer(peer.ip()));
        let strangers = || open.iter().filter(|connection| connection.is_stranger());
        let from_there = || strangers().filter(|connection| Owner::of_peer(connection.peer().ip()) == from);
        let are_operators = options.tokens.is_none() && from == Owner::Loopback;
        if !are_operators && from_there().count() >= options.limits.connections.get() {
            from_there().take(1).for_each(|oldest| self.cut(oldest));
        }
        if !self.has_places(open) {
            strangers().filter(|connection| connection.has_place()).take(1).for_each(|oldest| self.cut(oldest));
        }
    }

    /// Whether one more connection may be let in.
    fn has_places(&self, open: &[Connection]) -> bool {
        open.iter().filter(|connection| connection.has_place()).count() < self.house.options.max_connections
    }

    fn cut(&self, stranger: &Connection) {
        self.house.tell_turned_away(stranger.peer(), MADE_ROOM);
        stranger.cut();
    }
}

/// Says that there is no room. So little fits a new connection's buffer: the write does not wait.
fn turn_away(stream: TcpStream) -> Result<(Sender, Receiver), WireError> {
    let (mut sender, receiver) = accept(stream, None, PAUSE)?;
    hail(&mut sender)?;
    sender.put(&Refused::new(Refusal::Full, NO_ROOM).message())?;
    sender.finish()?;
    Ok((sender, receiver))
}

/// Tells all clients to go, and ends the connections of those that don't.
fn see_out(open: Vec<Connection>, all_over: &channel::Receiver<Infallible>) {
    open.iter().for_each(Connection::send_away);
    let _ = all_over.recv_timeout(GRACE); // disconnected when all have gone
    open.iter().for_each(Connection::cut);
    // Nothing holds them any more but calls, which have deadlines.
    open.into_iter().for_each(Connection::join);
}
