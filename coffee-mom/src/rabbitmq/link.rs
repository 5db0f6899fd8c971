//! One live connection to RabbitMQ: amiquip's, on a socket of ours, no call of which outlasts its
//! deadline. It is never mended; when it is lost, another one is opened.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use amiquip::{Channel, Connection, ConnectionBlockedNotification, ConnectionOptions, ConnectionTuning, Sasl};
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use parking_lot::Mutex;

use super::config::{Host, RabbitConfig};
use super::failure::{Failure, Retry};
use super::flow::Flow;
use super::guard::Guard;
use super::socket::{self, KillSwitch, Login, Socket, Stream, Transport};
use super::tls::{self, TlsStream};

/// Messages to the I/O thread that may wait; a publish is three or more. That thread never stops
/// taking them, so this is about wakes, not about bounds: those are [`Flow`]'s.
const MEM_CHANNEL_BOUND: usize = 1024;

/// What a link is for. Publishing and consuming never share one: a broker under an alarm stops
/// reading from connections that publish, and acks would wait with the publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Publish,
    Consume,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        })
    }
}

/// One live connection. All calls may be made from several threads at once.
///
/// Calls on its channels belong into [`call`](Self::call), dropping a channel or a consumer
/// included: amiquip waits for an answer then, too.
pub(super) struct Link {
    state: Mutex<State>,
    flow: Arc<Flow>,
    kill: KillSwitch,
    ended: Receiver<Infallible>,
    blocked: Receiver<ConnectionBlockedNotification>,
    guard: Guard,
    /// Dropped after the connection has ended, which makes that wait for nothing.
    kept: Mutex<Vec<Channel>>,
}

struct State {
    connection: Option<Connection>,
    /// How it ended, once there is no connection.
    end: Result<(), Failure>,
}

impl Link {
    /// Connects to the first of the hosts that takes us. The config has to be valid.
    ///
    /// Blocks until `deadline` at most, each host until the config's timeout at most, also with peers
    /// that are silent or send byte by byte.
    ///
    /// Err: the failure with the last host that was tried; one that will not pass is not tried with
    /// others.
    pub(super) fn open(config: &RabbitConfig, purpose: Purpose, deadline: Instant) -> Result<Self, Failure> {
        let mut failure = Failure::Deadline;
        for host in &config.hosts {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            let attempt = now.checked_add(config.connect_timeout).map_or(deadline, |until| until.min(deadline));
            match Self::open_host(config, host, purpose, attempt) {
                Ok(link) => return Ok(link),
                Err(error) if error.retry() == Retry::No => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn open_host(config: &RabbitConfig, host: &Host, purpose: Purpose, deadline: Instant) -> Result<Self, Failure> {
        let (transport, socket) = transport(config, host, deadline)?;
        let kill = socket.kill_switch();
        let guard = Guard::start(format!("coffee-{purpose}"), {
            let kill = kill.clone();
            move || kill.kill()
        });
        let guard = guard.map_err(|error| Failure::System(error.kind()))?;
        let flow = Arc::new(Flow::default());
        let (alive, ended) = bounded(0);
        let (placeholder, login) = Login::new(&config.credentials);
        let stream = Stream::new(transport, socket, flow.clone(), login, config.max_frame, alive);
        let options = options(config, placeholder, purpose);
        let connected = guard.guarded(deadline, || {
            let mut connection = Connection::insecure_open_stream(stream, options, tuning())?;
            let blocked = connection.listen_for_connection_blocked()?;
            Ok((connection, blocked))
        });
        let (connection, blocked) = connected.map_err(|error| explain(&guard, error))?;
        let state = State { connection: Some(connection), end: Err(Failure::Closed) };
        Ok(Self { state: Mutex::new(state), flow, kill, ended, blocked, guard, kept: Mutex::default() })
    }

    /// Opens a channel, one after the other. Otherwise as [`call`](Self::call).
    pub(super) fn open_channel(&self, deadline: Instant) -> Result<Channel, Failure> {
        self.call(deadline, || match &mut self.state.lock().connection {
            Some(connection) => connection.open_channel(None),
            None => Err(amiquip::Error::ClientClosedConnection),
        })
    }

    /// Keeps a channel until the connection has ended, for when nobody can wait until it is closed.
    pub(super) fn keep(&self, channel: Channel) {
        self.kept.lock().push(channel);
    }

    /// Runs a call of amiquip on this thread.
    ///
    /// Blocks until `deadline` at most, which stands still while the link [is held](Self::hold).
    ///
    /// Err([`Deadline`](Failure::Deadline)): the link is dead, and what was asked for may have been
    /// done; but with a deadline that had passed before, nothing was called and the link is as it was.
    pub(super) fn call<T>(
        &self,
        deadline: Instant,
        call: impl FnOnce() -> Result<T, amiquip::Error>,
    ) -> Result<T, Failure> {
        if deadline <= Instant::now() {
            return Err(Failure::Deadline);
        }
        self.guard.guarded_patiently(deadline, call).map_err(|error| explain(&self.guard, error))
    }

    /// Has calls wait for longer than their deadlines, or no more: a broker that takes no publishes
    /// answers to nothing on their link. That it lives is known by its heartbeats. The end of the link
    /// ends the calls as ever.
    pub(super) fn hold(&self, held: bool) {
        self.guard.hold(held);
    }

    /// The broker's notes that it takes no publishes for now, or does again. Disconnected when the
    /// link is dead. Each note goes to one receiver.
    pub(super) fn blocked(&self) -> &Receiver<ConnectionBlockedNotification> {
        &self.blocked
    }

    /// Bounds and counts what goes out.
    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Disconnected when the link is dead.
    pub(super) fn ended(&self) -> &Receiver<Infallible> {
        &self.ended
    }

    /// False from when the I/O thread has given up the socket, shortly after it was lost or killed.
    pub(super) fn is_alive(&self) -> bool {
        self.ended.try_recv() != Err(TryRecvError::Disconnected)
    }

    /// Ends the connection at once, and every call on it. Does not block.
    pub(super) fn kill(&self) {
        self.kill.kill();
    }

    /// Says goodbye to the broker, after all that was handed over before, and joins the I/O thread;
    /// at the deadline the socket is killed. Closing again tells the same.
    ///
    /// Err: the link was lost before, or killed at the deadline; what was handed over may not have
    /// arrived.
    pub(super) fn close(&self, deadline: Instant) -> Result<(), Failure> {
        let mut state = self.state.try_lock_until(deadline).unwrap_or_else(|| {
            // Whoever opens a channel at this moment returns after this.
            self.kill();
            self.state.lock()
        });
        if let Some(connection) = state.connection.take() {
            let closed =
                if self.is_alive() { self.guard.guarded(deadline, || connection.close()) } else { connection.close() };
            state.end = closed.map_err(|error| explain(&self.guard, error));
        }
        state.end.clone()
    }
}

impl Drop for Link {
    /// Kills and joins: without a goodbye, so without waiting for the broker.
    fn drop(&mut self) {
        self.kill();
        drop(self.state.get_mut().connection.take());
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("alive", &self.is_alive()).field("flow", &self.flow).finish_non_exhaustive()
    }
}

/// A socket that is connected, encrypted if the config says so, and does not block any more.
fn transport(config: &RabbitConfig, host: &Host, deadline: Instant) -> Result<(Transport, Socket), Failure> {
    let mut tcp = socket::connect(host, deadline)?;
    let session = match &config.tls {
        Some(tls) => Some(tls::handshake(&mut tcp, tls, host, deadline)?),
        None => None,
    };
    let socket = Socket::new(tcp).map_err(|error| Failure::System(error.kind()))?;
    let transport = match session {
        Some(session) => Transport::Tls(Box::new(TlsStream::new(session, socket.clone()))),
        None => Transport::Plain(socket.clone()),
    };
    Ok((transport, socket))
}

fn options<S: Sasl>(config: &RabbitConfig, login: S, purpose: Purpose) -> ConnectionOptions<S> {
    ConnectionOptions::default()
        .auth(login)
        .virtual_host(config.vhost.clone())
        .heartbeat(config.heartbeat_secs())
        .frame_max(config.max_frame)
        .information(Some(format!("{} ({purpose})", config.name)))
}

/// amiquip's own bound would stop acks and calls along with the publishes, so it is out of reach.
fn tuning() -> ConnectionTuning {
    ConnectionTuning::default()
        .mem_channel_bound(MEM_CHANNEL_BOUND)
        .buffered_writes_high_water(usize::MAX)
        .buffered_writes_low_water(usize::MAX)
}

/// A socket that was killed at a deadline shows as a loss of some kind.
fn explain(guard: &Guard, error: amiquip::Error) -> Failure {
    let failure = Failure::from(error);
    if failure.is_loss() && guard.has_expired() { Failure::Deadline } else { failure }
}

#[cfg(test)]
mod tests;
