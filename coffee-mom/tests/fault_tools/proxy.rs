//! The proxy, between plain sockets and between amiquip and a scripted peer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use amiquip::{Confirm, Exchange, Publish};
use coffee_mom::testing::peer::ScriptedPeer;
use coffee_mom::testing::proxy::Proxy;

use crate::{PATIENCE, connect, soon};

struct Server(TcpListener);

impl Server {
    fn behind_proxy() -> (Self, Proxy) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
        (Self(listener), proxy)
    }

    /// A connection through the proxy, seen from both ends.
    fn connect(&self, proxy: &Proxy) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address()).unwrap();
        let (server, _) = self.0.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
            end.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        (client, server)
    }
}

/// Passes some bytes from one end to the other.
fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut got = vec![0; bytes.len()];
    to.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

fn assert_reset(end: &mut TcpStream) {
    assert_eq!(end.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn bytes_and_ends_of_streams_go_both_ways() {
    let (server, proxy) = Server::behind_proxy();
    let (mut near, mut far) = server.connect(&proxy);
    pass(&mut near, &mut far, b"request");
    pass(&mut far, &mut near, b"a reply");
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(far.read(&mut [0; 1]).unwrap(), 0);
    pass(&mut far, &mut near, b"the rest");
    drop(far);
    assert_eq!(near.read(&mut [0; 1]).unwrap(), 0);
    assert!(proxy.wait_for_connections(0, soon()));
    assert_eq!((proxy.accepted(), proxy.bytes_up(), proxy.bytes_down()), (1, 7, 15));
}

#[test]
fn a_pause_holds_the_bytes_back_and_loses_none() {
    let (server, proxy) = Server::behind_proxy();
    let (mut near, mut far) = server.connect(&proxy);
    pass(&mut near, &mut far, b"before");
    assert!(proxy.wait_for_bytes_up(6, soon()));
    proxy.pause();
    near.set_nonblocking(true).unwrap();
    let mut written = 0;
    while let Ok(bytes) = near.write(&[7; 1 << 16]) {
        written += bytes;
    }
    assert_eq!(proxy.bytes_up(), 6);
    assert!(!proxy.wait_for_bytes_up(7, Instant::now()));
    proxy.resume();
    let mut got = vec![0; written];
    far.read_exact(&mut got).unwrap();
    assert!(got.iter().all(|byte| *byte == 7));
    assert!(proxy.wait_for_bytes_up(6 + written as u64, soon()));
}

#[test]
fn a_reset_reaches_both_ends_and_new_connections_come_through() {
    let (server, proxy) = Server::behind_proxy();
    let (mut near, mut far) = server.connect(&proxy);
    assert!(proxy.wait_for_connections(1, soon()));
    proxy.reset();
    assert_eq!(proxy.connections(), 0);
    assert_reset(&mut near);
    assert_reset(&mut far);
    let (mut near, mut far) = server.connect(&proxy);
    pass(&mut near, &mut far, b"again");
    assert!(proxy.wait_for_accepted(2, soon()));
}

#[test]
fn a_black_hole_swallows_bytes_and_ends_and_its_victims_do_not_survive_it() {
    let (server, proxy) = Server::behind_proxy();
    let (mut lossy, mut lossy_far) = server.connect(&proxy);
    let (mut idle, mut idle_far) = server.connect(&proxy);
    let (ending, mut ending_far) = server.connect(&proxy);
    assert!(proxy.wait_for_connections(3, soon()));
    proxy.blackhole(true);
    lossy.write_all(&vec![7; 32 << 20]).unwrap();
    drop(ending);
    assert_eq!((proxy.connections(), proxy.bytes_up()), (3, 0));
    proxy.blackhole(false);
    assert_reset(&mut lossy);
    assert_reset(&mut lossy_far);
    assert_reset(&mut ending_far);
    pass(&mut idle, &mut idle_far, b"still here");
}

#[test]
fn a_throttle_slows_down_and_can_be_lifted() {
    let (server, proxy) = Server::behind_proxy();
    let (mut near, mut far) = server.connect(&proxy);
    proxy.throttle(Some(1 << 20));
    let start = Instant::now();
    pass(&mut near, &mut far, &vec![7; 300 << 10]);
    // The time that 300 KiB take, less what may have been saved up.
    assert!(start.elapsed() > Duration::from_millis(200));
    proxy.throttle(None);
    let start = Instant::now();
    pass(&mut near, &mut far, &vec![7; 2 << 20]);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_refusal_leaves_open_connections_and_the_port() {
    let (server, proxy) = Server::behind_proxy();
    let (mut near, mut far) = server.connect(&proxy);
    for _ in 0..3 {
        proxy.refuse(true).unwrap();
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        pass(&mut near, &mut far, b"still here");
        proxy.refuse(false).unwrap();
        let (mut other, mut other_far) = server.connect(&proxy);
        pass(&mut other, &mut other_far, b"open again");
    }
}

#[test]
fn a_reset_comes_after_just_so_many_bytes() {
    let (server, proxy) = Server::behind_proxy();
    let (mut idle, mut idle_far) = server.connect(&proxy);
    let (mut near, mut far) = server.connect(&proxy);
    pass(&mut near, &mut far, b"before");
    proxy.reset_after(100_000);
    near.write_all(&[7; 100_001]).unwrap();
    assert!(proxy.wait_for_bytes_up(100_006, soon()));
    assert!(proxy.wait_for_connections(1, soon()));
    assert_eq!(proxy.bytes_up(), 100_006);
    assert_reset(&mut near);
    let mut got = Vec::new();
    assert_eq!(far.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(got.len() <= 100_000);
    pass(&mut idle, &mut idle_far, &[7; 200_000]);
}

#[test]
fn a_client_without_a_server_is_reset() {
    let (server, proxy) = Server::behind_proxy();
    drop(server);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_reset(&mut client);
    assert!(proxy.wait_for_connections(0, soon()));
}

#[test]
fn a_drop_closes_in_any_state() {
    for state in [Proxy::pause, |proxy: &Proxy| proxy.blackhole(true), |proxy: &Proxy| proxy.throttle(Some(1))] {
        let (server, proxy) = Server::behind_proxy();
        let (mut near, mut far) = server.connect(&proxy);
        state(&proxy);
        near.write_all(b"never passed").unwrap();
        drop(proxy);
        // An end or a reset, by whether something was left unread.
        assert!(matches!(near.read(&mut [0; 1]), Ok(0) | Err(_)));
        assert!(matches!(far.read(&mut [0; 1]), Ok(_) | Err(_)));
    }
}

#[test]
fn amiquip_gets_its_confirms_when_a_pause_is_over() {
    let peer = ScriptedPeer::start(|call, link| link.standard(call)).unwrap();
    let proxy = Proxy::start(peer.address()).unwrap();
    let mut connection = connect(proxy.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let confirms = channel.listen_for_publisher_confirms().unwrap();
    channel.enable_publisher_confirms().unwrap();
    proxy.pause();
    let before = proxy.bytes_up();
    Exchange::direct(&channel).publish(Publish::new(&[7; 1000], "queue")).unwrap();
    assert_eq!(proxy.bytes_up(), before);
    proxy.resume();
    assert!(matches!(confirms.recv_deadline(soon()).unwrap(), Confirm::Ack(ack) if ack.delivery_tag == 1));
    connection.close().unwrap();
}
