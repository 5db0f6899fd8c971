//! Where connections come in. It can be shut and opened again at the same address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Socket, Type};

use crate::testing::driver::Sockets;

/// Connections that the system accepts ahead of us.
const BACKLOG: i32 = 128;

pub(super) struct Door {
    address: SocketAddr,
    /// Bound but never listening: keeps the port ours, and refuses whoever comes while we are shut.
    _holder: Socket,
    listener: Option<TcpListener>,
    watched: bool,
}

impl Door {
    pub(super) fn open() -> io::Result<Self> {
        let holder = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = holder.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut door = Self { address, _holder: holder, listener: None, watched: false };
        door.set_open(true)?;
        Ok(door)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set_open(&mut self, open: bool) -> io::Result<()> {
        if !open {
            self.listener = None;
        } else if self.listener.is_none() {
            let socket = bind(self.address)?;
            socket.listen(BACKLOG)?;
            self.listener = Some(TcpListener::from_std(socket.into())?);
            self.watched = false;
        }
        Ok(())
    }

    /// Has the driver told of who comes, if it is not told yet.
    pub(super) fn watch(&mut self, sockets: &Sockets) {
        let Some(listener) = self.listener.as_ref().filter(|_| !self.watched) else { return };
        match sockets.watch(listener) {
            Ok(()) => self.watched = true,
            Err(error) => log::error!("the proxy can't wait for connections: {error}"),
        }
    }

    /// Who has come, if anybody has.
    pub(super) fn accept(&self) -> Option<TcpStream> {
        self.listener.as_ref()?.accept().ok().map(|(socket, _)| socket)
    }
}

/// Two sockets may be bound to one port as long as one of them listens at most.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
