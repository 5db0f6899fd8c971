//! Whole messages come out of whatever a socket makes of them, and nothing else does harm.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use coffee_core::frame::{JobId, Sinks};
use proptest::prelude::*;

use super::*;
use crate::job::{FileManifest, JobSpec, Manifest, Place, TableManifest};

const PATIENCE: Duration = Duration::from_millis(200);

/// A raw socket, and the two halves of the connection's other end.
fn pair(patience: Duration) -> (TcpStream, Sender, Receiver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let raw = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    raw.set_nodelay(true).unwrap();
    let (sender, receiver) = accept(listener.accept().unwrap().0, None, patience).unwrap();
    (raw, sender, receiver)
}

fn long() -> Duration {
    Duration::from_secs(20)
}

fn messages() -> impl Strategy<Value = Vec<(ToGateway, Vec<u8>)>> {
    let job = any::<(u64, u64)>().prop_map(|(cluster, number)| JobId { cluster, number });
    let have = prop::collection::vec((".{0,9}", any::<u64>()), 0..4);
    let message = prop_oneof![
        Just(ToGateway::Ping),
        any::<Option<String>>().prop_map(|token| ToGateway::Hello { token }),
        (job, have).prop_map(|(job, have)| ToGateway::Results { job, have }),
        any::<(u16, u64, u64)>().prop_map(|(table, seq, offset)| {
            let at = Place { file: 1, offset, line: seq };
            ToGateway::Chunk { table, seq, at, next: at }
        }),
    ];
    let payload = prop_oneof![Just(vec![]), prop::collection::vec(any::<u8>(), 0..200_000)];
    prop::collection::vec((message, payload), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_survive_any_cutting(messages in messages(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        // What a sender writes, cut anew.
        let (mut written, mut sender, _receiver) = pair(long());
        let sent = messages.clone();
        let sending = thread::spawn(move || {
            for (message, payload) in &sent {
                if payload.is_empty() { sender.put(message).unwrap() } else { sender.send(message, payload).unwrap() }
            }
            sender.finish().unwrap();
        });
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut written, &mut bytes).unwrap();
        sending.join().unwrap();
        let (mut raw, _sender, mut receiver) = pair(long());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let cutting = thread::spawn(move || {
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                raw.write_all(&bytes[from..cut]).unwrap();
                from = cut;
                thread::yield_now();
            }
        });
        for (message, payload) in messages {
            let (received, length) = receiver.next::<ToGateway>().unwrap();
            prop_assert_eq!((received, length as usize), (message, payload.len()));
            let mut appended = b"before".to_vec();
            receiver.payload(&mut appended).unwrap();
            prop_assert_eq!(appended, [b"before", &payload[..]].concat());
        }
        prop_assert!(matches!(receiver.next::<ToGateway>(), Err(WireError::Closed)));
        cutting.join().unwrap();
    }

    #[test]
    fn garbage_is_an_error_and_takes_no_more_memory_than_it_has_bytes(
        length in prop_oneof![0..200u32, any::<u32>()],
        payload in prop_oneof![0..200u32, 0..MAX_PAYLOAD, any::<u32>()],
        garbage in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let (mut raw, _sender, mut receiver) = pair(long());
        raw.write_all(&[&length.to_le_bytes()[..], &payload.to_le_bytes(), &garbage].concat()).unwrap();
        drop(raw);
        let mut buffer = Vec::new();
        while receiver.next::<ToGateway>().is_ok() && receiver.payload(&mut buffer).is_ok() {}
        prop_assert!(buffer.capacity() <= (64 << 10), "{} bytes for {}", buffer.capacity(), garbage.len());
    }
}

#[test]
fn a_payload_that_is_not_taken_is_out_of_place() {
    let (raw, _, mut receiver) = pair(long());
    let (mut sender, _) = accept(raw, None, long()).unwrap();
    sender.send(&ToGateway::Ping, b"payload").unwrap();
    assert_eq!(receiver.next::<ToGateway>().unwrap(), (ToGateway::Ping, 7));
    assert!(matches!(receiver.next::<ToGateway>(), Err(WireError::Protocol(_))));
}

#[test]
fn limits_are_kept_on_both_sides() {
    let (_raw, mut sender, _receiver) = pair(long());
    let too_long = vec![0; MAX_PAYLOAD as usize + 1];
    assert!(matches!(sender.send(&ToGateway::Ping, &too_long), Err(WireError::Protocol(_))));
    let token = Some("x".repeat(MAX_MESSAGE as usize));
    assert!(matches!(sender.put(&ToGateway::Hello { token }), Err(WireError::Protocol(_))));
    let (raw, _, mut receiver) = pair(long());
    let (mut sender, _) = accept(raw, None, long()).unwrap();
    receiver.set_limit(100);
    sender.put(&ToGateway::Hello { token: Some("x".repeat(90)) }).unwrap();
    sender.send(&ToGateway::Hello { token: Some("x".repeat(100)) }, &[]).unwrap();
    receiver.next::<ToGateway>().unwrap();
    assert!(matches!(receiver.next::<ToGateway>(), Err(WireError::Protocol(_))));
}

/// Writes a byte now and then until the other side is gone, or for two seconds.
fn trickle(mut raw: TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for byte in bytes.into_iter().cycle().take(40) {
            if raw.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    })
}

#[test]
fn who_trickles_a_message_or_payload_or_greeting_is_cut_off() {
    let cut_off = |read: &dyn Fn(&mut Sender, &mut Receiver) -> WireError, first: &[u8]| {
        let (mut raw, mut sender, mut receiver) = pair(PATIENCE);
        raw.write_all(first).unwrap();
        let trickling = trickle(raw, vec![0]);
        let begin = Instant::now();
        assert!(matches!(read(&mut sender, &mut receiver), WireError::Silent));
        assert!(begin.elapsed() < Duration::from_secs(1));
        drop((sender, receiver));
        trickling.join().unwrap();
    };
    let length = |length: u32, payload: u32| [length.to_le_bytes(), payload.to_le_bytes()].concat();
    cut_off(&|_, receiver| receiver.next::<ToGateway>().unwrap_err(), &length(200, 0));
    cut_off(&|_, receiver| receiver.next::<ToGateway>().unwrap_err(), &[200]);
    cut_off(
        &|_, receiver| {
            receiver.next::<ToGateway>().unwrap();
            receiver.payload(&mut Vec::new()).unwrap_err()
        },
        &[&length(1, 200)[..], &[7]].concat(),
    );
    cut_off(&|sender, receiver| greet(sender, receiver).unwrap_err(), b"");
}

#[test]
fn a_deadline_stands_for_all_messages_until_there_is_patience_again() {
    let (mut raw, mut sender, mut receiver) = pair(long());
    let begin = Instant::now();
    receiver.set_deadline(begin + PATIENCE);
    sender.set_deadline(begin);
    let ping = [1, 0, 0, 0, 0, 0, 0, 0, 7];
    let error = loop {
        raw.write_all(&ping).unwrap();
        match receiver.next::<ToGateway>() {
            Ok(_) => thread::sleep(PATIENCE / 8),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WireError::Silent), "{error}");
    assert!(begin.elapsed() < 3 * PATIENCE, "{:?}", begin.elapsed());
    assert!(matches!(sender.send(&ToClient::Pong, &[]), Err(WireError::Silent)));
    receiver.set_patience(long());
    assert!(receiver.next::<ToGateway>().is_ok());
}

#[test]
fn who_does_not_read_is_cut_off() {
    let (raw, mut sender, _receiver) = pair(PATIENCE);
    let begin = Instant::now();
    let error = loop {
        if let Err(error) = sender.send(&ToClient::Pong, &[0; 1 << 20]) {
            break error;
        }
    };
    assert!(matches!(error, WireError::Silent));
    assert!(begin.elapsed() < Duration::from_secs(5));
    drop(raw);
}

#[test]
fn only_the_same_version_is_greeted() {
    let greeted = |greeting: &[u8]| {
        let (mut raw, mut sender, mut receiver) = pair(PATIENCE);
        raw.write_all(greeting).unwrap();
        greet(&mut sender, &mut receiver)
    };
    greeted(b"COFFEE\x01\x00").unwrap();
    assert!(matches!(greeted(b"COFFEE\x02\x01"), Err(WireError::Version(0x102))));
    assert!(matches!(greeted(b"TEA FOR TWO"), Err(WireError::Protocol(_))));
    assert!(matches!(greeted(b"COF"), Err(WireError::Silent)));
}

#[test]
fn the_last_word_arrives_though_more_came_than_was_read() {
    let (mut raw, mut sender, mut receiver) = pair(long());
    raw.write_all(&[0; 100_000]).unwrap();
    let ends = thread::spawn(move || {
        sender.put(&ToClient::Pong).unwrap();
        sender.finish().unwrap();
        receiver.drain(Duration::from_secs(10));
    });
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut raw, &mut said).unwrap();
    assert_eq!(said.len(), 9);
    drop(raw);
    ends.join().unwrap();
}

/// What comes out at the other end of a connection.
fn passed(message: &ToGateway) -> Result<ToGateway, WireError> {
    let (raw, _, mut receiver) = pair(long());
    let (mut sender, _) = accept(raw, None, long()).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || sender.send(message, &[]).unwrap());
        receiver.next().map(|(message, _)| message)
    })
}

fn begin(tables: Vec<TableManifest>) -> ToGateway {
    let manifest = Manifest { chunk_bytes: 1, tables };
    ToGateway::Begin { request: 1, spec: JobSpec { parameters: vec![7], sinks: Sinks::ALL, strict: true, manifest } }
}

fn table(files: usize) -> TableManifest {
    let file = FileManifest { name: String::new(), bytes: 0, ends: 0, header: Vec::new() };
    TableManifest { name: String::new(), files: vec![file; files] }
}

#[test]
fn a_message_that_is_small_for_what_it_holds_is_refused_before_it_takes_memory() {
    let largest = begin(vec![table(10_000), table(6_000)]);
    let passes = passed(&largest).unwrap();
    assert_eq!(passes, largest);
    let ToGateway::Begin { spec, .. } = passes else { panic!("{passes:?}") };
    let held = |table: &TableManifest| table.files.capacity() * size_of::<FileManifest>();
    assert!(spec.manifest.tables.iter().map(held).sum::<usize>() < (4 << 20));
    let all_within_a_message = MAX_MESSAGE as usize - 64;
    let worst = [
        begin(vec![table(0); all_within_a_message / 2]),
        begin(vec![table(all_within_a_message / 4)]),
        begin(vec![table(4_000); 60]),
        ToGateway::Results { job: JobId::default(), have: vec![(String::new(), 0); all_within_a_message / 2] },
    ];
    for message in worst {
        assert!(matches!(passed(&message), Err(WireError::Protocol(_))));
    }
}
