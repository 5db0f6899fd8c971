//! One monitor: its socket and its clock, around what it decides by.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use super::{
    Beat, Datagram, DockerError, Election, Finding, Key, MonitorId, OwnTime, Peer, Phase, Post, Say, Vote, Watch,
    decode, docker::Containers,
};
use crate::{Stop, runner::until_free};

/// How often it looks at who leads and who is silent.
const TICK: Duration = Duration::from_millis(100);

/// How often it says that it lives: the leader has hung monitors killed, too.
const BEAT: Duration = Duration::from_secs(1);

/// No datagram that makes sense is longer.
const BUFFER: usize = 2048;

/// A loop that has stood still for so many seconds is worth a line.
const STALLED: u32 = 10;

/// Which monitor it is, and of which cluster.
#[derive(Clone, Debug)]
pub struct MonitorOptions {
    /// Which of the monitors, counted from 0.
    pub index: MonitorId,
    /// Its name in the cluster.
    pub name: String,
    /// The number of this life of it.
    pub life: u64,
    /// All monitors, this one among them.
    pub monitors: Vec<Peer>,
    /// The cluster's key.
    pub key: Key,
    /// A node that was heard and is not for so long is dead.
    pub silence: Duration,
    /// Whether silent nodes that no agent has are containers, beside this one's, to be restarted.
    pub docker: bool,
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
    let MonitorOptions { index, name, life, monitors, key, silence, docker } = options;
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
        beat: Beat { name: name.clone(), life: *life, phase: Phase::Ready, stalled: 0 },
        me: *index,
        key: *key,
        post: Post::new(&socket, *key, monitors)?,
        election: Election::new(*index, all, clock.now()),
        watch: Watch::new(*silence),
        agent: None,
        leader: None,
        containers,
    };
    ready();
    monitor.run(&socket, &mut clock, stop)
}

struct Monitor {
    beat: Beat,
    me: MonitorId,
    key: Key,
    post: Post,
    election: Election,
    watch: Watch,
    /// Where the agent's last report came from.
    agent: Option<SocketAddr>,
    /// Who led when it was last looked.
    leader: Option<MonitorId>,
    containers: Option<Containers>,
}

impl Monitor {
    fn run(&mut self, socket: &UdpSocket, clock: &mut OwnTime, stop: &Stop) -> Result<(), MonitorError> {
        let (mut buffer, mut now) = ([0; BUFFER], clock.now());
        let (mut tick, mut beat) = (now, now);
        while !stop.is_triggered() {
            let wake = self.watch.due(now).map_or(tick, |due| due.min(tick));
            socket.set_read_timeout(Some(wake.saturating_sub(now).max(Duration::from_millis(1))))?;
            let received = socket.recv_from(&mut buffer);
            now = clock.now();
            match received {
                Ok((length, from)) => self.receive(buffer.get(..length).unwrap_or_default(), from, now),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if now >= wake {
                self.act(now);
            }
            if now >= tick {
                self.election.tick(now);
                tick = now + TICK;
            }
            if now >= beat {
                self.post.tell_all(&Datagram::Beat(self.beat.clone()));
                beat = now + BEAT;
            }
            self.speak();
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8], from: SocketAddr, now: Duration) {
        match decode(self.key, bytes) {
            Some(Datagram::Beat(beat)) => {
                if beat.stalled >= STALLED && self.election.leads() {
                    log::warn!("node {} has made no progress for {} s", beat.name, beat.stalled);
                }
                self.watch.beat(&beat, now);
            }
            Some(Datagram::Report(seats)) => {
                self.agent = Some(from);
                seats.iter().for_each(|seat| self.watch.seat(seat, now));
            }
            Some(Datagram::Election(other)) => self.election.hear(other, Vote::Election, now),
            Some(Datagram::Answer(other)) => self.election.hear(other, Vote::Answer, now),
            Some(Datagram::Leading(other)) => self.election.hear(other, Vote::Leading, now),
            // Of a version to come, of another cluster, or for the agent.
            Some(Datagram::Order(_)) | None => {}
        }
    }

    /// Does what a leader has to.
    fn act(&mut self, now: Duration) {
        if !self.election.leads() {
            return;
        }
        if let Some(agent) = self.agent {
            self.post.answer(agent, &Datagram::Leading(self.me));
        }
        for finding in self.watch.look(now) {
            match (finding, &self.containers) {
                (Finding::Order(order), _) => {
                    if let Some(agent) = self.agent {
                        self.post.answer(agent, &Datagram::Order(order));
                    }
                }
                (Finding::Silent(node), None) => log::warn!("node {node} is silent"),
                (Finding::Silent(node), Some(containers)) => {
                    log::warn!("node {node} is silent: its container is restarted");
                    containers.restart(node);
                }
            }
        }
    }

    /// Says what the election came to.
    fn speak(&mut self) {
        for Say { to, vote } in self.election.said() {
            let datagram = match vote {
                Vote::Election => Datagram::Election(self.me),
                Vote::Answer => Datagram::Answer(self.me),
                Vote::Leading => Datagram::Leading(self.me),
            };
            self.post.tell(usize::from(to), &datagram);
        }
        let leader = self.election.leader();
        if leader.is_some() && std::mem::replace(&mut self.leader, leader) != leader {
            log::info!("monitor {} leads", leader.unwrap_or_default());
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
