//! Links to peers that are no brokers, and to one that is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use amiquip::{AmqpValue, ConsumerMessage, ConsumerOptions};

use super::*;
use crate::rabbitmq::failure::{Loss, ReplyCode};
use crate::testing::peer::{FromClient, ScriptedPeer, ToClient};

fn after(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

/// A peer that accepts one connection; its result is that of `serve`.
fn peer<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (RabbitConfig, JoinHandle<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let config = RabbitConfig::new("127.0.0.1", listener.local_addr().unwrap().port());
    (config, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// Reads until the other side ends the connection.
fn read_all(mut socket: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    bytes
}

#[track_caller]
fn fails_by_its_deadline(config: &RabbitConfig, millis: u64) {
    let begun = Instant::now();
    let failure = Link::open(config, Purpose::Publish, after(millis)).err();
    assert_eq!(failure, Some(Failure::Deadline));
    assert!(begun.elapsed() < Duration::from_millis(millis + 2000), "{:?}", begun.elapsed());
}

#[test]
fn a_silent_peer_is_given_up_at_the_deadline() {
    let (config, peer) = peer(|socket| read_all(&socket));
    fails_by_its_deadline(&config, 200);
    assert_eq!(peer.join().unwrap(), b"AMQP\0\0\x09\x01");
}

#[test]
fn a_peer_that_sends_byte_by_byte_is_given_up_at_the_deadline() {
    let (stop, stopped) = bounded::<Infallible>(0);
    let (config, peer) = peer(move |mut socket| {
        // A frame of 64 KiB, of which one byte comes at a time.
        let mut bytes = [1, 0, 0, 0, 1, 0, 0].into_iter().chain(std::iter::repeat(0));
        while stopped.recv_timeout(Duration::from_millis(5)).is_err_and(|error| error.is_timeout()) {
            if socket.write_all(&[bytes.next().unwrap()]).is_err() {
                break;
            }
        }
    });
    fails_by_its_deadline(&config, 200);
    drop(stop);
    peer.join().unwrap();
}

#[test]
fn a_peer_that_is_no_broker_is_a_typed_failure() {
    let (config, peer) = peer(|mut socket| {
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        read_all(&socket);
    });
    let failure = Link::open(&config, Purpose::Consume, after(10_000)).err().unwrap();
    assert_eq!(failure, Failure::Protocol("what came is no frame of AMQP".into()));
    peer.join().unwrap();
}

#[test]
fn the_hosts_are_tried_in_turn_each_for_its_time() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (silent, silent_peer) = peer(|socket| read_all(&socket).len());
    let (leaving, leaving_peer) = peer(drop);
    let config = RabbitConfig::new("127.0.0.1", closed)
        .host("127.0.0.1", silent.hosts[0].port)
        .host("127.0.0.1", leaving.hosts[0].port)
        .connect_timeout(Duration::from_millis(150));
    let failure = Link::open(&config, Purpose::Consume, after(10_000)).err().unwrap();
    assert!(matches!(failure, Failure::Lost(Loss::Socket | Loss::Io(_))), "{failure:?}");
    assert_eq!(silent_peer.join().unwrap(), 8);
    leaving_peer.join().unwrap();
}

#[test]
fn nothing_listens_and_nothing_resolves() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let open = |host: &str| Link::open(&RabbitConfig::new(host, closed), Purpose::Publish, after(5_000)).err();
    assert_eq!(open("127.0.0.1"), Some(Failure::Unreachable(std::io::ErrorKind::ConnectionRefused)));
    assert_eq!(open("localhost"), Some(Failure::Unreachable(std::io::ErrorKind::ConnectionRefused)));
    assert!(matches!(open("no-such-host.invalid"), Some(Failure::UnknownHost | Failure::Deadline)));
    let late = Link::open(&RabbitConfig::new("127.0.0.1", closed), Purpose::Publish, after(0));
    assert_eq!(late.err(), Some(Failure::Deadline));
}

/// A link to a peer that grants everything; what `then` sends comes after the answer.
fn scripted(
    mut then: impl FnMut(&FromClient, &mut crate::testing::peer::Link) + Send + 'static,
) -> (ScriptedPeer, Link) {
    let peer = ScriptedPeer::start(move |call, link| {
        link.standard(call);
        then(&call.method, link);
    });
    let peer = peer.unwrap();
    let config = RabbitConfig::new("127.0.0.1", peer.address().port());
    let link = Link::open(&config, Purpose::Consume, after(10_000)).unwrap();
    (peer, link)
}

#[test]
fn a_reason_that_is_cut_within_a_character_closes_the_channel_alone() {
    let (_peer, link) = scripted(|said, link| {
        if matches!(said, FromClient::Qos { .. }) {
            let text = "x".repeat(254) + "é";
            let arguments = [&[0x01, 0x94, 255], &text.as_bytes()[..255], &[0, 0, 0, 0]].concat();
            link.send(1, ToClient::Raw { class: 20, method: 40, arguments });
        }
    });
    let channel = link.open_channel(after(10_000)).unwrap();
    // The answer that came before the close counts.
    let _ = link.call(after(10_000), || channel.qos(0, 1, false));
    let closed = link.call(after(10_000), || channel.qos(0, 1, false)).unwrap_err();
    assert_eq!(closed, Failure::ChannelClosed { code: ReplyCode::NOT_FOUND, text: "x".repeat(254) + "?" });
    assert!(link.open_channel(after(10_000)).is_ok());
}

#[test]
fn headers_that_lie_too_deep_arrive_as_bytes() {
    let (_peer, link) = scripted(|said, link| {
        if matches!(said, FromClient::Consume { .. }) {
            let sized = |content: &[u8]| [&(content.len() as u32).to_be_bytes(), content].concat();
            let deep = (0..5000).fold(b"t\x01".to_vec(), |inner, _| [&b"A"[..], &sized(&inner)].concat());
            let table = sized(&[b"\x01k", &deep[..], b"\x01lt\x01"].concat());
            let header = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0], &table[..]].concat();
            let arguments = [&b"\x06ctag-1"[..], &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]].concat();
            link.send(1, ToClient::Raw { class: 60, method: 60, arguments });
            link.raw(&[&[2, 0, 1][..], &sized(&header), &[0xce]].concat());
        }
    });
    let channel = link.open_channel(after(10_000)).unwrap();
    let consumer = link.call(after(10_000), || channel.basic_consume("queue", ConsumerOptions::default())).unwrap();
    let message = consumer.receiver().recv_timeout(Duration::from_secs(10)).unwrap();
    let ConsumerMessage::Delivery(delivery) = message else { unreachable!("{message:?}") };
    let headers = delivery.properties.headers().as_ref().unwrap();
    assert!(matches!(headers["k"], AmqpValue::FieldArray(_)));
    assert_eq!(headers["l"], AmqpValue::Boolean(true));
    link.kill();
}
