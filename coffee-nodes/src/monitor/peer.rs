//! Where a monitor is: an address, or a host by its name.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use parking_lot::Mutex;

/// How often a name is resolved anew: containers change their addresses.
const ANEW: Duration = Duration::from_secs(1);

/// `HOST:PORT`, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    host: String,
    port: u16,
}

/// It is no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a monitor is given as HOST:PORT, with a port from 1 to 65535")]
pub struct PeerError;

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let (host, port) = text.rsplit_once(':').ok_or(PeerError)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(PeerError)?;
        let peer = Peer { host: host.to_owned(), port };
        let named = !host.is_empty() && !host.contains([':', '/', '[', ']', ' ']);
        if named || peer.address().is_some() { Ok(peer) } else { Err(PeerError) }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let (host, port) = (address.ip(), address.port());
        Peer { host: if host.is_ipv6() { format!("[{host}]") } else { host.to_string() }, port }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Peer {
    /// Its address, where that was given and not a name.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.to_string().parse().ok()
    }

    /// Where a monitor listens that others know by this: at that address, or at all where it is a name.
    pub(super) fn listen(&self) -> SocketAddr {
        self.address().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], self.port)))
    }

    fn resolve(&self, ipv6: bool) -> Option<SocketAddr> {
        self.to_string().to_socket_addrs().ok()?.find(|address| address.is_ipv6() == ipv6)
    }
}

/// The address of a peer as it is now.
#[derive(Debug)]
pub(super) struct Resolved(Arc<Mutex<Option<SocketAddr>>>);

impl Resolved {
    /// Names are resolved again and again, by a thread that is not joined: a look-up can't be interrupted. It ends soon after
    /// this is dropped.
    pub fn new(peer: &Peer, ipv6: bool) -> std::io::Result<Self> {
        let current = Arc::new(Mutex::new(peer.address()));
        if peer.address().is_none() {
            let (peer, known) = (peer.clone(), Arc::downgrade(&current));
            thread::Builder::new().name(format!("resolve {peer}")).spawn(move || keep_up(&peer, &known, ipv6))?;
        }
        Ok(Resolved(current))
    }

    /// `None` while the name is nobody's.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.0.lock()
    }
}

fn keep_up(peer: &Peer, known: &Weak<Mutex<Option<SocketAddr>>>, ipv6: bool) {
    loop {
        let address = peer.resolve(ipv6);
        let Some(current) = known.upgrade() else { return };
        *current.lock() = address;
        drop(current);
        thread::sleep(ANEW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_ports() {
        for (text, listen) in
            [("127.0.0.1:9100", "127.0.0.1:9100"), ("[::1]:7", "[::1]:7"), ("monitor-0:9100", "0.0.0.0:9100")]
        {
            let peer: Peer = text.parse().unwrap();
            assert_eq!((peer.to_string(), peer.listen().to_string()), (text.to_owned(), listen.to_owned()));
        }
        for wrong in ["", "monitor-0", ":9100", "a:0", "a:65536", "::1:7", "[::1]", "http://a:1", "a b:1"] {
            assert_eq!(wrong.parse::<Peer>(), Err(PeerError), "{wrong:?}");
        }
    }
}
