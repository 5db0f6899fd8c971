//! Peers that are no good clients cost little, and are told or cut off.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use coffee_mom::tls::{Identity, TlsConfig, TlsServerConfig};

use super::support::*;
use crate::{
    gateway::Gateway,
    wire::{Refusal, ToClient, ToGateway, certificates::Certificates},
};

/// Short waits, and how long it takes at most until someone is cut off.
fn impatient() -> (Cluster, Duration) {
    let mut cluster = Cluster::new(false);
    cluster.options.handshake = Duration::from_millis(300);
    cluster.options.ping = Duration::from_millis(100);
    cluster.options.patience = Duration::from_millis(600);
    (cluster, Duration::from_secs(5))
}

/// Reads until the gateway closes; true where it did so in time.
fn is_closed(mut stream: TcpStream, within: Duration) -> bool {
    let begin = Instant::now();
    let mut said = Vec::new();
    // A reset is as good an end.
    let _ = stream.read_to_end(&mut said);
    begin.elapsed() < within
}

#[test]
fn garbage_and_other_versions_are_answered_and_closed() {
    let (cluster, within) = impatient();
    let gateway = cluster.gateway();
    for first in [&b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..], b"COFFEE\xff\xff", b"\0\0\0\0\0\0\0\0\0\0", b"COF"] {
        let mut stream = socket(&gateway);
        stream.write_all(first).unwrap();
        assert!(is_closed(stream, within));
    }
    let mut stream = socket(&gateway);
    stream.write_all(b"COFFEE\x07\x00").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let text = String::from_utf8_lossy(&said).into_owned();
    assert!(said.starts_with(b"COFFEE") && text.contains("version 7"), "{text:?}");
    gateway.stop(soon()).unwrap();
}

#[test]
fn one_deadline_stands_for_the_greeting_and_the_hello() {
    let (mut cluster, _) = impatient();
    let handshake = Duration::from_secs(2);
    cluster.options.handshake = handshake;
    let gateway = cluster.gateway();
    let (mut stream, begin) = (socket(&gateway), Instant::now());
    // Each part comes in time, and all of them together too late.
    let hello: Vec<u8> = [&b"COFFEE\x01\x00"[..], &[200, 0, 0, 0, 0, 0, 0, 0], &[0; 200]].concat();
    let mut parts = hello.chunks(8);
    let mut write = || parts.next().is_some_and(|part| stream.write_all(part).is_ok());
    while begin.elapsed() < handshake + handshake / 4 && write() {
        std::thread::sleep(handshake / 8);
    }
    assert!(is_closed(stream, handshake / 4), "nothing more was to be waited for");
    assert!(begin.elapsed() < 2 * handshake, "{:?}", begin.elapsed());
    gateway.stop(soon()).unwrap();
}

#[test]
fn oversized_and_senseless_messages_are_refused() {
    let (cluster, _) = impatient();
    let gateway = cluster.gateway();
    let oversized = [5_000_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat();
    let first = |bytes: &[u8]| {
        let mut stream = socket(&gateway);
        stream.write_all(b"COFFEE\x01\x00").unwrap();
        stream.write_all(bytes).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        said.len() > 8 + 8
    };
    assert!(first(&oversized), "a first message is short");
    assert!(first(&[1, 0, 0, 0, 0, 0, 0, 0, 77]), "there is no such message");
    assert!(first(&[1, 0, 0, 0, 255, 255, 255, 255, 8]), "no payload is that long");
    let mut peer = Peer::stranger(&gateway);
    peer.say(&ToGateway::List);
    assert_eq!(peer.last_word(), Some(Refusal::Protocol), "a hello comes first");
    gateway.stop(soon()).unwrap();
}

#[test]
fn who_is_silent_or_trickles_is_cut_off() {
    let (cluster, within) = impatient();
    let gateway = cluster.gateway();
    assert!(is_closed(socket(&gateway), within), "silent from the start");
    let trickles = |greeting: &[u8]| {
        let mut stream = socket(&gateway);
        stream.write_all(greeting).unwrap();
        let mut reading = stream.try_clone().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < within {
            if stream.write_all(&[0]).is_err() || is_over(&mut reading) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    };
    assert!(trickles(b""), "in the greeting");
    assert!(trickles(b"COFFEE\x01\x00\xff\x00\x00\x00\x00\x00\x00\x00"), "in the hello");
    let mut peer = Peer::connect(&gateway);
    let begin = Instant::now();
    let mut pings = 0;
    while let Ok((message, _)) = peer.receiver.next::<ToClient>() {
        pings += usize::from(message == ToClient::Ping);
    }
    assert!(pings >= 2 && begin.elapsed() < within, "{pings} pings");
    gateway.stop(soon()).unwrap();
}

/// Whether the other side has closed, without waiting long.
fn is_over(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    !matches!(stream.read(&mut [0; 64]), Ok(1..)) && {
        let error = stream.read(&mut [0; 64]).map(|read| read == 0);
        error.unwrap_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    }
}

#[test]
fn who_answers_pings_stays() {
    let (cluster, _) = impatient();
    let gateway = cluster.gateway();
    let mut peer = Peer::connect(&gateway);
    let begin = Instant::now();
    while begin.elapsed() < 3 * cluster.options.patience {
        let (message, _) = peer.receiver.next::<ToClient>().unwrap();
        assert_eq!(message, ToClient::Ping);
        peer.say(&ToGateway::Pong);
    }
    assert_eq!(peer.ask(&ToGateway::Ping), ToClient::Pong);
    gateway.stop(soon()).unwrap();
}

#[test]
fn who_only_pings_does_not_keep_a_place() {
    let (mut cluster, within) = impatient();
    cluster.options.idle = Duration::from_millis(400);
    let gateway = cluster.gateway();
    let (mut idle, mut client) = (Peer::connect(&gateway), Peer::connect(&gateway));
    let spec = cluster.spec("sales");
    let job = client.begin(&spec);
    client.start(job, &spec);
    let begin = Instant::now();
    let word = loop {
        assert!(begin.elapsed() < within, "it stays for ever");
        assert_eq!(client.ask(&ToGateway::Ping), ToClient::Pong, "a session is a reason to be here");
        match idle.ask(&ToGateway::Ping) {
            ToClient::Pong => std::thread::sleep(Duration::from_millis(20)),
            other => break other,
        }
    };
    assert!(matches!(word, ToClient::Refused { code: Refusal::Unavailable, .. }), "{word:?}");
    assert!(begin.elapsed() >= cluster.options.idle);
    // Once the job has ended, the session is none any more.
    client.say(&ToGateway::Cancel { job });
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < within, "it stays for ever");
        match client.ask(&ToGateway::Ping) {
            ToClient::Refused { code, .. } => break assert_eq!(code, Refusal::Unavailable),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    gateway.stop(soon()).unwrap();
}

#[test]
fn who_asks_and_does_not_read_is_cut_off() {
    let (cluster, within) = impatient();
    let gateway = cluster.gateway();
    let mut peer = Peer::connect(&gateway);
    let begin = Instant::now();
    while peer.sender.put(&ToGateway::Ping).is_ok() {
        assert!(begin.elapsed() < 4 * within, "it is served for ever");
    }
    assert!(connects(&gateway), "others are served");
    gateway.stop(soon()).unwrap();
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    let (mut cluster, _) = impatient();
    cluster.options.max_connections = 8;
    cluster.options.handshake = Duration::from_secs(30);
    let gateway = cluster.gateway();
    let good: Vec<Peer> = (0..8).map(|_| Peer::connect(&gateway)).collect();
    for _ in 0..200 {
        assert_eq!(Peer::stranger(&gateway).last_word(), Some(Refusal::Full));
    }
    let idle: Vec<TcpStream> = (0..800).map(|_| socket(&gateway)).collect();
    assert!(threads_of("gateway reading") <= 8 * 10, "of all tests that run now");
    drop(good);
    eventually("there is room again", || connects(&gateway));
    drop(idle);
    gateway.stop(soon()).unwrap();
}

fn connects(gateway: &Gateway) -> bool {
    let mut peer = Peer::stranger(gateway);
    let _ = peer.sender.send(&ToGateway::Hello { token: None }, &[]);
    matches!(peer.receiver.next(), Ok((ToClient::Welcome, 0)))
}

fn threads_of(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| name.starts_with(found.trim()) || found.starts_with(name)).count()
}

#[test]
fn who_finds_no_room_is_told_so_under_tls_too() {
    let files = Certificates::new("gateway-full");
    let mut cluster = Cluster::new(false);
    cluster.options.max_connections = 2;
    cluster.options.tls = Some(TlsServerConfig::new(Identity::new(&files.server.certificate, &files.server.key)));
    let gateway = cluster.gateway();
    let tls = TlsConfig::default().authority(&files.authority);
    let mut inside = [(); 2].map(|()| Peer::by(&gateway, Some(&tls)));
    inside.iter_mut().for_each(|peer| assert_eq!(peer.hello(None), ToClient::Welcome));
    for _ in 0..3 {
        let refused = Peer::by(&gateway, Some(&tls)).hello(None);
        assert!(matches!(refused, ToClient::Refused { code: Refusal::Full, .. }), "{refused:?}");
    }
    drop(inside);
    eventually("there is room", || Peer::by(&gateway, Some(&tls)).hello(None) == ToClient::Welcome);
    gateway.stop(soon()).unwrap();
}
