//! All connections of a proxy, and what is done to them. Runs on the proxy's thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::Tally;
use super::door::Door;
use super::lane::{Lane, Way};
use super::rate::TICK;
use crate::testing::driver::{Next, Sockets, Station};
use crate::testing::watch::Watch;

/// Connections at a time; more are reset at once.
const MAX_CONNECTIONS: usize = 1024;

pub(super) struct Relay {
    pub(super) door: Door,
    upstream: SocketAddr,
    sockets: Sockets,
    connections: Vec<Connection>,
    pub(super) paused: bool,
    pub(super) blackhole: bool,
    pub(super) up: Way,
    pub(super) down: Way,
    tally: Arc<Watch<Tally>>,
}

impl Relay {
    pub(super) fn new(door: Door, upstream: SocketAddr, sockets: Sockets, tally: Arc<Watch<Tally>>) -> Self {
        let (up, down) = (Way::open(), Way::open());
        Self { door, upstream, sockets, connections: Vec::new(), paused: false, blackhole: false, up, down, tally }
    }

    /// Resets the connections that there are, also those that wait to be accepted.
    pub(super) fn reset(&mut self) {
        self.accept();
        self.connections.drain(..).for_each(Connection::reset);
        self.count();
    }

    /// Ends the black hole: a connection that has lost something can't go on without it.
    pub(super) fn end_blackhole(&mut self) {
        // What was sent before is swallowed too, also if no turn has seen it.
        self.connections.iter_mut().filter(|_| self.blackhole).for_each(|connection| _ = connection.swallow());
        self.blackhole = false;
        for connection in self.connections.extract_if(.., |connection| connection.lossy) {
            connection.reset();
        }
        self.count();
    }

    fn accept(&mut self) {
        while let Some(client) = self.door.accept() {
            if self.connections.len() >= MAX_CONNECTIONS {
                reset(client);
                continue;
            }
            match Connection::open(client, self.upstream, &self.sockets) {
                Ok(connection) => {
                    self.connections.push(connection);
                    self.tally.change(|tally| tally.accepted += 1);
                }
                Err(error) => log::debug!("the proxy can't connect: {error}"),
            }
        }
    }

    fn count(&self) {
        let now = (self.connections.len(), self.up.passed, self.down.passed);
        if self.tally.read(|tally| (tally.connections, tally.bytes_up, tally.bytes_down) != now) {
            self.tally.change(|tally| (tally.connections, tally.bytes_up, tally.bytes_down) = now);
        }
    }

    fn move_all(&mut self) -> Next {
        let now = Instant::now();
        self.up.rate.fill(now);
        self.down.rate.fill(now);
        let mut moved = false;
        let Self { connections, up, down, blackhole, .. } = self;
        let over = connections.extract_if(.., |connection| {
            let state = if *blackhole { connection.swallow() } else { connection.pass(up, down) };
            moved |= state == State::Moved;
            matches!(state, State::Over | State::Broken)
        });
        over.filter(|connection| !connection.is_closed()).for_each(Connection::reset);
        self.count();
        match moved {
            true => Next::Now,
            false if self.up.rate.is_limited() || self.down.rate.is_limited() => Next::After(TICK),
            false => Next::Event,
        }
    }
}

impl Station for Relay {
    fn turn(&mut self) -> Next {
        self.door.watch(&self.sockets);
        self.accept();
        if self.paused {
            self.count();
            return Next::Event;
        }
        self.move_all()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Moved,
    Idle,
    /// Both sides have ended their streams.
    Over,
    /// A side failed, or the cut is reached.
    Broken,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    up: Lane,
    down: Lane,
    /// The black hole has swallowed something of it.
    lossy: bool,
}

impl Connection {
    fn open(client: TcpStream, upstream: SocketAddr, sockets: &Sockets) -> io::Result<Self> {
        let server = TcpStream::connect(&upstream)?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            sockets.watch(socket)?;
        }
        Ok(Self { client, server, up: Lane::new(), down: Lane::new(), lossy: false })
    }

    fn is_closed(&self) -> bool {
        self.up.is_closed() && self.down.is_closed()
    }

    fn pass(&mut self, up: &mut Way, down: &mut Way) -> State {
        let went_up = self.up.pass(&mut self.client, &mut self.server, up);
        let went_down = self.down.pass(&mut self.server, &mut self.client, down);
        match (went_up, went_down) {
            (Err(_), _) | (_, Err(_)) => State::Broken,
            _ if self.is_closed() => State::Over,
            (Ok(false), Ok(false)) => State::Idle,
            _ => State::Moved,
        }
    }

    fn swallow(&mut self) -> State {
        let lost = self.up.swallow(&mut self.client) | self.down.swallow(&mut self.server);
        self.lossy |= lost;
        if lost { State::Moved } else { State::Idle }
    }

    fn reset(self) {
        reset(self.client);
        reset(self.server);
    }
}

/// Closes with RST in place of FIN: what is unsent is thrown away, the other side is told of a failure.
pub(in crate::testing) fn reset(socket: TcpStream) {
    if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
        log::debug!("a connection is closed without a reset: {error}");
    }
}
