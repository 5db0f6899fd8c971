//! Sending: to all monitors or to one, without waiting for anybody.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use super::{Datagram, Key, Peer, decode, encode, peer::Resolved};

/// How long a send waits for room in the system's buffer, which hardly ever is full.
const ROOM: Duration = Duration::from_millis(1);

/// No datagram that makes sense is longer.
const LONGEST: usize = 2048;

/// So many datagrams are taken at once.
const MOST: usize = 256;

/// Sends from one socket. What does not go is dropped: it is said again soon.
#[derive(Debug)]
pub(crate) struct Post {
    socket: UdpSocket,
    key: Key,
    peers: Vec<Resolved>,
}

impl Post {
    /// To these monitors, from that socket, which may be received from as well. IPv6 is used where the socket has it.
    pub fn new(socket: &UdpSocket, key: Key, peers: &[Peer]) -> io::Result<Self> {
        socket.set_write_timeout(Some(ROOM))?;
        let ipv6 = socket.local_addr()?.is_ipv6();
        let peers = peers.iter().map(|peer| Resolved::new(peer, ipv6)).collect::<Result<_, _>>()?;
        Ok(Post { socket: socket.try_clone()?, key, peers })
    }

    /// From a socket of its own: over IPv6 where the first of them is an address of that kind.
    pub fn to(peers: &[Peer], key: Key) -> io::Result<Self> {
        let ipv6 = peers.first().and_then(Peer::address).is_some_and(|address| address.is_ipv6());
        let any: SocketAddr = if ipv6 { ([0_u16; 8], 0).into() } else { ([0, 0, 0, 0], 0).into() };
        Post::new(&UdpSocket::bind(any)?, key, peers)
    }

    /// What has come to the socket and was not taken; without waiting for more.
    pub fn received(&self) -> Vec<Datagram> {
        let (mut buffer, mut received) = ([0; LONGEST], Vec::new());
        while received.len() < MOST
            && let Ok((length, _)) = self.receive(&mut buffer)
        {
            received.extend(buffer.get(..length).and_then(|bytes| decode(self.key, bytes)));
        }
        received
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.set_read_timeout(Some(ROOM))?;
        self.socket.recv_from(buffer)
    }

    /// To one monitor, by its index.
    pub fn tell(&self, index: usize, datagram: &Datagram) {
        if let (Some(bytes), Some(peer)) = (encode(self.key, datagram), self.peers.get(index)) {
            self.send(&bytes, peer.address());
        }
    }

    /// To all monitors.
    pub fn tell_all(&self, datagram: &Datagram) {
        if let Some(bytes) = encode(self.key, datagram) {
            self.send_all(&bytes);
        }
    }

    /// To all monitors, a datagram's bytes.
    pub fn send_all(&self, bytes: &[u8]) {
        self.peers.iter().for_each(|peer| self.send(bytes, peer.address()));
    }

    /// To somebody who is no monitor.
    pub fn answer(&self, to: SocketAddr, datagram: &Datagram) {
        if let Some(bytes) = encode(self.key, datagram) {
            self.send(&bytes, Some(to));
        }
    }

    fn send(&self, bytes: &[u8], to: Option<SocketAddr>) {
        if let Some(to) = to
            && let Err(error) = self.socket.send_to(bytes, to)
        {
            log::trace!("{to}: nothing can be sent: {error}");
        }
    }
}
