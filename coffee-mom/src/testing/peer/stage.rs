//! All connections of a peer, and the script that is played to them. Runs on the peer's thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use mio::net::TcpListener;

use super::session::Session;
use super::{Call, FromClient, Link};
use crate::testing::driver::{Next, Sockets, Station};
use crate::testing::watch::Watch;

/// Calls that a peer records; with more, it plays no further.
const MAX_CALLS: usize = 1 << 20;
/// Connections at a time; more are closed at once.
const MAX_SESSIONS: usize = 1024;

pub(super) type Script = Box<dyn FnMut(&Call, &mut Link) + Send>;

pub(super) struct Stage {
    listener: TcpListener,
    sockets: Sockets,
    sessions: BTreeMap<usize, Session>,
    accepted: usize,
    script: Script,
    calls: Arc<Watch<Vec<Call>>>,
}

impl Stage {
    pub(super) fn new(listener: TcpListener, sockets: Sockets, script: Script, calls: Arc<Watch<Vec<Call>>>) -> Self {
        Self { listener, sockets, sessions: BTreeMap::new(), accepted: 0, script, calls }
    }

    /// Has something sent out of turn; `false` if the connection is over.
    pub(super) fn tell(&mut self, connection: usize, tell: impl FnOnce(&mut Link)) -> bool {
        let Some(session) = self.sessions.get_mut(&connection) else { return false };
        tell(&mut session.link);
        session.write();
        self.clear();
        true
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            let watched = socket.set_nodelay(true).and_then(|()| self.sockets.watch(&socket));
            match watched {
                Ok(()) if self.sessions.len() < MAX_SESSIONS => {
                    self.accepted += 1;
                    self.sessions.insert(self.accepted, Session::new(socket));
                }
                Ok(()) => log::error!("too many connections to the scripted peer"),
                Err(error) => log::error!("the scripted peer can't take a connection: {error}"),
            }
        }
    }

    fn clear(&mut self) {
        let over = self.sessions.extract_if(.., |_, session| session.is_over());
        over.for_each(|(_, session)| session.close());
    }
}

impl Station for Stage {
    fn turn(&mut self) -> Next {
        self.accept();
        let Self { sessions, script, calls, .. } = self;
        let (mut said, mut more) = (Vec::new(), false);
        for (&connection, session) in sessions.iter_mut() {
            more |= session.read(&mut said);
            for (channel, method) in said.drain(..) {
                if session.link.has_ended() && method != FromClient::Gone {
                    continue;
                }
                if let FromClient::TuneOk { frame_max, .. } = method {
                    session.link.agree(frame_max);
                }
                let call = Call { connection, channel, method };
                let full = calls.change(|calls| {
                    calls.push(call.clone());
                    calls.len() > MAX_CALLS
                });
                match full {
                    true => session.link.reset(),
                    false => script(&call, &mut session.link),
                }
            }
            session.write();
        }
        self.clear();
        if more { Next::Now } else { Next::Event }
    }
}
