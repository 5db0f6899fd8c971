//! How a thread that waits for connections is made to look around.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Makes whoever accepts connections there accept one more, which says nothing.
pub(crate) fn knock(address: SocketAddr) {
    let mut address = address;
    match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) if address.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    // Where there is no room for one more, the thread does not wait.
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}
