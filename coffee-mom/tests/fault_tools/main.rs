//! The fault tools do what they say, and amiquip does what its users must know: the cases named
//! `trap_*` fail if a defect that is worked around goes away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod peer;
mod proxy;
mod traps;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use amiquip::{Auth, Connection, ConnectionOptions, ConnectionTuning};
use coffee_mom::testing::peer::{Call, FromClient, ScriptedPeer};

/// Far enough away that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn connect(address: SocketAddr) -> amiquip::Result<Connection> {
    let options = ConnectionOptions::<Auth>::default().connection_timeout(Some(PATIENCE));
    connect_with(address, options)
}

fn connect_with(address: SocketAddr, options: ConnectionOptions<Auth>) -> amiquip::Result<Connection> {
    let socket = mio::net::TcpStream::connect(&address).unwrap();
    Connection::insecure_open_stream(socket, options, ConnectionTuning::default())
}

/// Waits until a client has said what `is` is looking for.
fn wait_for(peer: &ScriptedPeer, is: impl Fn(&Call) -> bool) -> Call {
    peer.wait_for(|calls| calls.iter().find(|call| is(call)).cloned(), soon()).unwrap()
}

fn is_publish(call: &Call) -> bool {
    matches!(call.method, FromClient::Publish { .. })
}
