//! A TCP proxy that disturbs the connections through it: it pauses, resets, swallows, slows down
//! and refuses. It knows nothing of what the bytes mean.

mod door;
mod lane;
mod rate;
mod relay;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub(in crate::testing) use relay::reset;

use crate::testing::driver::Driver;
use crate::testing::watch::Watch;
use door::Door;
use rate::Rate;
use relay::Relay;

/// A proxy on an own port of 127.0.0.1, in front of one server.
///
/// Every call holds for all connections, those that come later included, and has taken effect when
/// it returns. It may be called from any thread, and does not block, save for a moment until the
/// proxy's one thread has taken note. Dropped, the proxy closes all connections and joins its thread.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use coffee_mom::testing::proxy::Proxy;
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let proxy = Proxy::start(server.local_addr()?)?;
/// let mut client = TcpStream::connect(proxy.address())?;
/// let (mut served, _) = server.accept()?;
/// client.write_all(b"hello")?;
/// served.read_exact(&mut [0; 5])?;
///
/// proxy.reset();
/// assert!(served.read(&mut [0; 1]).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Proxy {
    address: SocketAddr,
    tally: Arc<Watch<Tally>>,
    driver: Driver<Relay>,
}

/// What has gone through.
#[derive(Debug, Default)]
struct Tally {
    connections: usize,
    accepted: usize,
    bytes_up: u64,
    bytes_down: u64,
}

impl Proxy {
    /// Starts a proxy that connects to `upstream` for each connection that it accepts. A client whose
    /// connection to `upstream` fails is reset.
    ///
    /// # Errors
    /// The system gives no socket or no thread.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let tally = Arc::<Watch<Tally>>::default();
        let door = Door::open()?;
        let address = door.address();
        let shared = tally.clone();
        let driver = Driver::start("test-proxy", move |sockets| Ok(Relay::new(door, upstream, sockets, shared)))?;
        Ok(Self { address, tally, driver })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moves no more bytes either way until [`resume`](Self::resume), as a peer that was stopped:
    /// bytes pile up in the system's buffers until their senders block. Connections still come in.
    pub fn pause(&self) {
        self.tell(|relay| relay.paused = true);
    }

    /// Goes on after [`pause`](Self::pause); nothing is lost.
    pub fn resume(&self) {
        self.tell(|relay| relay.paused = false);
    }

    /// Resets the connections that there are (RST to both sides); new ones come through.
    pub fn reset(&self) {
        self.tell(Relay::reset);
    }

    /// Swallows what comes from either side, ends and resets of connections included: the link is
    /// half open. When that ends, the connections that have lost something are reset, lest a stream
    /// goes on with a gap; the others go on.
    pub fn blackhole(&self, swallow: bool) {
        self.tell(move |relay| if swallow { relay.blackhole = true } else { relay.end_blackhole() });
    }

    /// Lets all connections together have so many bytes a second each way, or as many as they like.
    /// What the system buffers on both sides, some megabytes, is not slowed down.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.tell(move |relay| {
            relay.up.rate = Rate::new(bytes_per_second);
            relay.down.rate = Rate::new(bytes_per_second);
        });
    }

    /// Refuses connections, as a host where nothing listens; those that there are stay. The port
    /// stays the proxy's.
    ///
    /// # Errors
    /// The system gives no socket to listen with; connections are refused then.
    pub fn refuse(&self, refuse: bool) -> io::Result<()> {
        self.driver.call(move |relay| relay.door.set_open(!refuse)).unwrap_or(Ok(()))
    }

    /// Lets `bytes` more bytes through to the server, from all connections together, and resets the
    /// connection that carried the last of them: in the middle of a message, if so chosen. Once only.
    pub fn reset_after(&self, bytes: u64) {
        self.tell(move |relay| relay.up.cut = Some(bytes));
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.tally.read(|tally| tally.connections)
    }

    /// Connections that were accepted since the start.
    pub fn accepted(&self) -> usize {
        self.tally.read(|tally| tally.accepted)
    }

    /// Bytes that went to the server since the start.
    pub fn bytes_up(&self) -> u64 {
        self.tally.read(|tally| tally.bytes_up)
    }

    /// Bytes that came from the server since the start.
    pub fn bytes_down(&self) -> u64 {
        self.tally.read(|tally| tally.bytes_down)
    }

    /// Waits until exactly `connections` are open; `false` if they are not by the deadline.
    #[must_use]
    pub fn wait_for_connections(&self, connections: usize, deadline: Instant) -> bool {
        self.wait_for(|tally| tally.connections == connections, deadline)
    }

    /// Waits until `accepted` connections were accepted since the start; `false` if they were not by
    /// the deadline.
    #[must_use]
    pub fn wait_for_accepted(&self, accepted: usize, deadline: Instant) -> bool {
        self.wait_for(|tally| tally.accepted >= accepted, deadline)
    }

    /// Waits until `bytes` went to the server since the start; `false` if they did not by the deadline.
    #[must_use]
    pub fn wait_for_bytes_up(&self, bytes: u64, deadline: Instant) -> bool {
        self.wait_for(|tally| tally.bytes_up >= bytes, deadline)
    }

    /// Waits until `bytes` came from the server since the start; `false` if they did not by the deadline.
    #[must_use]
    pub fn wait_for_bytes_down(&self, bytes: u64, deadline: Instant) -> bool {
        self.wait_for(|tally| tally.bytes_down >= bytes, deadline)
    }

    fn wait_for(&self, is_so: impl Fn(&Tally) -> bool, deadline: Instant) -> bool {
        self.tally.wait_for(|tally| is_so(tally).then_some(()), deadline).is_some()
    }

    fn tell(&self, job: impl FnOnce(&mut Relay) + Send + 'static) {
        if self.driver.call(job).is_none() {
            log::error!("the proxy's thread did not answer");
        }
    }
}
