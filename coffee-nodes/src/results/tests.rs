use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::JoinHandle,
    time::Instant,
};

use bytes::Bytes;
use coffee_core::{
    codec::{self, EncodeError},
    frame::{ChunkMeta, Count, JobHead, JobId, Port, Sinks},
    node::{Action, EntryNode, Event, Node, PublishId, Tag},
    operator::Row,
};
use coffee_mom::{
    open,
    rpc::{CallError, Client, ClientOptions},
    testing::rabbitmq::TestBroker,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use super::*;
use crate::cluster::{QueryClient, declare_links};
use crate::{
    RetryPause,
    access::Caller,
    chunk::{chunk_frame, end_frame},
    cluster::{Control, Heard, Listener, ResultsError, ResultsReply, ResultsRequest},
    job::{JobSpec, JobState, Manifest, TableManifest},
    query::{QueryNode, QueryOptions},
    runner::Sender,
    statistics::Statistics,
};

/// Far enough away that only a hang reaches it.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A cluster of a query node and a results node.
struct Site {
    broker: Arc<dyn Broker>,
    names: Names,
    topology: Arc<Topology>,
    query: QueryClient,
    results: Client<ResultsRequest, ResultsReply, ResultsError>,
    told: Receiver<Control>,
    _listener: Listener,
    _query: QueryNode,
    state: tempfile::TempDir,
}

impl Site {
    fn new(url: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("results-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (broker, names) = (open(url, soon()).unwrap(), Names::new(&name).unwrap());
        let (state, topology) = (tempfile::tempdir().unwrap(), testing::topology());
        let options = QueryOptions::new(state.path().join("query"));
        let (tell, told) = unbounded();
        let listener = Listener::start(&broker, &names, move |heard| match heard {
            Heard::Told(control) => tell.send(control).unwrap_or_default(),
            Heard::Missed | Heard::Lost => {}
        });
        Site {
            query: QueryClient::new(broker.clone(), &names).unwrap(),
            results: Client::new(broker.clone(), &names.results().unwrap(), ClientOptions::default()).unwrap(),
            told,
            _listener: listener.unwrap(),
            _query: QueryNode::start(broker.clone(), &names, topology.clone(), options).unwrap(),
            broker,
            names,
            topology,
            state,
        }
    }

    fn state(&self) -> std::path::PathBuf {
        self.state.path().join("results-node")
    }

    fn start(&self) -> Running {
        self.start_on(&self.broker)
    }

    fn start_on(&self, broker: &Arc<dyn Broker>) -> Running {
        let (node, ready) = self.start_under(&self.topology, broker);
        ready.recv_deadline(soon()).unwrap();
        node
    }

    /// One that may have to wait, and where it says that it is ready.
    fn start_under(&self, topology: &Arc<Topology>, broker: &Arc<dyn Broker>) -> (Running, Receiver<()>) {
        let (broker, names, topology) = (broker.clone(), self.names.clone(), topology.clone());
        let (stop, options) = (
            Stop::new(),
            ResultsOptions {
                state: self.state(),
                keep: Duration::from_secs(600),
                volatile: false,
                pause: RetryPause::default(),
                pulses: Pulses::default(),
                statistics: Statistics::default(),
            },
        );
        let (tell, ready) = bounded(1);
        let stopped = stop.clone();
        let node =
            thread::spawn(move || run(&broker, &names, &topology, &options, &stopped, || tell.send(()).unwrap()));
        (Running { node, stop }, ready)
    }

    /// A job that sends these numbers and words.
    fn begin(&self, request: u128) -> JobHead {
        let table = |name: &str| TableManifest { name: name.into(), files: Vec::new() };
        let manifest = Manifest { chunk_bytes: 1 << 20, tables: vec![table("numbers"), table("words")] };
        let spec = JobSpec { parameters: vec![0], sinks: Sinks::ALL, strict: false, manifest };
        let job = self.query.begin(&Caller::local(), request, &spec, soon()).unwrap();
        self.query.attach(&Caller::local(), job, request, Some(&spec), soon()).unwrap().head
    }

    /// Sends a source's rows, in chunks of 1,000, and its end, each frame twice.
    fn send<R: Row>(&self, head: &JobHead, source: &str, rows: &[R]) {
        let source = self.topology.sources().into_iter().find(|info| info.name == source).unwrap();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for (seq, rows) in (0..).zip(rows.chunks(1000)) {
            let fill = |payload: &mut Vec<u8>| {
                rows.iter().try_for_each(|row| codec::encode(row, payload))?;
                ChunkMeta { file: 0, first_line: 1, header: b"" }.append(payload)?;
                Ok::<_, EncodeError>(Some(()))
            };
            frames.push(chunk_frame(head, &source, seq, Vec::new(), fill).unwrap().unwrap().0);
        }
        frames.push(end_frame(head, &source, frames.len() as u64).unwrap());
        let mut entry = EntryNode::new(self.topology.clone());
        let mut actions = Vec::new();
        for (tag, frame) in (0..).zip(frames) {
            entry.step(Event::Delivery { tag: Tag(tag), body: Bytes::from(frame) }, &mut actions).unwrap();
        }
        entry.step(Event::Idle, &mut actions).unwrap();
        let links = declare_links(&self.broker, &self.topology, &self.names).unwrap();
        let mut sender = Sender::new(&*self.broker, links, Stop::new()).unwrap();
        for action in actions {
            let Action::Publish { to, body, .. } = action else { continue };
            sender.publish(PublishId(0), to, body.clone()).unwrap();
            sender.publish(PublishId(0), to, body).unwrap();
        }
        while sender.unconfirmed() > 0 {
            sender.wait(Duration::from_millis(100)).unwrap();
            while sender.confirmed().unwrap().is_some() {}
        }
    }

    fn port(&self, sink: &str) -> Port {
        self.topology.port_of(sink).unwrap()
    }

    fn call(&self, request: &ResultsRequest) -> Result<ResultsReply, ResultsError> {
        self.results.call(request, soon()).map_err(|error| match error {
            CallError::Handler(error) => error,
            error => panic!("{error}"),
        })
    }

    /// The rows of a result, pulled piece by piece.
    fn pull<R: Row>(&self, job: JobId, sink: &str) -> Vec<R> {
        let mut rows = Vec::new();
        for number in 0.. {
            let reply = self.call(&ResultsRequest::Piece { job, port: self.port(sink), number });
            let Ok(ResultsReply::Piece { payload, last }) = reply else { panic!("{reply:?}") };
            let mut rest = payload.as_slice();
            while !rest.is_empty() {
                rows.push(codec::decode(&mut rest).unwrap());
            }
            if last {
                break;
            }
        }
        rows
    }

    /// Waits until all of these were told, in any order.
    fn hear(&self, mut wanted: Vec<Control>) {
        while !wanted.is_empty() {
            let told = self.told.recv_deadline(soon()).unwrap();
            wanted.retain(|wanted| *wanted != told);
        }
    }

    /// What the stopped node has of jobs: in its journal, and incomplete in its store.
    fn left(&self) -> (Vec<JobId>, Vec<JobId>) {
        let journal = Journal::open(&self.state().join("results/journal")).unwrap();
        let store = ResultsStore::open(&self.state(), self.topology.clone(), Duration::ZERO).unwrap();
        (journal.jobs().unwrap(), store.incomplete().unwrap())
    }
}

struct Running {
    node: JoinHandle<Result<(), ResultsNodeError>>,
    stop: Stop,
}

impl Running {
    fn stop(self) {
        self.stop.trigger();
        self.node.join().unwrap().unwrap();
    }
}

fn numbers() -> Vec<u64> {
    (0..20_000).rev().collect()
}

fn words() -> Vec<String> {
    (0..5000).map(|n| format!("word {n:05} {}", "x".repeat(500))).collect()
}

fn a_job_is_answered_told_and_kept(url: &str) {
    let site = Site::new(url);
    let node = site.start();
    let head = site.begin(1);
    let job = head.job;
    let (all_numbers, all_words) = (site.port("all-numbers"), site.port("all-words"));
    let early = site.call(&ResultsRequest::Piece { job, port: all_numbers, number: 0 });
    assert_eq!(early, Ok(ResultsReply::NotYet));
    site.send(&head, "numbers", &numbers());
    site.hear(vec![Control::Result { job, port: all_numbers }]);
    assert_eq!(site.pull::<u64>(job, "all-numbers"), (0..20_000).collect::<Vec<_>>(), "before the words are there");
    assert_eq!(site.call(&ResultsRequest::Counts { job }), Ok(ResultsReply::NotYet));
    // It goes on where it was.
    node.stop();
    let node = site.start();
    site.send(&head, "words", &words());
    let result = |port| Control::Result { job, port };
    site.hear(vec![result(all_words), result(site.port("rejected")), Control::Ended(job)]);
    assert_eq!(site.query.state(job, soon()).unwrap(), JobState::Done);
    assert_eq!(site.pull::<String>(job, "all-words"), words());
    let Ok(ResultsReply::Counts(counts)) = site.call(&ResultsRequest::Counts { job }) else { panic!("no counts") };
    let of = |name: &str| {
        let at = site.topology.plan().operators().position(|operator| operator == name).unwrap();
        counts.iter().find(|count| usize::from(count.operator) == at).copied().unwrap_or_default()
    };
    let rows = |count: Count| (count.rows_in, count.rows_out);
    assert_eq!((rows(of("numbers")).1, rows(of("words")).1), (20_000, 5000));
    assert_eq!(rows(of("all-numbers")).0, 20_000);
    node.stop();
    assert_eq!(site.left(), (vec![], vec![]));
    let node = site.start();
    assert_eq!(site.pull::<u64>(job, "all-numbers").len(), 20_000, "also after a restart");
    assert_eq!(site.call(&ResultsRequest::Taken { job }), Ok(ResultsReply::Noted));
    let nobody = JobId { number: job.number - 1, ..job };
    assert_eq!(site.call(&ResultsRequest::Taken { job: nobody }), Err(ResultsError::UnknownJob(nobody)));
    node.stop();
}

fn a_cancelled_job_leaves_nothing(url: &str) {
    let site = Site::new(url);
    let node = site.start();
    let head = site.begin(1);
    let job = head.job;
    site.send(&head, "numbers", &numbers());
    site.hear(vec![Control::Result { job, port: site.port("all-numbers") }]);
    assert_eq!(site.query.cancel(&Caller::local(), job, soon()).unwrap(), JobState::Cancelled);
    // What comes late is dropped; the next job shows that it was looked at.
    site.send(&head, "words", &words());
    let next = site.begin(2);
    site.send(&next, "numbers", &numbers()[..10]);
    site.send(&next, "words", &words()[..10]);
    site.hear(vec![Control::Ended(next.job)]);
    assert_eq!(site.call(&ResultsRequest::Counts { job }), Err(ResultsError::UnknownJob(job)));
    node.stop();
    let (journal, incomplete) = site.left();
    assert!(!journal.contains(&job) && incomplete.is_empty());
}

fn a_node_of_another_topology_waits_while_a_job_lives(url: &str) {
    let site = Site::new(url);
    let start = || site.start_under(&testing::another_topology(), &site.broker);
    let done = site.begin(1).job;
    site.query.cancel(&Caller::local(), done, soon()).unwrap();
    let lives = site.begin(2).job;
    let ((waiting, not_ready), (stopped, never)) = (start(), start());
    assert_eq!(not_ready.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Timeout));
    stopped.stop();
    assert!(never.try_recv().is_err(), "also one that waits stops in order");
    site.query.cancel(&Caller::local(), lives, soon()).unwrap();
    not_ready.recv_deadline(soon()).unwrap();
    waiting.stop();
}

fn a_node_that_lost_its_broker_for_good_fails(url: &str) {
    let site = Site::new(url);
    let broker = open(url, soon()).unwrap();
    let Running { node, stop } = site.start_on(&broker);
    // As if the broker had deleted its queues; nobody has asked it to stop.
    let _ = broker.close(soon());
    assert!(node.join().unwrap().is_err());
    assert!(stop.is_triggered());
}

macro_rules! on_each_broker {
    ($($case:ident)*) => {
        mod memory {
            $(#[test] fn $case() { super::$case("memory:results-tests"); })*
        }

        /// A missing RabbitMQ fails each of the tests.
        mod rabbitmq {
            use super::TestBroker;

            $(#[test] fn $case() { super::$case(TestBroker::shared().unwrap().url()); })*
        }
    };
}

on_each_broker! {
    a_job_is_answered_told_and_kept
    a_cancelled_job_leaves_nothing
    a_node_of_another_topology_waits_while_a_job_lives
    a_node_that_lost_its_broker_for_good_fails
}
