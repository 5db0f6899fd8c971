//! One monitor: its socket and its clock, around what it decides by.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    Act, Beat, Datagram, DockerError, Key, Member, MonitorId, OwnTime, Peer, Phase, Post, decode, docker::Containers,
};
use crate::{
    Stop,
    runner::until_free,
    statistics::{Identity, NodeStatistics},
};

/// How often it looks at who leads and who is silent.
const TICK: Duration = Duration::from_millis(100);

/// How often it says that it lives: the leader has hung monitors killed, too.
const BEAT: Duration = Duration::from_secs(1);

/// No datagram that makes sense is longer.
const BUFFER: usize = 2048;

/// Which monitor it is, and of which cluster.
#[derive(Clone, Debug)]
pub struct MonitorOptions {
    /// Which of the monitors, counted from 0.
    pub index: MonitorId,
    /// Who it is in the cluster.
    pub identity: Identity,
    /// All monitors, this one among them.
    pub monitors: Vec<Peer>,
    /// The cluster's key.
    pub key: Key,
    /// A node that was heard and is not for so long is dead.
    pub silence: Duration,
    /// Whether silent nodes that no agent has are containers, beside this one's, to be restarted.
    pub docker: bool,
    /// Set to whether it leads, ten times a second: for whoever shows it meanwhile.
    pub leads: Arc<AtomicBool>,
}

/// There is no monitor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// It is none of the monitors.
    #[error("there is no monitor {index}: the list has {monitors}, counted from 0")]
    Index {
        /// What it was to be.
        index: MonitorId,
        /// How many there are.
        monitors: usize,
    },
    /// It can't listen.
    #[error("{address}: can't be listened at: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A socket fails, or a thread can't be started.
    #[error("the system fails the monitor: {0}")]
    System(#[from] io::Error),
    /// Docker can't be used.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// Runs a monitor until `stop`. `ready` is called once it listens. Blocks the caller; an address that an earlier life still has
/// is waited for, for a minute at most.
///
/// # Errors
/// [`MonitorError`].
pub fn monitor(options: &MonitorOptions, stop: &Stop, ready: impl FnOnce()) -> Result<(), MonitorError> {
    let MonitorOptions { index, identity, monitors, key, silence, docker, leads } = options;
    let own = monitors.get(usize::from(*index));
    let own = own.ok_or(MonitorError::Index { index: *index, monitors: monitors.len() })?;
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let address = own.listen();
    let socket = match until_free(stop, in_use, || UdpSocket::bind(address)) {
        Err(_) if stop.is_triggered() => return Ok(()),
        socket => socket.map_err(|source| MonitorError::Listen { address, source })?,
    };
    let containers = docker.then(Containers::find).transpose()?;
    let mut clock = OwnTime::default();
    let all = MonitorId::try_from(monitors.len()).unwrap_or(MonitorId::MAX);
    let mut monitor = Monitor {
        beat: Datagram::Beat(Beat {
            name: identity.name.clone(),
            life: identity.life,
            phase: Phase::Ready,
            stalled: 0,
        }),
        identity: identity.clone(),
        begun: Instant::now(),
        key: *key,
        post: Post::new(&socket, *key, monitors)?,
        member: Member::new(*index, all, *silence, clock.now()),
        leads: leads.clone(),
        agent: None,
        containers,
    };
    ready();
    monitor.run(&socket, &mut clock, stop)
}

struct Monitor {
    identity: Identity,
    begun: Instant,
    beat: Datagram,
    key: Key,
    post: Post,
    member: Member,
    leads: Arc<AtomicBool>,
    /// Where the agent's last report came from.
    agent: Option<SocketAddr>,
    containers: Option<Containers>,
}

impl Monitor {
    fn run(&mut self, socket: &UdpSocket, clock: &mut OwnTime, stop: &Stop) -> Result<(), MonitorError> {
        let (mut buffer, mut now) = ([0; BUFFER], clock.now());
        let (mut tick, mut beat) = (now, now);
        while !stop.is_triggered() {
            let wake = self.member.due(now).map_or(tick, |due| due.min(tick));
            socket.set_read_timeout(Some(wake.saturating_sub(now).max(Duration::from_millis(1))))?;
            let received = socket.recv_from(&mut buffer);
            now = clock.now();
            match received {
                Ok((length, from)) => self.receive(buffer.get(..length).unwrap_or_default(), from, now),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if now >= wake {
                self.member.look(now);
            }
            if now >= tick {
                self.member.tick(now);
                self.leads.store(self.member.leads(), Relaxed);
                tick = now + TICK;
            }
            if now >= beat {
                self.post.tell_all(&self.beat);
                beat = now + BEAT;
            }
            self.member.acts().into_iter().for_each(|act| self.act(act));
        }
        Ok(())
    }

    /// What is of a version to come, or of another cluster, is nothing.
    fn receive(&mut self, bytes: &[u8], from: SocketAddr, now: Duration) {
        if let Some(datagram) = decode(self.key, bytes) {
            match datagram {
                Datagram::Report(_) => self.agent = Some(from),
                Datagram::Question => self.post.answer(from, &Datagram::Status(Box::new(self.status()))),
                _ => {}
            }
            self.member.hear(&datagram, now);
        }
    }

    fn status(&self) -> NodeStatistics {
        NodeStatistics { leads: self.member.leads(), ..NodeStatistics::now(&self.identity, self.begun) }
    }

    fn act(&self, act: Act) {
        match (act, self.agent, &self.containers) {
            (Act::Tell(other, datagram), ..) => self.post.tell(other.into(), &datagram),
            (Act::TellAgent(datagram), Some(agent), _) => self.post.answer(agent, &datagram),
            (Act::TellAgent(_), None, _) => {}
            (Act::Silent(node), _, None) => log::warn!("node {node} is silent"),
            (Act::Silent(node), _, Some(containers)) => {
                log::warn!("node {node} is silent: its container is restarted");
                containers.restart(node);
            }
        }
    }
}

/// Nothing has come, or somebody that was sent to is not there.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, Interrupted, NetworkUnreachable, TimedOut, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | TimedOut | Interrupted | ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}
