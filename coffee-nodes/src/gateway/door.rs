//! The thread that lets clients in, and sees them out at the end.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
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
    wire::{Receiver, Refusal, Sender, WireError, accept, hail},
};

/// How long clients may take to go when the gateway stops.
const GRACE: Duration = Duration::from_millis(500);

/// Before it goes on where no connection can be accepted: the system has no handles left.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that were refused and are kept open so long that their clients can read why.
const TURNED_AWAY: usize = 32;

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
            let most = self.house.options.max_connections;
            // Encrypted, who is turned away takes part in a handshake first, and a thread of its own for that.
            let more = if self.tls.is_some() { TURNED_AWAY } else { 0 };
            let met = match accepted {
                Ok((stream, peer)) if open.len() < most + more => {
                    let guest = Guest { number, peer, has_room: open.len() < most };
                    let halves = accept(stream, self.tls.as_ref(), self.house.options.handshake);
                    let opened =
                        halves.and_then(|halves| Connection::open(self.house.clone(), halves, guest, alive.clone()));
                    opened.map(|connection| open.push(connection))
                }
                Ok((_, peer)) if self.tls.is_some() => {
                    log::warn!("{peer} is turned away without a word: {NO_ROOM}");
                    Ok(())
                }
                Ok((stream, _)) => turn_away(stream).map(|halves| {
                    turned_away.truncate(TURNED_AWAY - 1);
                    turned_away.push_front(halves);
                }),
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

/// Makes a door look whether it is to stop: by a connection, as its thread waits for one.
pub(super) fn knock(address: SocketAddr) {
    let mut address = address;
    match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) if address.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    // Where there is no room for one more, the thread does not wait.
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}
