//! Sessions begin, wait, take over from each other, and end.

use std::time::{Duration, Instant};

use super::support::*;
use crate::{
    job::{JobState, Mark},
    wire::{Refusal, ToClient, ToGateway, WINDOW},
};

/// Starts a session again and again until its mark is there: marks may lag.
fn resumed(
    gateway: &crate::gateway::Gateway,
    job: coffee_core::frame::JobId,
    spec: &crate::job::JobSpec,
    mark: Mark,
) -> Peer {
    let mut resumed = None;
    eventually("the mark is known", || {
        let mut client = Peer::connect(gateway);
        let found = client.start(job, spec) == [mark];
        resumed = Some(client);
        found
    });
    resumed.unwrap()
}

#[test]
fn a_client_goes_on_at_its_mark_through_another_gateway() {
    let cluster = Cluster::new(false);
    let (first, second) = (cluster.gateway(), cluster.gateway());
    let spec = cluster.spec("sales");
    let mut client = Peer::connect(&first);
    let job = client.begin(&spec);
    client.start(job, &spec);
    (0..3).for_each(|seq| client.chunk(seq, b"rows").unwrap());
    client.acked(3);
    drop(client);
    let mark = Mark { table: 0, next: 3, place: place(3), bytes: 12, finished: false };
    let mut client = resumed(&second, job, &spec, mark);
    client.chunk(3, b"rows").unwrap();
    client.finish(4);
    while !client.acked(0) {}
    drop(client);
    let mark = Mark { table: 0, next: 4, place: place(4), bytes: 16, finished: true };
    let mut client = resumed(&first, job, &spec, mark);
    client.finish(4);
    assert!(client.acked(4), "an end that comes again is acked again");
    first.stop(soon()).unwrap();
    second.stop(soon()).unwrap();
}

#[test]
fn a_newer_session_ends_the_older_one() {
    let cluster = Cluster::new(false);
    let (first, second) = (cluster.gateway(), cluster.gateway());
    let spec = cluster.spec("sales");
    for gateway in [&first, &second] {
        let mut client = Peer::connect(&first);
        let job = client.begin(&spec);
        client.start(job, &spec);
        let mut newer = Peer::connect(gateway);
        newer.start(job, &spec);
        assert_eq!(client.last_word(), Some(Refusal::Superseded));
        newer.chunk(0, b"rows").unwrap();
        newer.acked(1);
        assert!(matches!(newer.ask(&ToGateway::Cancel { job }), ToClient::Job { .. } | ToClient::Ended { .. }));
    }
    first.stop(soon()).unwrap();
    second.stop(soon()).unwrap();
}

#[test]
fn jobs_wait_for_their_turn_and_hear_of_it() {
    let cluster = Cluster::on("memory:", false, 1);
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let mut clients: Vec<Peer> = (0..3).map(|_| Peer::connect(&gateway)).collect();
    let jobs: Vec<_> = clients.iter_mut().map(|client| client.begin(&spec)).collect();
    clients[0].start(jobs[0], &spec);
    assert_eq!(clients[1].ask(&ToGateway::Start { job: jobs[1], spec: spec.clone() }), ToClient::Waiting { before: 0 });
    assert_eq!(clients[2].ask(&ToGateway::Start { job: jobs[2], spec: spec.clone() }), ToClient::Waiting { before: 1 });
    clients[0].say(&ToGateway::Cancel { job: jobs[0] });
    assert_eq!(clients[1].next(), ToClient::Started { marks: vec![Mark::default()] });
    assert_eq!(clients[2].next(), ToClient::Waiting { before: 0 });
    // Both the answer and the session's end come, in either order.
    let heard = [clients[0].next(), clients[0].next()];
    assert!(heard.iter().any(|message| matches!(message, ToClient::Job { summary, .. } if summary.job == jobs[0])));
    let ended = ToClient::Ended { state: JobState::Cancelled, counts: vec![] };
    assert!(heard.contains(&ended), "{heard:?}");
    // Data of a job that waits is out of place.
    let mut eager = clients.pop().unwrap();
    eager.chunk(0, b"rows").unwrap();
    assert_eq!(eager.last_word(), Some(Refusal::Protocol));
    gateway.stop(soon()).unwrap();
}

#[test]
fn who_only_pings_loses_its_job_and_who_is_held_back_does_not() {
    // More than the two seconds after which a session speaks up anyway.
    let mut cluster = Cluster::with("memory:", false, |options| options.client_timeout(Duration::from_secs(4)));
    cluster.options.queue_frames = 4;
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let (mut held_back, mut idle) = (Peer::connect(&gateway), Peer::connect(&gateway));
    let jobs = [&mut held_back, &mut idle].map(|client| {
        let job = client.begin(&spec);
        client.start(job, &spec);
        job
    });
    (0..u64::from(WINDOW)).for_each(|seq| held_back.chunk(seq, b"rows").unwrap());
    let mut watching = Peer::connect(&gateway);
    let mut states = || match watching.ask(&ToGateway::List) {
        ToClient::Jobs { jobs } => jobs.into_iter().map(|job| job.state).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    eventually("the idle one is cancelled", || {
        held_back.say(&ToGateway::Ping);
        idle.say(&ToGateway::Ping);
        states() == [JobState::Running, JobState::Cancelled]
    });
    while idle.next() != (ToClient::Ended { state: JobState::Cancelled, counts: vec![] }) {}
    let ToClient::Job { errors, .. } = watching.ask(&ToGateway::Describe { job: jobs[1] }) else { panic!("no job") };
    assert!(errors[0].text.contains("sent nothing"), "{errors:?}");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        held_back.say(&ToGateway::Ping);
        assert!(
            matches!(watching.ask(&ToGateway::List), ToClient::Jobs { jobs } if jobs[0].state == JobState::Running)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // Its queue has no room, so what is in hand is waited for in vain.
    gateway.stop(Instant::now() + Duration::from_secs(2)).unwrap();
}

#[test]
fn other_data_and_unknown_jobs_are_refused_and_the_connection_stays() {
    let cluster = Cluster::new(false);
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let mut client = Peer::connect(&gateway);
    let job = client.begin(&spec);
    let code = |answer| match answer {
        ToClient::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let mut other = spec.clone();
    other.manifest.tables[0].files[0].ends += 1;
    assert_eq!(code(client.ask(&ToGateway::Start { job, spec: other })), Refusal::Differs);
    let unknown = coffee_core::frame::JobId { number: job.number + 9, ..job };
    assert_eq!(code(client.ask(&ToGateway::Start { job: unknown, spec: spec.clone() })), Refusal::UnknownJob);
    assert_eq!(code(client.ask(&ToGateway::Describe { job: unknown })), Refusal::UnknownJob);
    let mut senseless = spec.clone();
    senseless.manifest.tables.clear();
    assert_eq!(code(client.ask(&ToGateway::Begin { request: 1, spec: senseless })), Refusal::Invalid);
    client.start(job, &spec);
    gateway.stop(soon()).unwrap();
}

#[test]
fn a_gateway_that_stops_sends_its_clients_away_and_loses_nothing_in_hand() {
    let cluster = Cluster::new(false);
    let (stopping, other) = (cluster.gateway(), cluster.gateway());
    let spec = cluster.spec("sales");
    let mut client = Peer::connect(&stopping);
    let job = client.begin(&spec);
    client.start(job, &spec);
    (0..10).for_each(|seq| client.chunk(seq, b"rows").unwrap());
    client.acked(10);
    let idle = Peer::connect(&stopping);
    let stopped = std::thread::spawn(move || stopping.stop(soon()));
    assert_eq!(client.last_word(), Some(Refusal::Unavailable));
    assert_eq!(idle.last_word(), Some(Refusal::Unavailable));
    stopped.join().unwrap().unwrap();
    let mark = Mark { table: 0, next: 10, place: place(10), bytes: 40, finished: false };
    assert_eq!(Peer::connect(&other).start(job, &spec), [mark]);
    other.stop(soon()).unwrap();
}

#[test]
fn without_a_query_node_clients_are_told_and_gateways_stop() {
    let mut cluster = Cluster::new(false);
    cluster.options.call = Duration::from_millis(300);
    cluster.names = crate::cluster::Names::new("nobody-is-here").unwrap();
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    client.say(&ToGateway::Begin { request: 1, spec: cluster.spec("sales") });
    assert_eq!(client.last_word(), Some(Refusal::Unavailable));
    gateway.stop(soon()).unwrap();
}
