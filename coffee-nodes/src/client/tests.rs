//! The client against scripted gateways, on real TCP.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use coffee_core::frame::{Count, JobId, Sinks};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::{
    testing::{Chunk, Cluster, Gateway, Script, summary},
    upload::Upload,
    *,
};
use crate::{
    feed::Feed,
    input::Table,
    job::{JobSpec, JobState, Manifest, Mark, Place},
    wire::{self, Refusal, WINDOW, WireError},
};

const CHUNK: u32 = 1 << 16; // the least that a chunk can be, or a little less

/// Three tables: of several chunks in two files, without a row, and with few.
fn tables() -> (tempfile::TempDir, Vec<Table>) {
    let data = tempfile::tempdir().unwrap();
    let lines = |from: u32, count: u32| (from..from + count).map(|n| format!("{n},{}\n", n * 7)).collect::<String>();
    let files = [
        ("a/1.csv", lines(0, 90_000)),
        ("a/2.csv", lines(7, 40_000)),
        ("b/1.csv", lines(0, 0)),
        ("c/1.csv", lines(5, 5)),
    ];
    for (name, lines) in files {
        let path = data.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("x,y\n{lines}")).unwrap();
    }
    let tables = ["a", "b", "c"].iter().map(|name| Table::open(data.path(), name).unwrap()).collect();
    (data, tables)
}

/// A submission of tables.
fn submission(tables: &[Table]) -> Submission<'_> {
    let manifest =
        Manifest { chunk_bytes: CHUNK, tables: tables.iter().map(|table| table.manifest().unwrap()).collect() };
    let spec = JobSpec { parameters: vec![1, 2], sinks: Sinks::ALL, strict: false, manifest };
    let results = ["early", "late", "none", "rejected"].map(str::to_owned).to_vec();
    let feeds = tables.iter().map(|table| table as &dyn Feed).collect();
    Submission { job: None, spec, feeds, results }
}

/// A cluster with results for it: one is there early, one late, one is empty.
fn cluster() -> Arc<Mutex<Cluster>> {
    let pieces = |name: &str, count: usize| (0..count).map(|n| format!("{name}{n}").into_bytes()).collect();
    let results = [("early", 5), ("late", 3)].map(|(name, count)| (name.to_owned(), pieces(name, count)));
    let empty = [("none", vec![Vec::new()]), ("rejected", vec![Vec::new()])].map(|(name, one)| (name.to_owned(), one));
    let counts = vec![Count { operator: 1, rows_in: 2, rows_out: 3, rejected: 4 }];
    let results = results.into_iter().chain(empty).collect();
    Arc::new(Mutex::new(Cluster { results, counts, end: Some(JobState::Done), ..Cluster::default() }))
}

fn options(gateways: &[&Gateway]) -> ClientOptions {
    let addresses = gateways.iter().map(|gateway| gateway.address()).collect();
    ClientOptions { token: Some("secret".to_owned()), limit: Duration::from_secs(20), ..ClientOptions::new(addresses) }
}

/// All events but of what was sent, in words.
fn submit(options: ClientOptions, submission: &Submission<'_>) -> (Result<Vec<Count>, ClientError>, Vec<String>) {
    let mut events = Vec::new();
    let ended = Client::new(options).send(submission, Until::Ended, &Stop::new(), &mut |event| {
        match event {
            Event::Sent { .. } | Event::Uploaded => {}
            Event::Piece(Piece { sink, payload, last }) => {
                events.push(format!("{sink} {} {last}", String::from_utf8_lossy(payload)));
            }
            other => events.push(format!("{other:?}")),
        }
        Ok(())
    });
    (ended.map(|(_, counts)| counts), events)
}

/// What a table is cut into without a stop.
fn chunks(table: &dyn Feed) -> Vec<Chunk> {
    let mut feed = table.chunks(CHUNK as usize, Place::default()).unwrap();
    let mut chunks = Vec::new();
    let mut buffer = Vec::new();
    while let Some(position) = feed.fill(&mut buffer).unwrap() {
        chunks.push((position.at, position.next, std::mem::take(&mut buffer)));
    }
    chunks
}

/// That the cluster has everything once, and each piece came once and in order.
fn check(cluster: &Mutex<Cluster>, submission: &Submission<'_>, events: &[String]) {
    let cluster = cluster.lock();
    let expected: Vec<_> = submission.feeds.iter().map(|table| chunks(*table)).collect();
    assert!(cluster.chunks == expected, "other chunks than without a stop");
    assert!(cluster.finished.iter().all(|finished| *finished));
    assert!(cluster.most_unacked <= WINDOW.into());
    for (sink, pieces) in &cluster.results {
        let last = |at: usize| at + 1 == pieces.len();
        let expected: Vec<_> = pieces
            .iter()
            .enumerate()
            .map(|(at, piece)| format!("{sink} {} {}", String::from_utf8_lossy(piece), last(at)))
            .collect();
        let seen: Vec<_> = events.iter().filter(|event| event.split(' ').next() == Some(sink)).cloned().collect();
        assert_eq!(seen, expected);
    }
}

fn script() -> impl Strategy<Value = Script> {
    let refuse = prop_oneof![
        6 => Just(None), 1 => Just(Some(Refusal::Full)), 1 => Just(Some(Refusal::Busy)), 1 => Just(Some(Refusal::Unavailable))
    ];
    (refuse, 0usize..45, 0u32..3, 0u64..6, 1..=u64::from(WINDOW), 0u64..4).prop_map(
        |(refuse, messages, waits, lag, ack_at, repeat)| Script {
            refuse,
            messages,
            waits: (0..waits).rev().collect(),
            lag,
            ack_at,
            repeat,
            ..Script::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Two gateways that hang up at any message, with marks that lag and pieces that come again.
    #[test]
    fn everything_arrives_once_and_in_order(
        first in prop::collection::vec(script(), 0..4),
        second in prop::collection::vec(script(), 0..4),
    ) {
        let ((_data, tables), cluster) = (tables(), cluster());
        let submission = submission(&tables);
        let gateways = [Gateway::start(&cluster, first), Gateway::start(&cluster, second)];
        let (ended, events) = submit(options(&[&gateways[0], &gateways[1]]), &submission);
        prop_assert_eq!(ended.unwrap(), cluster.lock().counts.clone());
        prop_assert_eq!(cluster.lock().begun.len(), 1);
        prop_assert_eq!(events.iter().filter(|event| event.starts_with("Begun")).count(), 1);
        check(&cluster, &submission, &events);
    }
}

#[test]
fn no_more_than_the_window_is_unacked() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let gateway = Gateway::start(&cluster, vec![Script { ack_at: u64::MAX, ..Script::default() }]);
    let (ended, events) = submit(options(&[&gateway]), &submission);
    ended.unwrap();
    check(&cluster, &submission, &events);
    assert_eq!(cluster.lock().most_unacked, u64::from(WINDOW));
}

#[test]
fn the_second_gateway_is_tried_when_nobody_is_at_the_first() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let gateway = Gateway::start(&cluster, Vec::new());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut options = options(&[&gateway]);
    options.gateways.insert(0, free);
    let (ended, events) = submit(options, &submission);
    ended.unwrap();
    check(&cluster, &submission, &events);
}

#[test]
fn the_second_gateway_is_tried_when_the_first_does_not_greet() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let gateway = Gateway::start(&cluster, Vec::new());
    let mute = TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections, and does not greet
    let mut options = ClientOptions { first: Duration::from_secs(3), ..options(&[&gateway]) };
    options.gateways.insert(0, mute.local_addr().unwrap().to_string());
    let (ended, events) = submit(options, &submission);
    ended.unwrap();
    check(&cluster, &submission, &events);
}

#[test]
fn a_silent_gateway_is_given_up() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let gateway = Gateway::start(&cluster, vec![Script { mute: true, ..Script::default() }]);
    let options = ClientOptions { patience: Duration::from_millis(200), ..options(&[&gateway]) };
    let (ended, events) = submit(options, &submission);
    ended.unwrap();
    check(&cluster, &submission, &events);
}

#[test]
fn a_quiet_client_pings_and_hears_its_place() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    // It acks only after 300 ms of silence, which pings would break: so it gets a few, and no more.
    let script = Script { waits: vec![2, 1], ack_at: u64::MAX, ..Script::default() };
    let gateway = Gateway::start(&cluster, vec![script]);
    let options = ClientOptions { ping_after: Duration::from_millis(700), ..options(&[&gateway]) };
    cluster.lock().end = None;
    let stop = Stop::new();
    let mut events = Vec::new();
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while cluster.lock().pings < 2 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            stop.trigger();
        });
        Client::new(options).send(&submission, Until::Ended, &stop, &mut |event| {
            if !matches!(event, Event::Sent { .. } | Event::Uploaded | Event::Piece(_)) {
                events.push(format!("{event:?}"));
            }
            Ok(())
        })
    });
    assert!(matches!(ended, Err(ClientError::Interrupted)), "{ended:?}");
    assert!(cluster.lock().pings >= 2);
    assert_eq!(events[1..], ["Waiting { before: 2 }", "Waiting { before: 1 }"]);
}

#[test]
fn a_stop_ends_it_at_once_whatever_it_waits_for() {
    let (_data, tables) = tables();
    let submission = submission(&tables);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections, and does not greet
    let greeted = Gateway::start(&cluster(), vec![Script { mute: true, ..Script::default() }]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for address in [silent.local_addr().unwrap().to_string(), greeted.address(), free] {
        let stop = Stop::new();
        let start = Instant::now();
        let options = ClientOptions { token: Some("secret".to_owned()), ..ClientOptions::new(vec![address.clone()]) };
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(200)); // any moment will do
                stop.trigger();
            });
            Client::new(options).send(&submission, Until::Ended, &stop, &mut |_| Ok(()))
        });
        assert!(matches!(ended, Err(ClientError::Interrupted)), "{address} {ended:?}");
        assert!(start.elapsed() < Duration::from_secs(3), "{address}");
    }
}

#[test]
fn some_refusals_are_final_and_others_are_for_a_while() {
    let (_data, tables) = tables();
    let submission = submission(&tables);
    let finals = [Refusal::UnknownJob, Refusal::Differs, Refusal::Invalid, Refusal::Denied, Refusal::Superseded];
    for code in finals {
        let gateway = Gateway::start(&cluster(), vec![Script { refuse: Some(code), ..Script::default() }]);
        let (ended, _) = submit(options(&[&gateway]), &submission);
        assert!(matches!(&ended, Err(ClientError::Refused { code: seen, .. }) if *seen == code), "{ended:?}");
        assert_eq!(ended.unwrap_err().is_bad_request(), code != Refusal::Superseded);
    }
    let full = Script { refuse: Some(Refusal::Full), ..Script::default() };
    let gateway = Gateway::start(&cluster(), vec![full; 1000]);
    let options = ClientOptions { limit: Duration::from_millis(500), ..options(&[&gateway]) };
    let (ended, _) = submit(options, &submission);
    let text = format!("gateway {}: as the script says", gateway.address());
    assert!(matches!(&ended, Err(error @ ClientError::Gateway { .. }) if error.to_string() == text), "{ended:?}");
}

#[test]
fn a_job_that_somebody_took_over_is_left_to_them() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let taken_over = Script { messages: 7, farewell: Some(Refusal::Superseded), ..Script::default() };
    let gateway = Gateway::start(&cluster, vec![taken_over]);
    let (ended, _) = submit(options(&[&gateway]), &submission);
    assert!(matches!(ended, Err(ClientError::Refused { code: Refusal::Superseded, .. })), "{ended:?}");
}

#[test]
fn what_is_no_gateway_is_not_tried_again() {
    let (_data, tables) = tables();
    let submission = submission(&tables);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0; 64]);
    });
    let (ended, _) = submit(ClientOptions::new(vec![address]), &submission);
    server.join().unwrap();
    let Err(ClientError::Gateway { error, .. }) = ended else { panic!("{ended:?}") };
    assert!(matches!(*error, ClientError::Wire(WireError::Protocol(_))), "{error:?}");
    let (ended, _) = submit(ClientOptions::new(Vec::new()), &submission);
    assert!(matches!(ended, Err(ClientError::NoGateway)));
}

#[test]
fn an_order_is_given_once_however_its_connection_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gateway = thread::spawn(move || {
        let welcome = || {
            let stream = listener.accept().unwrap().0;
            let (mut sender, mut receiver) = wire::accept(stream, None, Duration::from_secs(20)).unwrap();
            wire::greet(&mut sender, &mut receiver).unwrap();
            receiver.next::<ToGateway>().unwrap();
            (sender, receiver)
        };
        drop(welcome()); // before it is welcome, the client comes again
        let (mut sender, mut receiver) = welcome();
        sender.send(&ToClient::Welcome, &[]).unwrap();
        assert!(matches!(receiver.next(), Ok((ToGateway::Order { life: 7, .. }, 0))));
        drop((sender, receiver));
        listener
    });
    let client = Client::new(ClientOptions::new(vec![address]));
    let given = client.order("tops.0", 7, Order::Kill, &Stop::new());
    assert!(given.is_err(), "nobody knows");
    let listener = gateway.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it has come again");
}

#[test]
fn a_job_that_ends_otherwise_is_an_error() {
    let (_data, tables) = tables();
    let submission = submission(&tables);
    let failed = JobState::Failed { reason: "a row was bad".to_owned() };
    let ended = [failed, JobState::Cancelled].map(|end| {
        let cluster = cluster();
        cluster.lock().end = Some(end);
        let gateway = Gateway::start(&cluster, Vec::new());
        submit(options(&[&gateway]), &submission).0.unwrap_err().to_string()
    });
    assert_eq!(ended, ["job 0000000000000007-1 failed: a row was bad", "job 0000000000000007-1 was cancelled"]);
}

#[test]
fn a_result_that_can_not_be_had_is_said_once() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    cluster.lock().results.insert("early".to_owned(), Vec::new());
    let gateway = Gateway::start(&cluster, vec![Script { messages: 30, ..Script::default() }]);
    let (ended, events) = submit(options(&[&gateway]), &submission);
    ended.unwrap();
    check(
        &cluster,
        &submission,
        &[].iter().chain(&events).filter(|event| !event.starts_with("NoResult")).cloned().collect::<Vec<_>>(),
    );
    assert_eq!(events.iter().filter(|event| event.contains("\"it was lost\"")).count(), 1);
}

#[test]
fn a_result_that_ends_early_is_not_taken_for_whole() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    cluster.lock().results.remove("late");
    let gateway = Gateway::start(&cluster, Vec::new());
    let (ended, _) = submit(options(&[&gateway]), &submission);
    assert!(matches!(ended, Err(ClientError::Gateway { .. })), "{ended:?}");
}

#[test]
fn a_piece_that_is_not_kept_ends_it() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let gateway = Gateway::start(&cluster, Vec::new());
    let ended =
        Client::new(options(&[&gateway])).send(&submission, Until::Ended, &Stop::new(), &mut |event| match event {
            Event::Piece(_) => Err("the disk is full".into()),
            _ => Ok(()),
        });
    assert!(matches!(ended, Err(ClientError::Event(error)) if error.to_string() == "the disk is full"));
}

#[test]
fn an_upload_is_left_once_it_is_confirmed_and_its_results_are_fetched_later() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let mut submission = submission(&tables);
    let gateway = Gateway::start(&cluster, vec![Script { messages: 9, ..Script::default() }]);
    let client = Client::new(options(&[&gateway]));
    let (mut sent, mut uploaded) = (0, 0);
    let job = client.send(&submission, Until::Uploaded, &Stop::new(), &mut |event| {
        match event {
            Event::Sent { bytes } => sent = bytes,
            Event::Begun(_) => {}
            Event::Uploaded => uploaded += 1,
            other => panic!("{other:?}"),
        }
        Ok(())
    });
    let (job, _) = job.unwrap();
    assert_eq!(sent, tables.iter().map(Table::bytes).sum::<u64>());
    assert_eq!(uploaded, 1);
    let before = cluster.lock().chunks.clone();
    submission.job = Some(job);
    let (ended, events) = submit(options(&[&gateway]), &submission);
    ended.unwrap();
    assert_eq!(events[0], format!("Begun({job:?})"));
    assert!(cluster.lock().chunks == before);
    check(&cluster, &submission, &events);
}

#[test]
fn a_job_that_is_cancelled_while_it_is_uploaded_is_not_left_as_if_all_was_well() {
    let cancelled = JobState::Cancelled;
    let failed = JobState::Failed { reason: "a row was bad".to_owned() };
    for (state, expected) in [(cancelled, "was cancelled"), (failed, "failed: a row was bad")] {
        let ((_data, tables), cluster) = (tables(), cluster());
        let submission = submission(&tables);
        cluster.lock().state = Some(state);
        let gateway = Gateway::start(&cluster, Vec::new());
        let left = Client::new(options(&[&gateway])).send(&submission, Until::Uploaded, &Stop::new(), &mut |_| Ok(()));
        assert_eq!(left.unwrap_err().to_string(), format!("job 0000000000000007-1 {expected}"));
    }
}

#[test]
fn an_upload_is_left_only_once_the_query_node_knows_that_all_is_there() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    let gateway = Gateway::start(&cluster, Vec::new());
    let client = Client::new(options(&[&gateway]));
    let upload = || client.send(&submission, Until::Uploaded, &Stop::new(), &mut |_| Ok(()));
    cluster.lock().unknown = 3;
    upload().unwrap();
    assert_eq!(cluster.lock().unknown, 0);
    {
        let mut cluster = cluster.lock();
        (cluster.unknown, cluster.state) = (3, Some(JobState::Cancelled));
    }
    assert!(matches!(upload(), Err(ClientError::Cancelled(_))));
}

#[test]
fn a_gateway_that_keeps_from_the_query_node_what_it_has_is_given_up() {
    let ((_data, tables), cluster) = (tables(), cluster());
    let submission = submission(&tables);
    cluster.lock().unknown = usize::MAX;
    let gateway = Gateway::start(&cluster, Vec::new());
    let options = ClientOptions { patience: Duration::from_millis(300), ..options(&[&gateway]) };
    let stop = Stop::new();
    thread::scope(|scope| {
        let upload = scope.spawn(|| Client::new(options).send(&submission, Until::Uploaded, &stop, &mut |_| Ok(())));
        let deadline = Instant::now() + Duration::from_secs(20);
        while cluster.lock().starts < 2 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        stop.trigger();
        assert!(matches!(upload.join().unwrap(), Err(ClientError::Interrupted)));
    });
    assert!(cluster.lock().starts >= 2, "no other connection");
}

#[test]
fn a_gateway_that_never_was_there_is_not_waited_for_as_long_as_one_that_was() {
    let (_data, tables) = tables();
    let submission = submission(&tables);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections, and does not greet
    for address in [free, mute.local_addr().unwrap().to_string()] {
        let start = Instant::now();
        let options = ClientOptions { first: Duration::from_millis(400), ..ClientOptions::new(vec![address]) };
        let (ended, _) = submit(options, &submission);
        assert!(matches!(ended, Err(ClientError::Gateway { .. })), "{ended:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    // One that answers, and is refused, is waited for.
    let cluster = cluster();
    let unavailable = Script { refuse: Some(Refusal::Unavailable), ..Script::default() };
    let gateway = Gateway::start(&cluster, vec![unavailable; 6]);
    let options = ClientOptions { first: Duration::from_secs(1), ..options(&[&gateway]) };
    let (ended, _) = submit(options, &submission);
    ended.unwrap();
}

#[test]
fn jobs_are_listed_described_and_cancelled() {
    let cluster = cluster();
    let full = Script { refuse: Some(Refusal::Unavailable), ..Script::default() };
    let gateway = Gateway::start(&cluster, vec![full.clone(), Script::default(), full]);
    let client = Client::new(options(&[&gateway]));
    let (stop, job) = (Stop::new(), JobId { cluster: 3, number: 4 });
    assert_eq!(client.list(&stop).unwrap(), [summary(JobId::default())]);
    assert_eq!(client.describe(job, &stop).unwrap(), (summary(job), Vec::new()));
    assert_eq!(client.cancel(job, &stop).unwrap(), (summary(job), Vec::new()));
}

#[test]
fn a_token_goes_over_no_plain_connection_to_another_machine() {
    let ask = |gateway: &str, token: Option<&str>| {
        let options = ClientOptions { token: token.map(str::to_owned), ..ClientOptions::new(vec![gateway.to_owned()]) };
        Client::new(ClientOptions { first: Duration::ZERO, ..options }).list(&Stop::new()).unwrap_err()
    };
    // Addresses that are nobody's: there is no time to try them.
    for gateway in ["192.0.2.1:9000", "[2001:db8::1]:9000"] {
        assert!(matches!(ask(gateway, Some("secret")), ClientError::PlainToken(_)), "{gateway}");
        assert!(matches!(ask(gateway, None), ClientError::Gateway { .. }), "{gateway}");
    }
    for gateway in ["127.0.0.1:1", "[::1]:1"] {
        assert!(matches!(ask(gateway, Some("secret")), ClientError::Gateway { .. }), "{gateway}");
    }
}

#[test]
fn a_token_is_not_printed() {
    let options = ClientOptions { token: Some("secret".to_owned()), ..ClientOptions::new(Vec::new()) };
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn what_earlier_connections_have_finished_is_not_sent_again() {
    let (_data, tables) = tables();
    let submission = submission(&tables);
    let mut upload = Upload::new(&submission.feeds, CHUNK as usize);
    let marks: Vec<Mark> = (0..3).map(|table| Mark { table, ..Mark::default() }).collect();
    upload.start(&marks).unwrap();
    assert!(upload.can_send());
    assert!(matches!(upload.acked(0, 1, false), Err(ClientError::Wire(WireError::Protocol(_)))), "none was sent");
    for table in [2, 0, 1] {
        assert!(upload.can_send() && !upload.is_complete());
        upload.acked(table, 0, true).unwrap();
    }
    assert!(upload.is_complete() && !upload.can_send());
}
