//! Messages that no node can work on, in the queues of a real cluster: people are told, what depends on them fails, and nothing
//! else does.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::{
    frame::{FrameWriter, PartMeta, Port},
    plan::Topology,
    sales::{fused, sales_plan},
};
use coffee_mom::{Broker, Message, Name, ProducerOptions, Route, open};
use coffee_nodes::{
    access::Caller,
    cluster::{Names, QueryClient},
};
use support::{
    Data,
    cluster::{Cluster, broker, ended, job_of, kill, wait_until},
    files, run,
};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn publish(broker: &dyn Broker, queue: &str, body: Vec<u8>) {
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(&Route::queue(&Name::new(queue).unwrap()), Message::new(body), soon()).unwrap();
    producer.settled().recv_deadline(soon()).unwrap();
}

fn dead_letters(cluster: &Cluster) -> usize {
    fs::read_dir(cluster.state.path().join("query-node/dead-letters")).map_or(0, Iterator::count)
}

fn processes(cluster: &Cluster) -> BTreeMap<String, u32> {
    cluster.nodes().into_iter().map(|(name, pid, _)| (name, pid)).collect()
}

#[test]
fn what_is_no_frame_is_put_aside_and_takes_no_node_down() {
    let (shared, data) = (broker(), Data::generated(7, 3000, &["2024-05"]));
    let cluster = Cluster::start(&shared, &["--name", "garbage", "--placement", "staged"]);
    let before = processes(&cluster);
    let connection = open(shared.url(), soon()).unwrap();
    for queue in ["garbage.filter-year.0", "garbage.aggregate-tpv.0", "garbage.results.0"] {
        for body in [&b""[..], b"garbage", &[1, 255, 255, 255, 255], &[1; 100_000]] {
            publish(&*connection, queue, body.to_vec());
        }
    }
    let got = cluster.submit(data.path(), &[]);
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert_eq!(files(got.out.path()), files(run(data.path(), &[]).out.path()));
    // An empty message has nothing that could be kept.
    wait_until("the messages are put aside", || dead_letters(&cluster) == 9);
    assert_eq!(processes(&cluster), before, "no node has died");
    connection.close(soon()).unwrap();
    cluster.stop();
}

#[test]
fn queries_that_depend_on_a_batch_that_can_t_be_read_fail_and_the_others_are_exact() {
    const NAME: &str = "poison";
    let (shared, data) = (broker(), Data::generated(8, 60_000, &["2024-05", "2025-02"]));
    let cluster = Cluster::start(&shared, &["--name", NAME]);
    let before = processes(&cluster);
    let (out, report) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let page = report.path().join("page.html");
    let reported = ["--report", page.to_str().unwrap()];
    let mut child = cluster.submitting(data.path(), out.path(), &reported);
    let job = job_of(&mut child);
    kill("STOP", child.id());

    // In the place of a batch of items that comes last comes one that can't be decoded.
    let connection = open(shared.url(), soon()).unwrap();
    let query = QueryClient::new(connection.clone(), &Names::new(NAME).unwrap()).unwrap();
    let head = query.attach(&Caller::local(), job.parse().unwrap(), 1, None, soon()).unwrap().head;
    let topology = Topology::new(Arc::new(sales_plan().unwrap().plan), &fused().unwrap()).unwrap();
    let stream = topology.sources().iter().find(|source| source.name == "transaction_items").unwrap().stream;
    let into_groups = |port: &Port| {
        let stage = topology.stage_of(*port).and_then(|stage| topology.stages().get(usize::from(stage)));
        stage.is_some_and(|stage| stage.name == "groups") && topology.streams_of(*port).contains(&stream)
    };
    let port = (0..100).map(Port).find(into_groups).unwrap();
    let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
    let meta = PartMeta::Rows { port, stream, seq: 4, rows: 9, counts: Vec::new() };
    frame.part(&meta, b"no rows").unwrap();
    publish(&*connection, &format!("{NAME}.groups.0"), frame.finish());
    wait_until("the batch is given up", || dead_letters(&cluster) == 1);
    kill("CONT", child.id());

    let got = ended(child, out);
    assert_eq!(got.code, 1, "{}", got.stderr);
    let reason = "batch 4 of transaction_items was given up: groups: ";
    assert!(got.stderr.contains(reason) && got.stderr.contains("q2_best_selling"), "{}", got.stderr);
    let mut expected = files(run(data.path(), &[]).out.path());
    expected.retain(|name, _| !name.starts_with("q2"));
    assert_eq!(files(got.out.path()), expected);
    let shown = fs::read_to_string(&page).unwrap();
    assert!(shown.contains(&format!("There is no answer: {reason}")) && shown.contains("All "), "{shown}");
    assert_eq!(shown.matches("There is no answer").count(), 2, "{shown}");
    let said = cluster.says(&["jobs", &job]);
    assert!(said.contains("without q2_best_selling, q2_most_profit"), "{said}");
    assert!(said.contains("groups.0: gave up batch 4 of transaction_items (the frame is in "), "{said}");

    let next = cluster.submit(data.path(), &reported);
    assert_eq!(files(next.out.path()), files(run(data.path(), &[]).out.path()), "the next job has nothing of it");
    assert!(!fs::read_to_string(&page).unwrap().contains("There is no answer"));
    assert_eq!(processes(&cluster), before, "no node has died");
    query.close(soon()).unwrap();
    connection.close(soon()).unwrap();
    cluster.stop();
}
