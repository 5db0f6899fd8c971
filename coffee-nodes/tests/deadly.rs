//! Operators that end their process, in a cluster of real processes over a real broker: what depends on them fails, the rest is
//! exact, and nobody else's job suffers (invariant 9).
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

use std::{
    collections::BTreeMap,
    env, fs,
    io::Read,
    path::Path,
    process::{self, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use coffee_core::{
    codec,
    operator::{Count, GroupBy, TopBy},
    plan::{Placement, PlanBuilder, Topology},
    source::{Chunk, Rows, Source},
};
use coffee_mom::{Broker, open, testing::rabbitmq::TestBroker};
use coffee_nodes::{
    Pulses, RetryPause, Stop,
    client::{Client, ClientError, ClientOptions, Event},
    cluster::Names,
    gateway::{Gateway, GatewayOptions},
    input::Table,
    job::Job,
    query::{QueryNode, QueryOptions},
    results::{self, ResultsOptions},
    statistics::Statistics,
    worker::{self, WorkerOptions},
};

/// The number that is deadly, where the job's parameter says.
const DEADLY: u64 = 123_456;

/// Where it is deadly.
const NOWHERE: u8 = 0;
const IN_A_REPLICA: u8 = 1;
const IN_A_SHARD: u8 = 2;
const IN_AN_EMISSION: u8 = 3;

/// Reads a number a line.
struct Numbers;

impl Source for Numbers {
    type Row = u64;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, u64>) {
        let text = std::str::from_utf8(chunk.data).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).for_each(|number| rows.push(number));
    }
}

fn die_at(here: bool, number: u64) -> u64 {
    if here && number == DEADLY {
        process::abort();
    }
    number
}

/// Counts numbers by their last digit, behind a stage that may be deadly; picks the largest of each digit, in a shard that may
/// be; and lists the thousands, whose emission may be.
fn topology() -> Arc<Topology> {
    let plan = PlanBuilder::<u8>::new();
    let numbers = plan.source("numbers", |_| Numbers);
    numbers
        .map("work", |deadly: &u8| {
            let here = *deadly == IN_A_REPLICA;
            move |number: &u64| die_at(here, *number)
        })
        .aggregate("counts", |_| GroupBy::new(|n: &u64| Some(n % 10), Count))
        .sink("counted");
    numbers
        .maximize("largest", |deadly: &u8| {
            let here = *deadly == IN_A_SHARD;
            TopBy::new(|n: &u64| n % 10, move |n: &u64| std::cmp::Reverse(die_at(here, *n)), 1)
        })
        .sink("largest-numbers");
    numbers
        .aggregate("thousands", |_| GroupBy::new(|n: &u64| Some(n / 1000 * 1000), Count))
        .map("emitted", |deadly: &u8| {
            let here = *deadly == IN_AN_EMISSION;
            move |group: &(u64, u64)| die_at(here && group.0 == DEADLY / 1000 * 1000, DEADLY).max(group.0)
        })
        .sink("listed");
    let placement = r#"stage = [
        { name = "read", operators = ["numbers"], hosted = true, combine = false },
        { name = "work", operators = ["work"], replicas = 2 },
        { name = "counts", operators = ["counts"], shards = 1 },
        { name = "largest", operators = ["largest"], shards = 1 },
        { name = "thousands", operators = ["thousands", "emitted"], shards = 1 },
        { name = "results", operators = ["counted", "largest-numbers", "listed", "rejected"] },
    ]"#;
    let plan = Arc::new(plan.build().unwrap());
    Arc::new(Topology::new(plan, &Placement::parse(placement).unwrap()).unwrap())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn broker(url: &str) -> Arc<dyn Broker> {
    open(url, soon()).unwrap()
}

/// One worker's process: this test binary, once it is told to be one. Ends when its stdin does.
#[test]
fn node() {
    let Ok(stage) = env::var("DEADLY_STAGE") else { return };
    let (url, name, state) =
        (env::var("DEADLY_URL").unwrap(), env::var("DEADLY_NAME").unwrap(), env::var("DEADLY_STATE").unwrap());
    let index = env::var("DEADLY_INDEX").unwrap().parse().unwrap();
    let options = WorkerOptions {
        stage,
        index,
        state: state.into(),
        volatile: false,
        pause: RetryPause::default(),
        pulses: Pulses::default(),
        statistics: Statistics::default(),
    };
    let stop = Stop::new();
    let parent = stop.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        parent.trigger();
    });
    worker::run(&broker(&url), &Names::new(&name).unwrap(), &topology(), &options, &stop, || {}).unwrap();
    process::exit(0);
}

/// Starts a worker again and again until the stop; returns how often it died.
fn keep_alive(stage: &str, index: u16, url: &str, name: &str, state: &Path, stop: &Stop) -> usize {
    let mut deaths = 0;
    loop {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "node", "--nocapture"])
            .envs([("DEADLY_STAGE", stage), ("DEADLY_URL", url), ("DEADLY_NAME", name)])
            .env("DEADLY_INDEX", index.to_string())
            .env("DEADLY_STATE", state.join(format!("{stage}-{index}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        loop {
            if stop.wait(Duration::from_millis(50)) {
                drop(child.stdin.take());
                child.wait().unwrap();
                return deaths;
            }
            if child.try_wait().unwrap().is_some() {
                deaths += 1;
                break;
            }
        }
    }
}

/// What came of a job: its results' rows, and why others can't be had.
struct Outcome {
    ended: Result<(), ClientError>,
    rows: BTreeMap<String, Vec<u8>>,
    missing: BTreeMap<String, String>,
    reports: Vec<String>,
}

fn submit(gateway: &str, data: &Path, deadly: u8) -> Outcome {
    let submitted = Job::new(&topology(), &deadly).unwrap().table(Table::open(data, "numbers").unwrap());
    let submitted = submitted.chunk_bytes(2 << 20);
    let client = Client::new(ClientOptions::new(vec![gateway.to_owned()]));
    let (mut job, mut rows, mut missing) = (None, BTreeMap::<_, Vec<u8>>::new(), BTreeMap::new());
    let ended = client.submit(&submitted, None, &Stop::new(), &mut |event| {
        match event {
            Event::Begun(begun) => job = Some(begun),
            Event::Piece(piece) => {
                rows.entry(piece.sink.to_owned()).or_default().extend_from_slice(piece.payload);
            }
            Event::NoResult { sink, reason } => drop(missing.insert(sink.to_owned(), reason.to_owned())),
            _ => {}
        }
        Ok(())
    });
    let (_, errors) = client.describe(job.unwrap(), &Stop::new()).unwrap();
    let reports = errors.into_iter().map(|report| report.text).collect();
    Outcome { ended: ended.map(drop), rows, missing, reports }
}

impl Outcome {
    fn read<R: serde::de::DeserializeOwned>(&self, sink: &str) -> Vec<R> {
        let (mut bytes, mut rows) = (self.rows[sink].as_slice(), Vec::new());
        while !bytes.is_empty() {
            rows.push(codec::decode(&mut bytes).unwrap());
        }
        rows
    }

    /// All results are exact but these, which can't be had for that reason.
    fn check(&self, last: u64, missing: &[(&str, &str)]) {
        assert!(self.ended.is_ok(), "{:?}", self.ended);
        assert_eq!(self.missing.keys().collect::<Vec<_>>(), missing.iter().map(|(sink, _)| sink).collect::<Vec<_>>());
        for (sink, reason) in missing {
            assert!(self.missing[*sink].contains(reason), "{}", self.missing[*sink]);
            assert!(self.reports.iter().any(|report| report.contains(reason)), "{:?}", self.reports);
        }
        let is_there = |sink| missing.iter().all(|(missing, _)| *missing != sink);
        if is_there("counted") {
            let counts = (0..10).map(|digit| (digit, (digit..=last).step_by(10).count() as u64));
            assert_eq!(self.read::<(u64, u64)>("counted"), counts.collect::<Vec<_>>());
        }
        if is_there("largest-numbers") {
            assert_eq!(self.read::<u64>("largest-numbers"), (last - 9..=last).collect::<Vec<_>>());
        }
        if is_there("listed") {
            assert_eq!(self.read::<u64>("listed").len() as u64, last / 1000 + 1);
        }
    }
}

#[test]
fn what_ends_its_process_each_time_is_given_up_and_nobody_else_suffers() {
    const LAST: u64 = 799_999;
    let shared = TestBroker::shared().unwrap();
    let (url, name) = (shared.url().to_owned(), format!("deadly-{}", process::id()));
    let (names, topology, folder) = (Names::new(&name).unwrap(), topology(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("numbers")).unwrap();
    let lines: String = (0..=LAST).map(|number| format!("{number}\n")).collect();
    fs::write(data.join("numbers/all.csv"), "number\n".to_owned() + &lines).unwrap();

    let stop = Stop::new();
    let connection = broker(&url);
    let query = QueryOptions::new(folder.path().join("query")).max_running(4);
    let query = QueryNode::start(connection.clone(), &names, topology.clone(), query).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let gateway =
        Gateway::start(connection.clone(), names.clone(), topology.clone(), GatewayOptions::new(listen)).unwrap();
    let address = gateway.address().to_string();
    let deaths = thread::scope(|scope| {
        let results = ResultsOptions {
            state: folder.path().join("results"),
            keep: Duration::from_secs(3600),
            volatile: false,
            pause: RetryPause::default(),
            pulses: Pulses::default(),
            statistics: Statistics::default(),
        };
        let (connection, names, topology, stop) = (&connection, &names, &topology, &stop);
        let results = scope.spawn(move || results::run(connection, names, topology, &results, stop, || {}));
        let workers = [("work", 0), ("work", 1), ("counts", 0), ("largest", 0), ("thousands", 0)];
        let (url, name, state) = (&url, &name, folder.path());
        let workers = workers
            .map(|(stage, index)| scope.spawn(move || (stage, keep_alive(stage, index, url, name, state, stop))));
        let submits = [IN_A_REPLICA, IN_A_SHARD, IN_AN_EMISSION, NOWHERE].map(|deadly| {
            let (address, data) = (&address, &data);
            scope.spawn(move || submit(address, data, deadly))
        });
        let [replica, shard, emission, nowhere] = submits.map(|submit| submit.join().unwrap());
        stop.trigger();
        let deadly = "working on it has ended the process 5 times";
        nowhere.check(LAST, &[]);
        replica.check(LAST, &[("counted", deadly)]);
        shard.check(LAST, &[("largest-numbers", deadly)]);
        let Err(ClientError::Failed { reason, .. }) = &emission.ended else { panic!("{:?}", emission.ended) };
        assert!(reason.contains(deadly), "{reason}");
        results.join().unwrap().unwrap();
        workers.map(|worker| worker.join().unwrap())
    });
    for (stage, deaths) in deaths {
        assert_eq!(deaths > 0, stage != "counts", "{stage} died {deaths} times");
    }
    gateway.stop(soon()).unwrap();
    query.stop(soon()).unwrap();
    connection.close(soon()).unwrap();
    assert!(fs::read_dir(folder.path().join("query/dead-letters")).unwrap().count() > 0, "frames are kept for people");
}
