//! What is sent arrives in the stages' queues, and is acked when it is safe there.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use coffee_core::{
    frame::{FrameReader, PartMeta},
    plan::Topology,
    source::Chunk,
};
use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions, TestBroker};

use super::support::*;
use crate::{
    job::{JobSpec, JobState, Mark},
    wire::{Refusal, ToClient, ToGateway, WINDOW},
};

fn on_rabbitmq(hosted: bool) -> Cluster {
    Cluster::on(TestBroker::shared().unwrap().url(), hosted, 4)
}

fn source_stream(topology: &Topology) -> coffee_core::frame::Stream {
    topology.sources().into_iter().find(|source| source.name == "sales").unwrap().stream
}

fn chunks_are_frames_of_their_stage(cluster: &Cluster) {
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let spec = cluster.spec("sales");
    let job = client.begin(&spec);
    assert_eq!(client.start(job, &spec), [Mark::default()]);
    let chunks = [rows(&[(1, 10), (2, 20)]), rows(&[(3, 30)]), vec![0; 100_000]];
    for (seq, chunk) in (0..).zip(&chunks) {
        client.chunk(seq, chunk).unwrap();
    }
    client.finish(3);
    while !client.acked(0) {}
    let mut seen = vec![None; 3];
    for frame in cluster.frames("read.0", 4) {
        let mut reader = FrameReader::new(&frame).unwrap();
        let head = reader.head().unwrap();
        assert_eq!((head.job, head.topology, head.strict), (job, cluster.topology.version(), false));
        let part = reader.part().unwrap().unwrap();
        match part.meta {
            PartMeta::Rows { stream, seq, rows: 0, .. } => {
                assert_eq!(stream, source_stream(&cluster.topology));
                let Chunk { file, first_line, header, data } = Chunk::decode(part.payload).unwrap();
                assert_eq!((file, first_line, header), (0, place(seq).line, HEADER));
                assert_eq!(seen[seq as usize].replace(data.to_vec()), None);
            }
            PartMeta::End { stream, batches, failed: None, .. } => {
                assert_eq!((stream, batches), (source_stream(&cluster.topology), 3));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.part().unwrap(), None);
    }
    assert_eq!(seen.into_iter().flatten().collect::<Vec<_>>(), chunks);
    gateway.stop(soon()).unwrap();
}

#[test]
fn chunks_are_frames_of_their_stage_in_process() {
    chunks_are_frames_of_their_stage(&Cluster::new(false));
}

#[test]
fn chunks_are_frames_of_their_stage_on_rabbitmq() {
    chunks_are_frames_of_their_stage(&on_rabbitmq(false));
}

#[test]
fn a_hosted_source_is_answered_at_once() {
    let cluster = Cluster::new(true);
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let spec = cluster.spec("sales");
    let job = client.begin(&spec);
    client.start(job, &spec);
    client.chunk(0, &rows(&[(1, 9), (2, 10), (3, 11)])).unwrap();
    client.finish(1);
    while !client.acked(0) {}
    let port = |sink| cluster.topology.port_of(sink);
    let (mut sales, mut ends) = (Vec::new(), 0);
    while ends < 2 || sales.is_empty() {
        for frame in cluster.frames("results.0", 1) {
            let mut reader = FrameReader::new(&frame).unwrap();
            while let Some(part) = reader.part().unwrap() {
                assert!(Some(part.meta.port()) != port("all"), "nobody asked for it");
                match part.meta {
                    PartMeta::Rows { rows: 2, .. } => sales.push(part.payload.to_vec()),
                    PartMeta::End { batches: 1, .. } => ends += 1,
                    _ => {}
                }
            }
        }
    }
    assert_eq!(sales, [rows(&[(2, 10), (3, 11)])]);
    gateway.stop(soon()).unwrap();
}

/// A client that cares for no window sends more than a queue has room for.
fn a_full_queue_slows_the_client_down(mut cluster: Cluster) {
    const CHUNKS: u64 = 120;
    cluster.options.queue_frames = 4;
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let spec = cluster.spec("sales");
    let job = client.begin(&spec);
    client.start(job, &spec);
    let sent = Arc::new(AtomicU64::new(0));
    let counts = sent.clone();
    let Peer { mut sender, receiver } = client;
    let sending = thread::spawn(move || {
        let data = vec![0; 1 << 20];
        for seq in 0..CHUNKS {
            let chunk = ToGateway::Chunk { table: 0, seq, at: place(seq), next: place(seq + 1) };
            sender.send(&chunk, &data).unwrap();
            counts.fetch_add(1, Ordering::SeqCst);
        }
        sender
    });
    // What the queue and the session hold, and what lies in the sockets' buffers.
    let mut last = 0;
    eventually("the client is held back", || {
        thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut last, sent.load(Ordering::SeqCst)) == sent.load(Ordering::SeqCst) && last > 0
    });
    assert!(last < u64::from(WINDOW) + 4 + 30, "{last} chunks are gone though nobody takes them");
    let other = Peer::connect(&gateway).ask(&ToGateway::List);
    assert!(matches!(other, ToClient::Jobs { jobs } if jobs.len() == 1), "others are served");
    let mut frames = 0;
    while frames < CHUNKS as usize {
        frames += cluster.frames("read.0", 1).len();
    }
    let mut client = Peer { sender: sending.join().unwrap(), receiver };
    client.acked(CHUNKS);
    gateway.stop(soon()).unwrap();
}

#[test]
fn a_full_queue_slows_the_client_down_in_process() {
    a_full_queue_slows_the_client_down(Cluster::new(false));
}

#[test]
fn a_full_queue_slows_the_client_down_on_rabbitmq() {
    a_full_queue_slows_the_client_down(on_rabbitmq(false));
}

#[test]
fn what_is_acked_outlives_the_brokers_death() {
    const CHUNKS: u64 = 40;
    let mut rabbit = OwnBroker::start(OwnOptions::default()).unwrap();
    let cluster = Cluster::on(&rabbit.url(), false, 4);
    let gateway = cluster.gateway();
    let mut client = Peer::connect(&gateway);
    let spec = cluster.spec("sales");
    let job = client.begin(&spec);
    client.start(job, &spec);
    let half = CHUNKS / 2;
    (0..half).for_each(|seq| client.chunk(seq, &[7; 10_000]).unwrap());
    client.acked(1);
    rabbit.kill();
    (half..CHUNKS).for_each(|seq| client.chunk(seq, &[7; 10_000]).unwrap());
    client.finish(CHUNKS);
    rabbit.restart().unwrap();
    while !client.acked(0) {}
    let mut missing: BTreeSet<u64> = (0..CHUNKS).collect();
    let mut ended = false;
    while !missing.is_empty() || !ended {
        for frame in cluster.frames("read.0", 1) {
            match FrameReader::new(&frame).unwrap().part().unwrap().unwrap().meta {
                PartMeta::Rows { seq, .. } => drop(missing.remove(&seq)), // some come twice
                PartMeta::End { batches, .. } => ended = batches == CHUNKS,
                other => panic!("{other:?}"),
            }
        }
    }
    gateway.stop(soon()).unwrap();
}

#[test]
fn a_rejected_row_fails_its_strict_job_alone() {
    let cluster = Cluster::new(true);
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let strict = JobSpec { strict: true, ..spec.clone() };
    let (mut good, mut bad) = (Peer::connect(&gateway), Peer::connect(&gateway));
    let (job, doomed) = (good.begin(&spec), bad.begin(&strict));
    good.start(job, &spec);
    bad.start(doomed, &strict);
    good.chunk(0, &rows(&[(1, 11)])).unwrap();
    bad.chunk(0, &[1]).unwrap();
    let ended = bad.next();
    assert!(
        matches!(&ended, ToClient::Ended { state: JobState::Failed { .. }, counts } if counts.is_empty()),
        "{ended:?}"
    );
    let ToClient::Job { summary, errors } = bad.ask(&ToGateway::Describe { job: doomed }) else { panic!("no job") };
    assert!(summary.state.is_ended());
    assert_eq!(errors[0].node, "gateway");
    // What is still sent is passed over.
    bad.chunk(1, &rows(&[(1, 11)])).unwrap();
    bad.finish(2);
    assert_eq!(bad.ask(&ToGateway::Ping), ToClient::Pong);
    good.chunk(1, &rows(&[(1, 12)])).unwrap();
    good.finish(2);
    while !good.acked(0) {}
    gateway.stop(soon()).unwrap();
}

#[test]
fn a_batch_that_an_operator_panics_at_is_given_up_and_costs_nobody_a_connection() {
    let mut cluster = Cluster::new(true);
    cluster.options.threads = std::num::NonZeroUsize::MIN;
    let gateway = cluster.gateway();
    let (spec, trap) = (cluster.spec("sales"), cluster.spec("more"));
    let (mut good, mut bad) = (Peer::connect(&gateway), Peer::connect(&gateway));
    let (job, doomed) = (good.begin(&spec), bad.begin(&trap));
    bad.start(doomed, &trap);
    bad.chunk(0, &rows(&[(66, 1)])).unwrap();
    assert!(!bad.acked(1), "it counts as done, and the table goes on");
    eventually("people are told", || match Peer::connect(&gateway).ask(&ToGateway::Describe { job: doomed }) {
        ToClient::Job { summary, errors } => {
            assert_eq!(summary.state, JobState::Running);
            errors
                .iter()
                .any(|error| error.text.starts_with("gave up batch 0 of more (") && error.text.ends_with("on purpose"))
        }
        other => panic!("{other:?}"),
    });
    good.start(job, &spec);
    good.chunk(0, &rows(&[(1, 12)])).unwrap();
    good.finish(1);
    while !good.acked(0) {}
    gateway.stop(soon()).unwrap();
}

#[test]
fn what_does_not_follow_is_refused() {
    let cluster = Cluster::on("memory:", false, 16);
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let refused = |then: &dyn Fn(&mut Peer)| {
        let mut client = Peer::connect(&gateway);
        let job = client.begin(&spec);
        client.start(job, &spec);
        client.chunk(0, b"one").unwrap();
        then(&mut client);
        assert_eq!(client.last_word(), Some(Refusal::Protocol));
    };
    refused(&|client| client.chunk(0, b"again").unwrap());
    refused(&|client| client.chunk(2, b"ahead").unwrap());
    refused(&|client| client.finish(2));
    refused(&|client| {
        client.finish(1);
        client.chunk(1, b"behind the end").unwrap();
    });
    refused(&|client| {
        let at = crate::job::Place { file: 1, ..place(1) };
        client.sender.send(&ToGateway::Chunk { table: 0, seq: 1, at, next: at }, b"of no file").unwrap();
    });
    refused(&|client| client.say(&ToGateway::Finish { table: 1, chunks: 0 }));
    refused(&|client| client.say(&ToGateway::Took { pieces: 1 }));
    refused(&|client| client.say(&ToGateway::Hello { token: None }));
    refused(&|client| client.sender.send(&ToGateway::Ping, b"with a payload").unwrap());
    let mut client = Peer::connect(&gateway);
    client.chunk(0, b"of nothing").unwrap();
    assert_eq!(client.last_word(), Some(Refusal::Protocol));
    gateway.stop(soon()).unwrap();
}
