//! What is done in one run, whichever way, and the clock of it.

use std::fmt;
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffee_mom::testing::rabbitmq::OwnBroker;
use coffee_mom::{Broker, DeleteOptions, Name, QueueSpec, RabbitBroker, RabbitConfig};

/// Deliveries in hand.
pub const PREFETCH: u16 = 256;

/// Most bytes of bodies that wait for their confirms.
pub const WINDOW_BYTES: usize = 64 << 20;

/// How a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A queue and messages that both end with the broker.
    TransientQueue,
    /// A durable queue, of messages that end with the broker.
    Transient,
    /// A durable queue of persistent messages.
    Persistent,
    /// A quorum queue, which keeps everything.
    Quorum,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::TransientQueue, Self::Transient, Self::Persistent, Self::Quorum];

    /// Whether messages are marked as persistent.
    pub fn persistent(self) -> bool {
        matches!(self, Self::Persistent | Self::Quorum)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TransientQueue => "transient queue",
            Self::Transient => "durable, transient messages",
            Self::Persistent => "durable, persistent messages",
            Self::Quorum => "quorum",
        })
    }
}

/// How a consumer acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Each delivery by a call of its own.
    Each,
    /// 64 deliveries by one call.
    Of64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub size: usize,
    pub count: u64,
    pub window: usize,
    pub kind: Kind,
    pub acks: Acks,
}

impl Work {
    pub fn body(&self) -> Bytes {
        Bytes::from(vec![7; self.size])
    }

    /// Whether the delivery of that number, from 1, is one to ack it and all before it by.
    pub fn acks_through(&self, number: u64) -> bool {
        number.is_multiple_of(64) || number == self.count
    }
}

/// The broker, and a connection to it that is not measured.
pub struct Setting {
    url: String,
    port: u16,
    broker: RabbitBroker,
    next: AtomicU64,
}

impl Setting {
    pub fn new(own: &OwnBroker) -> Self {
        let url = own.url();
        let config = RabbitConfig::from_url(&url).expect("a valid URL");
        let broker = RabbitBroker::connect(config, soon()).expect("a broker that runs");
        Self { url, port: own.port(), broker, next: AtomicU64::new(0) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs something with a queue of its own, without bounds, which has to be left with so many messages.
    pub fn with_queue<T>(&self, kind: Kind, left: u64, body: impl FnOnce(&Name) -> T) -> T {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = Name::new(&format!("bench-{number}")).expect("a valid name");
        let spec = QueueSpec::named(name.clone()).bounded(usize::MAX, usize::MAX);
        let spec = match kind {
            Kind::TransientQueue => spec.transient(),
            Kind::Transient | Kind::Persistent => spec,
            Kind::Quorum => spec.quorum(),
        };
        self.broker.declare_queue(&spec, soon()).expect("a new queue");
        let result = body(&name);
        let status = self.broker.queue_status(&name, soon()).expect("the queue stays");
        assert_eq!(status.ready as u64, left, "messages that are left");
        self.broker.delete_queue(&name, DeleteOptions::default(), soon()).expect("deleted");
        result
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What one run took.
#[derive(Debug, Clone)]
pub struct Run {
    pub count: u64,
    pub wall: Duration,
    /// Of this process, on all its threads; not known on every system.
    pub cpu: Option<Duration>,
    /// From each publish to its confirm, where each waits for its own.
    pub latencies: Vec<Duration>,
}

/// Runs both at once. Each prepares itself, waits for the other, and returns when it was done: what it
/// does to clean up is not counted, nor is what it prepares.
pub fn timed(
    count: u64,
    publish: impl FnOnce(&Barrier) -> (Instant, Vec<Duration>) + Send,
    consume: impl FnOnce(&Barrier) -> Instant + Send,
) -> Run {
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(&barrier));
        let consumer = scope.spawn(|| consume(&barrier));
        barrier.wait();
        let (start, cpu) = (Instant::now(), cpu_time());
        let (published, latencies) = publisher.join().expect("a publisher without faults");
        let consumed = consumer.join().expect("a consumer without faults");
        let cpu = cpu_time().zip(cpu).map(|(now, then)| now.saturating_sub(then));
        Run { count, wall: published.max(consumed).saturating_duration_since(start), cpu, latencies }
    })
}

/// User and system time of this process, as Linux tells it in hundredths of a second.
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}
