//! The whole node: over real brokers, with a real store.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffee_core::{frame::JobId, plan::Topology};
use coffee_mom::{Broker, open, testing::rabbitmq::TestBroker};
use crossbeam_channel::{Receiver, unbounded};

use super::{
    QueryNode, QueryNodeError,
    testing::{options, spec, topology},
};
use crate::{
    Stop,
    access::Caller,
    cluster::{Control, Heard, Listener, Names, QueryCallError, QueryClient, QueryError},
    job::{JobState, Mark},
};

/// Far enough away that only a hang reaches it.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A name that no other test has, nor another run on the same broker.
fn names() -> Names {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Names::new(&format!("query-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

/// A cluster's place: its broker, names and state folder outlive its query node.
struct Site {
    broker: Arc<dyn Broker>,
    names: Names,
    topology: Arc<Topology>,
    state: tempfile::TempDir,
}

impl Site {
    fn new(url: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        Site { broker: open(url, soon()).unwrap(), names: names(), topology: topology(1), state }
    }

    fn start(&self) -> Result<QueryNode, QueryNodeError> {
        QueryNode::start(self.broker.clone(), &self.names, self.topology.clone(), options(self.state.path()))
    }

    fn client(&self) -> QueryClient {
        QueryClient::new(self.broker.clone(), &self.names).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.state.path().join("query.redb")
    }

    fn listen(&self) -> (Listener, Receiver<Control>) {
        let (tell, told) = unbounded();
        let listener = Listener::start(&self.broker, &self.names, move |heard| match heard {
            Heard::Told(control) => tell.send(control).unwrap_or_default(),
            Heard::Missed | Heard::Lost => {}
        });
        (listener.unwrap(), told)
    }
}

fn a_restart_keeps_everything(url: &str) {
    let site = Site::new(url);
    let client = site.client();
    let node = site.start().unwrap();
    let job = client.begin(&Caller::local(), 1, &spec(5), soon()).unwrap();
    let attached = client.attach(&Caller::local(), job, 10, Some(&spec(5)), soon()).unwrap();
    assert_eq!((attached.epoch, attached.state), (1, JobState::Running));
    let mark = Mark { table: 1, next: 3, ..Mark::default() };
    assert_eq!(client.renew(job, 1, &[mark], soon()).unwrap(), JobState::Running);
    let ended = client.begin(&Caller::local(), 2, &spec(5), soon()).unwrap();
    client.cancel(&Caller::local(), ended, soon()).unwrap();
    let (jobs, live) = (client.list(&Caller::local(), soon()).unwrap(), client.live(soon()).unwrap());
    node.stop(soon()).unwrap();
    drop(node);

    let node = site.start().unwrap();
    assert_eq!((client.list(&Caller::local(), soon()).unwrap(), client.live(soon()).unwrap()), (jobs, live));
    // As if the answers before had not arrived.
    assert_eq!(client.begin(&Caller::local(), 1, &spec(5), soon()).unwrap(), job);
    let again = client.attach(&Caller::local(), job, 10, Some(&spec(5)), soon()).unwrap();
    assert_eq!((again.epoch, again.marks[1]), (1, mark));
    assert_eq!(client.cancel(&Caller::local(), ended, soon()).unwrap(), JobState::Cancelled);
    assert_eq!(client.begin(&Caller::local(), 3, &spec(5), soon()).unwrap().number, 3);
    let refused = client.state(JobId { cluster: job.cluster ^ 1, number: 1 }, soon());
    assert!(matches!(refused, Err(QueryCallError::Refused(QueryError::UnknownJob(_)))));
    node.stop(soon()).unwrap();
    client.close(soon()).unwrap();
}

fn all_are_told_until_they_have_forgotten(url: &str) {
    let site = Site::new(url);
    let node = site.start().unwrap();
    let client = site.client();
    let (_listener, told) = site.listen();
    let job = client.begin(&Caller::local(), 1, &spec(5), soon()).unwrap();
    client.attach(&Caller::local(), job, 10, Some(&spec(5)), soon()).unwrap();
    client.complete(job, Vec::new(), soon()).unwrap();
    let expected = [
        Control::Minted(job),
        Control::Admitted(job),
        Control::Attached { job, epoch: 1 },
        Control::Ended(job),
        Control::Ended(job),
    ];
    assert_eq!(expected.clone().map(|_| told.recv_deadline(soon()).unwrap()), expected);
    node.stop(soon()).unwrap();
    drop(node);
    while told.try_recv().is_ok() {}
    let node = site.start().unwrap();
    assert_eq!(told.recv_deadline(soon()).unwrap(), Control::Ended(job), "also after a restart");
    for stage in 0..site.topology.stages().len() as u16 {
        client.forgotten(job, stage, 0, soon()).unwrap();
    }
    let next = client.begin(&Caller::local(), 2, &spec(5), soon()).unwrap();
    while told.recv_deadline(soon()).unwrap() != Control::Admitted(next) {}
    assert!(told.recv_timeout(Duration::from_millis(2500)).is_err(), "all have forgotten");
    node.stop(soon()).unwrap();
}

fn a_call_waits_for_the_node(url: &str) {
    let site = Site::new(url);
    let client = site.client();
    let stop = Stop::new();
    std::thread::scope(|scope| {
        let live = scope.spawn(|| client.until(&stop, QueryClient::live));
        let node = site.start().unwrap();
        assert_eq!(live.join().unwrap().unwrap().highest, 0);
        node.stop(soon()).unwrap();
    });
    stop.trigger();
    assert!(matches!(client.until(&stop, QueryClient::live), Err(QueryCallError::Stopped)));
}

macro_rules! on_each_broker {
    ($($case:ident)*) => {
        mod memory {
            $(#[test] fn $case() { super::$case("memory:query-tests"); })*
        }

        /// A missing RabbitMQ fails each of the tests.
        mod rabbitmq {
            use super::TestBroker;

            $(#[test] fn $case() { super::$case(TestBroker::shared().unwrap().url()); })*
        }
    };
}

on_each_broker! {
    a_restart_keeps_everything
    all_are_told_until_they_have_forgotten
    a_call_waits_for_the_node
}

#[test]
fn a_folder_has_one_node_and_a_cluster_one_server() {
    let site = Site::new("memory:");
    let node = site.start().unwrap();
    assert!(refusal(&site).contains("another process uses it"));
    let other = Site { state: tempfile::tempdir().unwrap(), ..site };
    let stop = crate::Stop::new();
    stop.trigger();
    let impatient = options(other.state.path()).stop(stop);
    let refused = QueryNode::start(other.broker.clone(), &other.names, other.topology.clone(), impatient);
    assert!(matches!(refused.map(drop), Err(QueryNodeError::Serve(_))));
    // One that waits has the place as soon as it is free.
    let node = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| other.start().unwrap());
        node.stop(soon()).unwrap();
        drop(node);
        waiting.join().unwrap()
    });
    let client = other.client();
    let cluster = client.live(soon()).unwrap().cluster;
    node.stop(soon()).unwrap();
    drop(node);
    std::fs::remove_file(other.file()).unwrap();
    let _node = other.start().unwrap();
    assert_ne!(client.live(soon()).unwrap().cluster, cluster, "a new store is a new cluster");
}

#[test]
fn a_client_that_is_away_is_not_waited_for() {
    let site = Site::new("memory:");
    let options = options(site.state.path()).client_timeout(Duration::from_millis(300));
    let node = QueryNode::start(site.broker.clone(), &site.names, site.topology.clone(), options).unwrap();
    let (_listener, told) = site.listen();
    let client = site.client();
    let job = client.begin(&Caller::local(), 1, &spec(5), soon()).unwrap();
    // While others are heard.
    let deadline = soon();
    while client.state(job, deadline).unwrap() != JobState::Cancelled {
        assert!(Instant::now() < deadline, "it is not cancelled");
    }
    while told.recv_deadline(soon()).unwrap() != Control::Ended(job) {}
    let (_, errors) = client.describe(&Caller::local(), job, soon()).unwrap();
    assert!(errors[0].text.contains("was away"), "{errors:?}");
    assert_eq!(node.errors(), errors);
}

/// Why the node does not start with its store.
fn refusal(site: &Site) -> String {
    match site.start().map(drop) {
        Err(QueryNodeError::Store(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_of_another_version_is_refused() {
    let site = Site::new("memory:");
    drop(site.start().unwrap());
    let database = redb::Database::open(site.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("query")).unwrap().insert("version", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let text = refusal(&site);
    assert!(text.ends_with("version 1, only 3 is known"), "{text}");
}

#[test]
fn a_damaged_store_is_refused_or_whole() {
    let site = Site::new("memory:");
    let client = site.client();
    let node = site.start().unwrap();
    for request in 0..4 {
        client.begin(&Caller::local(), request, &spec(5), soon()).unwrap();
    }
    let jobs = client.list(&Caller::local(), soon()).unwrap();
    drop(node);
    let whole = std::fs::read(site.file()).unwrap();

    std::fs::write(site.file(), "no database at all").unwrap();
    refusal(&site);
    std::fs::write(site.file(), &whole[..whole.len() / 2]).unwrap();
    refusal(&site);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..60 {
        let mut damaged = whole.clone();
        let used = damaged.iter().rposition(|byte| *byte != 0).unwrap();
        damaged[random.usize(..=used)] ^= 1 << random.u32(..8);
        std::fs::write(site.file(), &damaged).unwrap();
        if let Ok(node) = site.start() {
            // A byte that is not used, or one that the file has twice.
            assert_eq!(client.list(&Caller::local(), soon()).unwrap(), jobs);
            node.stop(soon()).unwrap();
        }
    }
}
