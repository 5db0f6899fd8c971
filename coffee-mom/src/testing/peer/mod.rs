//! A server of AMQP 0-9-1 that plays a script, for what a real broker does rarely or never: answers
//! out of order, in the worst moment, or not at all. It keeps no messages and knows no exchanges.

mod content;
mod decoder;
mod field;
mod frame;
mod from_client;
mod link;
mod malformed;
mod session;
mod stage;
mod standard;
mod to_client;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpListener;

pub use from_client::FromClient;
pub use link::Link;
pub use malformed::Malformed;
pub use to_client::ToClient;

use crate::testing::driver::Driver;
use crate::testing::watch::Watch;
use stage::Stage;

/// Something that a client has sent, or done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// Which connection to the peer it is, counted from 1.
    pub connection: usize,
    /// The channel that it came on; 0 for what concerns the connection.
    pub channel: u16,
    /// What it is.
    pub method: FromClient,
}

/// A server on an own port of 127.0.0.1, for any number of connections.
///
/// The script is called with each thing that a client says, in order, on the peer's one thread. It
/// answers through the [`Link`], or leaves it to [`Link::standard`], or is silent. So a script is
/// what is special about it:
///
/// ```
/// use coffee_mom::testing::peer::{FromClient, ScriptedPeer};
///
/// // Refuses the third message of every channel, and is well-behaved otherwise.
/// let peer = ScriptedPeer::start(|call, link| match call.method {
///     FromClient::Publish { tag: 3, .. } => link.nack(call.channel, 3),
///     _ => link.standard(call),
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Dropped, the peer closes all connections and joins its thread.
pub struct ScriptedPeer {
    address: SocketAddr,
    calls: Arc<Watch<Vec<Call>>>,
    driver: Driver<Stage>,
}

impl ScriptedPeer {
    /// Starts a peer. A script that panics ends it: its clients see a failure.
    ///
    /// # Errors
    /// The system gives no socket or no thread.
    pub fn start(script: impl FnMut(&Call, &mut Link) + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let calls = Arc::<Watch<Vec<Call>>>::default();
        let recorded = calls.clone();
        let driver = Driver::start("scripted-peer", move |sockets| {
            sockets.watch(&listener)?;
            Ok(Stage::new(listener, sockets, Box::new(script), recorded))
        })?;
        Ok(Self { address, calls, driver })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends to a client out of turn: runs `tell` on the peer's thread, between two things that
    /// clients say, and returns when it has run. `false` if the connection is over, or not there yet.
    #[must_use]
    pub fn tell(&self, connection: usize, tell: impl FnOnce(&mut Link) + Send + 'static) -> bool {
        self.driver.call(move |stage| stage.tell(connection, tell)).unwrap_or(false)
    }

    /// All that clients have said so far, in order; of all connections, each with its number.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.read(Vec::clone)
    }

    /// Waits until `look` finds something in what clients have said; `None` if it has not by the
    /// deadline. The script has been called, or is being called, with what is found; a
    /// [`tell`](Self::tell) comes after it.
    pub fn wait_for<R>(&self, mut look: impl FnMut(&[Call]) -> Option<R>, deadline: Instant) -> Option<R> {
        self.calls.wait_for(|calls| look(calls), deadline)
    }
}
