//! Results come as they become complete, piece by piece, as fast as the client takes them.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use coffee_core::frame::JobId;

use super::support::*;
use crate::{
    cluster::{ClusterNode, Control, QueryClient, Teller},
    job::JobState,
    statistics::{FedWork, Identity, LoopStatistics, NodeStatistics, Work},
    wire::{RESULT_WINDOW, Refusal, ToClient, ToGateway},
};

impl Cluster {
    /// A result is there: so many pieces, or none that can be had.
    pub fn complete(&self, job: JobId, sink: &str, pieces: usize) {
        let port = self.topology.port_of(sink).unwrap();
        let piece = |number| format!("{sink} {number}").into_bytes();
        self.shelf.pieces.lock().unwrap().insert(port, (0..pieces).map(piece).collect());
        self.tell(&Control::Result { job, port });
    }

    /// All results are there, as the results node tells.
    pub fn done(&self, job: JobId) {
        let query = QueryClient::new(self.broker.clone(), &self.names).unwrap();
        assert_eq!(query.complete(job, Vec::new(), soon()).unwrap(), JobState::Done);
    }
}

fn piece(sink: &str, number: u64, last: bool) -> (ToClient, Vec<u8>) {
    (ToClient::Piece { sink: sink.into(), number, last }, format!("{sink} {number}").into_bytes())
}

fn job(cluster: &Cluster, client: &mut Peer) -> JobId {
    let spec = cluster.spec("sales");
    let job = client.begin(&spec);
    client.start(job, &spec);
    client.finish(0);
    assert!(client.acked(0));
    job
}

#[test]
fn they_come_when_they_are_complete_and_all_is_told_at_the_end() {
    let cluster = Cluster::new(false);
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let job = job(&cluster, &mut client);
    client.say(&ToGateway::Results { job, have: vec![] });
    cluster.complete(job, "rejected", 2);
    assert_eq!(client.next_piece(), piece("rejected", 0, false));
    assert_eq!(client.next_piece(), piece("rejected", 1, true));
    client.say(&ToGateway::Took { pieces: 2 });
    cluster.complete(job, "large-sales", 1);
    assert_eq!(client.next_piece(), piece("large-sales", 0, true));
    cluster.done(job);
    let ToClient::Ended { state, counts } = client.next() else { panic!("no end") };
    assert_eq!((state, counts[0].rows_in), (JobState::Done, 7));
    assert_eq!(cluster.shelf.taken.load(Ordering::SeqCst), 0, "the last piece is not taken");
    client.say(&ToGateway::Took { pieces: 3 });
    eventually("the results are given free", || cluster.shelf.taken.load(Ordering::SeqCst) == 1);
    gateway.stop(soon()).unwrap();
}

#[test]
fn an_owner_hears_what_is_done_for_its_job_and_nothing_of_others() {
    let cluster = Cluster::new(false);
    let gateway = cluster.gateway();
    let (mut client, mut other) = (Peer::connect(&gateway), Peer::connect(&gateway));
    let (first, second) = (job(&cluster, &mut client), job(&cluster, &mut other));
    let mut teller = Teller::new(&*cluster.broker, &cluster.names.statistics().unwrap()).unwrap();
    let node = ClusterNode::Replica { stage: "read".into(), index: 0 };
    let mut told = |jobs: &[(JobId, u64)]| {
        let work = |(job, batches): &(JobId, u64)| (*job, Work { batches: *batches, ..Work::default() });
        let jobs = jobs.iter().map(work).collect();
        let counted = LoopStatistics { stage: "read".into(), jobs, ..LoopStatistics::default() };
        let said = NodeStatistics::now(&Identity::of(&node, 1), Instant::now());
        teller.tell(&NodeStatistics { loops: vec![counted], ..said }, Duration::from_secs(1));
    };
    let of = |batches| {
        let work = Work { batches, ..Work::default() };
        let stage = |stage: &str, work, chunks| FedWork { stage: stage.into(), work, chunks };
        let gateway = stage("gateway", Work::default(), vec![1]);
        ToClient::Work {
            stages: vec![gateway, stage("read", work, vec![1]), stage("results", Work::default(), vec![2])],
        }
    };
    eventually("the gateway hears", || {
        told(&[(first, 7)]);
        let mut watches = Peer::connect(&gateway);
        matches!(watches.ask(&ToGateway::Overview), ToClient::Overview(seen) if !seen.nodes.is_empty())
    });
    assert_eq!(client.next(), of(7));
    told(&[(first, 9), (second, 3)]);
    assert_eq!((client.next(), other.next()), (of(9), of(3)));
    client.say(&ToGateway::Results { job: first, have: vec![] });
    for sink in ["rejected", "large-sales"] {
        cluster.complete(first, sink, 1);
        assert_eq!(client.next_piece(), piece(sink, 0, true));
    }
    cluster.done(first);
    assert_eq!(client.next(), of(9), "again, for whoever sums up");
    assert!(matches!(client.next(), ToClient::Ended { state: JobState::Done, .. }));
    gateway.stop(soon()).unwrap();
}

#[test]
fn what_the_client_has_is_not_sent_again_and_a_window_bounds_what_it_does_not_take() {
    let cluster = Cluster::new(false);
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let job = job(&cluster, &mut client);
    cluster.complete(job, "large-sales", 100);
    cluster.complete(job, "rejected", 0);
    // By a connection of its own, that sends nothing.
    let mut fetching = Peer::connect(&gateway);
    fetching.say(&ToGateway::Results { job, have: vec![("large-sales".into(), 50)] });
    assert_eq!(fetching.next_piece(), piece("large-sales", 50, false));
    assert_eq!(fetching.next(), ToClient::NoResult { sink: "rejected".into(), reason: "lost".into() });
    for number in 51..50 + u64::from(RESULT_WINDOW) {
        assert_eq!(fetching.next_piece(), piece("large-sales", number, false));
    }
    let asked = cluster.shelf.asked.load(Ordering::SeqCst);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(cluster.shelf.asked.load(Ordering::SeqCst), asked, "nothing more is fetched");
    assert_eq!(fetching.ask(&ToGateway::Ping), ToClient::Pong);
    fetching.say(&ToGateway::Took { pieces: u64::from(RESULT_WINDOW) });
    for number in 50 + u64::from(RESULT_WINDOW)..100 {
        assert_eq!(fetching.next_piece(), piece("large-sales", number, number == 99));
        fetching.say(&ToGateway::Took { pieces: number - 49 });
    }
    // The session went on meanwhile.
    assert_eq!(client.ask(&ToGateway::Ping), ToClient::Pong);
    gateway.stop(soon()).unwrap();
}

#[test]
fn who_takes_no_pieces_is_sent_away_whatever_it_says() {
    let mut cluster = Cluster::new(false);
    cluster.options.take = Duration::from_millis(500);
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let job = job(&cluster, &mut client);
    cluster.complete(job, "large-sales", 100);
    let mut fetching = Peer::connect(&gateway);
    fetching.say(&ToGateway::Results { job, have: vec![] });
    // As long as it takes them, it may take its time.
    for number in 0..8 {
        assert_eq!(fetching.next_piece(), piece("large-sales", number, false));
        thread::sleep(Duration::from_millis(100));
        fetching.say(&ToGateway::Took { pieces: number + 1 });
    }
    for number in 8..8 + u64::from(RESULT_WINDOW) {
        assert_eq!(fetching.next_piece(), piece("large-sales", number, false));
    }
    let deadline = soon();
    let word = loop {
        assert!(Instant::now() < deadline, "it is waited for without end");
        fetching.say(&ToGateway::Took { pieces: 8 });
        match fetching.ask(&ToGateway::Ping) {
            ToClient::Pong => thread::sleep(Duration::from_millis(10)),
            other => break other,
        }
    };
    assert!(matches!(word, ToClient::Refused { code: Refusal::Unavailable, .. }), "{word:?}");
    gateway.stop(soon()).unwrap();
}

#[test]
fn a_job_that_is_cancelled_has_none() {
    let cluster = Cluster::new(false);
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let job = job(&cluster, &mut client);
    client.say(&ToGateway::Results { job, have: vec![] });
    let ToClient::Job { summary, .. } = Peer::connect(&gateway).ask(&ToGateway::Cancel { job }) else {
        panic!("no answer")
    };
    assert_eq!(summary.state, JobState::Cancelled);
    let cancelled = ToClient::Ended { state: JobState::Cancelled, counts: vec![] };
    assert_eq!(client.next(), cancelled);
    assert_eq!(client.ask(&ToGateway::Ping), ToClient::Pong, "that is told once");
    assert_eq!(client.ask(&ToGateway::Results { job, have: vec![] }), cancelled);
    gateway.stop(soon()).unwrap();
}
