//! Encrypted connections do what plain ones do, and let nobody in who should not be.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use coffee_mom::tls::{Identity, TlsServerConfig};

use super::*;
use crate::wire::{
    Receiver, Sender, ToClient, ToGateway, accept,
    certificates::{Certificates, SERVER_NAME},
    connect, greet,
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn client(files: &Certificates) -> TlsConfig {
    TlsConfig::default().authority(&files.authority).server_name(SERVER_NAME)
}

fn identified(files: &Certificates) -> TlsConfig {
    client(files).identity(&files.client.certificate, &files.client.key)
}

fn server(files: &Certificates) -> TlsServerConfig {
    TlsServerConfig::new(Identity::new(&files.server.certificate, &files.server.key))
}

type Halves = (Sender, Receiver);

/// Both ends of a connection, whose server's waits so long. None of them is encrypted where it has no config.
fn pair(server: Option<&TlsServerConfig>, client: Option<&TlsConfig>, patience: Duration) -> (Halves, Halves) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connected = connect(address, &address.to_string(), client, LONG, LONG).unwrap();
    let config = server.map(|config| config.server().unwrap());
    (accept(listener.accept().unwrap().0, config.as_ref(), patience).unwrap(), connected)
}

/// What becomes of the greetings: the server's, and the client's with the first word of the server.
fn met((server, client): (Halves, Halves)) -> (Result<(), WireError>, Result<ToClient, WireError>) {
    let serving = thread::spawn(move || {
        let (mut sender, mut receiver) = server;
        let greeted = greet(&mut sender, &mut receiver);
        if greeted.is_ok() {
            sender.send(&ToClient::Welcome, &[]).unwrap();
        }
        receiver.drain(Duration::from_secs(5));
        greeted
    });
    let (mut sender, mut receiver) = client;
    let heard = greet(&mut sender, &mut receiver).and_then(|()| Ok(receiver.next()?.0));
    drop((sender, receiver));
    (serving.join().unwrap(), heard)
}

/// Sends messages whose payloads have these lengths.
fn send(mut sender: Sender, lengths: &[usize]) {
    for (number, length) in lengths.iter().enumerate() {
        sender.send(&ToGateway::Took { pieces: number as u64 }, &vec![number as u8; *length]).unwrap();
    }
    sender.finish().unwrap();
}

/// Receives what the other side [sends](send), to its end.
fn receive(mut receiver: Receiver, lengths: &[usize]) {
    for (number, length) in lengths.iter().enumerate() {
        assert_eq!(receiver.next::<ToGateway>().unwrap().0, ToGateway::Took { pieces: number as u64 });
        let mut payload = Vec::new();
        receiver.payload(&mut payload).unwrap();
        assert!(payload == vec![number as u8; *length], "message {number} of {length} bytes");
    }
    assert!(matches!(receiver.next::<ToGateway>(), Err(WireError::Closed)));
}

#[test]
fn messages_go_both_ways_at_once() {
    let files = Certificates::new("wire-both-ways");
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut length = |_| {
            let most = 1 << random.u32(0..20);
            random.usize(0..=most)
        };
        let up: Vec<usize> = (0..40).map(&mut length).collect();
        let down: Vec<usize> = (0..40).map(&mut length).collect();
        let (mut server, mut client) = pair(Some(&server(&files)), Some(&client(&files)), LONG);
        thread::scope(|scope| {
            scope.spawn(|| greet(&mut server.0, &mut server.1).unwrap());
            greet(&mut client.0, &mut client.1).unwrap();
        });
        thread::scope(|scope| {
            scope.spawn(|| send(client.0, &up));
            scope.spawn(|| send(server.0, &down));
            scope.spawn(|| receive(client.1, &down));
            receive(server.1, &up);
        });
    }
}

#[test]
fn only_who_is_trusted_is_met() {
    let (files, others) = (Certificates::new("wire-trusted"), Certificates::new("wire-others"));
    let open = server(&files);
    let closed = server(&files).client_authority(&files.authority);
    for (server, client) in [(&open, client(&files)), (&open, identified(&files)), (&closed, identified(&files))] {
        let (served, heard) = met(pair(Some(server), Some(&client), LONG));
        served.unwrap();
        assert_eq!(heard.unwrap(), ToClient::Welcome);
    }
    let stranger = client(&files).identity(&others.client.certificate, &others.client.key);
    let refused = [
        (&open, client(&others)),
        (&open, client(&files).server_name("elsewhere.test")),
        (&closed, client(&files)),
        (&closed, stranger),
    ];
    for (server, client) in refused {
        let (served, heard) = met(pair(Some(server), Some(&client), LONG));
        assert!(matches!(served, Err(WireError::Tls(_))), "{served:?} of {client:?}");
        assert!(matches!(heard, Err(WireError::Tls(_))), "{heard:?} of {client:?}");
    }
}

#[test]
fn plain_and_encrypted_don_t_meet() {
    let files = Certificates::new("wire-plain");
    let (served, heard) = met(pair(Some(&server(&files)), None, LONG));
    assert!(matches!(served, Err(WireError::Tls(_))), "{served:?}");
    assert!(matches!(heard, Err(WireError::WantsTls)), "{heard:?}");
    let (served, heard) = met(pair(None, Some(&client(&files)), LONG));
    assert!(matches!(served, Err(WireError::Protocol(_))), "{served:?}");
    assert!(matches!(heard, Err(WireError::Tls(_))), "{heard:?}");
}

#[test]
fn files_that_can_t_be_used_are_named() {
    let files = Certificates::new("wire-files");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let missing = TlsConfig::default().authority(files.missing());
    let error = connect(nobody, "127.0.0.1:1", Some(&missing), SHORT, SHORT).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    let error = connect(nobody, "no name:1", Some(&client(&files).server_name("no name")), SHORT, SHORT).unwrap_err();
    assert!(matches!(error, WireError::Name(_)), "{error}");
}

#[test]
fn who_trickles_or_does_not_read_is_cut_off() {
    let files = Certificates::new("wire-trickles");
    let ((mut sender, mut receiver), _client) = pair(Some(&server(&files)), None, SHORT);
    assert!(matches!(greet(&mut sender, &mut receiver), Err(WireError::Silent)), "who says nothing");

    // A record that takes for ever to arrive, of which each byte comes in time.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut raw = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let config = server(&files).server().unwrap();
    let (mut sender, mut receiver) = accept(listener.accept().unwrap().0, Some(&config), SHORT).unwrap();
    let trickling = thread::spawn(move || {
        let hello = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3].into_iter().chain(std::iter::repeat(0));
        for byte in hello.take(200) {
            if raw.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(SHORT / 8);
        }
        panic!("it is never cut off");
    });
    assert!(matches!(greet(&mut sender, &mut receiver), Err(WireError::Silent)), "who trickles");
    drop((sender, receiver));
    trickling.join().unwrap();

    let (mut server, mut client) = pair(Some(&server(&files)), Some(&client(&files)), LONG);
    thread::scope(|scope| {
        scope.spawn(|| greet(&mut client.0, &mut client.1).unwrap());
        greet(&mut server.0, &mut server.1).unwrap();
    });
    server.0.set_patience(SHORT);
    let error = std::iter::repeat_with(|| server.0.send(&ToClient::Pong, &[0; 1 << 20])).find_map(Result::err);
    assert!(matches!(error, Some(WireError::Silent)), "{error:?}");
}

#[test]
fn a_connection_that_is_cut_is_closed_for_both() {
    let files = Certificates::new("wire-cut");
    let (mut server, mut client) = pair(Some(&server(&files)), Some(&client(&files)), LONG);
    thread::scope(|scope| {
        scope.spawn(|| greet(&mut client.0, &mut client.1).unwrap());
        greet(&mut server.0, &mut server.1).unwrap();
    });
    client.0.shutdown();
    assert!(matches!(server.1.next::<ToGateway>(), Err(WireError::Closed | WireError::Io(_))));
    assert!(matches!(client.1.next::<ToClient>(), Err(WireError::Closed | WireError::Io(_))));
}
