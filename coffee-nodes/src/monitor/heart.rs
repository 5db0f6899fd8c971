//! What a node says of itself to the monitors, and its watchdog.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Sender, never, select};

use super::{Beat, Datagram, Key, Peer, Phase, Post};
use crate::{Pulses, Stop, statistics::NodeStatistics, threads::Threads};

/// How often it beats, and how long a tick of the watchdog is.
const EVERY: Duration = Duration::from_secs(1);

/// A loop that has made no progress for so many ticks hangs.
const HUNG: u32 = 30;

/// Whose heart it is, and who hears it.
#[derive(Clone, Debug)]
pub struct HeartOptions {
    /// The node's name in the cluster.
    pub name: String,
    /// The number of this life of it.
    pub life: u64,
    /// Who hears it, and by which key; nobody where there is none.
    pub monitors: Option<(Vec<Peer>, Key)>,
    /// The loops that have to make progress.
    pub pulses: Pulses,
    /// Triggered when the node stops: from then on it need not make progress.
    pub stop: Stop,
    /// Where what monitors say of themselves goes, who are asked then each second; what does not fit is dropped.
    pub heard: Option<Sender<NodeStatistics>>,
}

/// A loop makes no progress.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: no progress for {seconds} s")]
pub struct Hung {
    /// The loop.
    pub name: String,
    /// For how long, in seconds that the process has run.
    pub seconds: u32,
}

/// Beats on a thread, `heart`, until it is dropped.
#[derive(Debug)]
pub struct Heart {
    ready: Arc<AtomicBool>,
    _threads: Threads,
}

impl Heart {
    /// Beats from now on, once a second, and calls `hung` where a loop makes no progress for 30 s: that is to end the process.
    ///
    /// # Errors
    /// Where there is no socket or thread.
    pub fn start(options: HeartOptions, hung: impl Fn(Hung) + Send + 'static) -> io::Result<Self> {
        let post = options.monitors.as_ref().map(|(peers, key)| Post::to(peers, *key)).transpose()?;
        let ready = Arc::new(AtomicBool::new(false));
        let beating = Beating { options, post, ready: ready.clone(), every: EVERY };
        let threads = Threads::default();
        threads.start("heart", move |end| beating.run(end, &hung))?;
        Ok(Heart { ready, _threads: threads })
    }

    /// The node works.
    pub fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// The thread's own.
struct Beating {
    options: HeartOptions,
    post: Option<Post>,
    ready: Arc<AtomicBool>,
    every: Duration,
}

impl Beating {
    fn run(&self, end: &Stop, hung: &impl Fn(Hung)) {
        loop {
            let slowest = self.options.pulses.tick();
            let phase = self.phase();
            let stalled = slowest.as_ref().map_or(0, |(_, ticks)| *ticks);
            if let Some(post) = &self.post {
                let HeartOptions { name, life, .. } = &self.options;
                post.tell_all(&Datagram::Beat(Beat { name: name.clone(), life: *life, phase, stalled }));
                self.ask_monitors(post);
            }
            if let Some((name, seconds)) = slowest.filter(|(_, ticks)| *ticks >= HUNG && phase != Phase::Stopping) {
                hung(Hung { name, seconds });
            }
            let stopping = if phase == Phase::Stopping { &never() } else { self.options.stop.receiver() };
            // That it stops is said at once, and then only repeated.
            select! {
                recv(end.receiver()) -> _ => return,
                recv(stopping) -> _ => {}
                default(self.every) => {}
            }
        }
    }

    /// Asks how monitors are, and takes what they have answered so far.
    fn ask_monitors(&self, post: &Post) {
        let Some(heard) = &self.options.heard else { return };
        for answer in post.received() {
            if let Datagram::Status(status) = answer {
                let _ = heard.try_send(*status); // full: nobody looks
            }
        }
        post.tell_all(&Datagram::Question);
    }

    fn phase(&self) -> Phase {
        if self.options.stop.is_triggered() {
            Phase::Stopping
        } else if self.ready.load(Ordering::Relaxed) {
            Phase::Ready
        } else {
            Phase::Starting
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::UdpSocket, thread};

    use super::*;
    use crate::{Pulse, monitor::decode};

    /// Beats until that tells it to end, a thousand times a second.
    fn beat(pulses: &Pulses, monitors: Option<(Vec<Peer>, Key)>, end: &Stop, hung: impl Fn(Hung)) {
        let stop = Stop::new();
        let options =
            HeartOptions { name: "groups.0".into(), life: 7, monitors, pulses: pulses.clone(), stop, heard: None };
        let post = options.monitors.as_ref().map(|(peers, key)| Post::to(peers, *key).unwrap());
        Beating { options, post, ready: Arc::default(), every: Duration::from_millis(1) }.run(end, &hung);
    }

    #[test]
    fn a_loop_that_hangs_is_told_after_thirty_ticks() {
        let (pulses, pulse, end) = (Pulses::default(), Pulse::default(), Stop::new());
        pulses.watch("hangs", &pulse);
        let told = Cell::new(None);
        beat(&pulses, None, &end, |hung| {
            told.set(Some(hung.to_string()));
            end.trigger();
        });
        assert_eq!(told.take().as_deref(), Some("hangs: no progress for 30 s"));
    }

    #[test]
    fn all_monitors_hear_how_it_is_and_for_how_long_it_makes_no_progress() {
        let (pulses, pulse, end) = (Pulses::default(), Pulse::default(), Stop::new());
        pulses.watch("slow", &pulse);
        let key = Key::random().unwrap();
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let peers = sockets.iter().map(|socket| socket.local_addr().unwrap().into()).collect();
        beat(&pulses, Some((peers, key)), &end, |_| end.trigger());
        for socket in sockets {
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            for stalled in 1..5 {
                let mut buffer = [0; 2048];
                let length = socket.recv(&mut buffer).unwrap();
                let expected = Beat { name: "groups.0".into(), life: 7, phase: Phase::Starting, stalled };
                assert_eq!(decode(key, &buffer[..length]), Some(Datagram::Beat(expected)));
            }
        }
    }

    #[test]
    fn monitors_are_found_by_name() {
        let (socket, end, key) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Stop::new(), Key::random().unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let peer: Peer = format!("localhost:{}", socket.local_addr().unwrap().port()).parse().unwrap();
        let mut buffer = [0; 2048];
        let received = thread::scope(|scope| {
            scope.spawn(|| beat(&Pulses::default(), Some((vec![peer], key)), &end, |_| {}));
            let received = socket.recv(&mut buffer);
            end.trigger();
            received
        });
        assert!(matches!(decode(key, &buffer[..received.unwrap()]), Some(Datagram::Beat(_))));
    }
}
