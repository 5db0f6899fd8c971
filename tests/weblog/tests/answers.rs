//! One answer, that of a plain loop: embedded, tried, by clusters over both brokers, and by processes of which one is killed.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use coffee::{
    mom::{open, testing::rabbitmq::TestBroker},
    nodes::{client::Event, testkit::Trial},
    prelude::*,
};
use weblog::{Asked, ErrorRate, FailingPage, Host, Request, Talker, Weblog, weblog};

type Done = Result<(), Box<dyn Error>>;

/// Longer than anything takes, on however slow a machine.
const LONG: Duration = Duration::from_secs(120);

const ASKED: Asked = Asked { least_requests: 2, talkers: 2 };

/// So many lines, some of them none of a log, and hosts of which some are missing; the same for the same seed.
fn data(seed: u64, lines: usize) -> (String, Vec<Host>) {
    let mut state = seed;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let address = |at: u64| Ipv4Addr::new(192, 0, 2, at as u8);
    let mut line = |_| match draw(20) {
        0 => "garbage\r\n".to_owned(),
        1 => format!("{} {} /health 200 2\n", draw(200_000), address(draw(9))),
        _ => {
            let (second, page, status, bytes) =
                (draw(200_000), draw(5), [200, 404, 500, 503][draw(4) as usize], draw(50));
            format!("{second} {} /{page} {status} {bytes}\n", address(draw(9)))
        }
    };
    let log: String = (0..lines).map(&mut line).collect();
    (
        format!("#Fields: time c-ip cs-uri-stem sc-status sc-bytes\n{log}"),
        (0..7).map(|at| (address(at), format!("host-{at}"))).collect(),
    )
}

#[derive(Debug, PartialEq)]
struct Answers(Vec<ErrorRate>, Vec<FailingPage>, Vec<Talker>, usize);

impl Answers {
    fn of(weblog: &Weblog, outcome: &Outcome) -> Result<Self, RowsError> {
        let (rates, pages) = (outcome.rows(&weblog.error_rates)?, outcome.rows(&weblog.failing_pages)?);
        let (talkers, rejected) = (outcome.rows(&weblog.top_talkers)?, outcome.report.rejected());
        Ok(Answers(rates.collect(), pages.collect(), talkers.collect(), rejected as usize))
    }

    /// By a plain loop.
    fn plainly(log: &str, hosts: &[Host]) -> Self {
        let lines: Vec<Option<Request>> = log.lines().skip(1).map(Request::parse).collect();
        let (mut hours, mut pages) = (BTreeMap::<u32, (u64, u64)>::new(), BTreeMap::<String, u64>::new());
        let (mut total, mut days) = (0, BTreeMap::<u32, BTreeMap<Ipv4Addr, u64>>::new());
        for request in lines.iter().flatten().filter(|request| request.is_of_people()) {
            let hour = hours.entry(request.second / 3600).or_default();
            (total, hour.0) = (total + 1, hour.0 + 1);
            if request.is_failed() {
                hour.1 += 1;
                *pages.entry(request.path.clone()).or_default() += 1;
            }
            *days.entry(request.second / 86_400).or_default().entry(request.address).or_default() += request.bytes;
        }
        let rates = hours.into_iter().map(|(hour, (all, failed))| (hour, all, failed, 1000 * all / total));
        let name = |address: &Ipv4Addr| hosts.iter().find(|host| host.0 == *address).map(|host| host.1.clone());
        let talkers = days.into_iter().flat_map(|(day, of_day)| {
            let mut all: Vec<_> = of_day.into_iter().map(|(address, bytes)| (Reverse(bytes), address)).collect();
            all.sort();
            all.truncate(ASKED.talkers);
            let told = all.into_iter().map(|(bytes, who)| (day, bytes, name(&who).unwrap_or(who.to_string())));
            told.collect::<Vec<_>>()
        });
        let mut talkers: Vec<Talker> = talkers.collect();
        talkers.sort();
        let rejected = lines.iter().filter(|line| line.is_none()).count();
        Answers(
            rates.filter(|rate| rate.1 >= ASKED.least_requests).collect(),
            pages.into_iter().collect(),
            talkers,
            rejected,
        )
    }
}

fn job<'a>(weblog: &Weblog, topology: &Arc<Topology>, log: &'a str, hosts: &'a [Host]) -> Result<Job<'a>, JobError> {
    Ok(Job::new(topology, &ASKED)?.text("log", log).rows(&weblog.hosts, hosts.iter().cloned()))
}

#[test]
fn embedded_and_by_clusters_over_both_brokers() -> Done {
    let (log, hosts) = data(1, 50_000);
    let expected = Answers::plainly(&log, &hosts);
    let (plan, weblog) = weblog()?;
    let mut placement = Placement::apart(&plan);
    placement.set_shards(None, 2)?;
    let topology = Arc::new(Topology::new(Arc::new(plan), &placement)?);
    let job = job(&weblog, &topology, &log, &hosts)?.chunk_bytes(1 << 17);
    assert_eq!(Answers::of(&weblog, &job.run_embedded()?)?, expected);

    let rabbitmq = TestBroker::shared()?;
    for url in ["memory:", rabbitmq.url()] {
        let soon = Instant::now() + LONG;
        let broker = open(url, soon)?;
        let name = format!("weblog-{}", std::process::id());
        let cluster = LocalCluster::start(&broker, &topology, LocalOptions::new(&name))?;
        assert_eq!(Answers::of(&weblog, &cluster.client().run(&job, &Stop::new())?)?, expected, "{url}");
        cluster.stop(soon)?;
        broker.close(soon)?;
    }
    Ok(())
}

#[test]
fn what_is_not_asked_for_is_not_there() -> Done {
    let (log, _) = data(2, 100);
    let (plan, weblog) = weblog()?;
    let topology = Topology::of(plan)?;
    let job = Job::new(&topology, &ASKED)?.text("log", &log).ask(&weblog.failing_pages).ask(&weblog.error_rates);
    let outcome = job.run_embedded()?; // without hosts, whom neither needs
    assert!(outcome.rows(&weblog.failing_pages)?.next().is_some());
    assert!(outcome.rows(&weblog.top_talkers).is_err());
    Ok(())
}

#[test]
fn it_stands_its_trial() -> Done {
    let (log, hosts) = data(3, 30);
    let Answers(rates, pages, talkers, _) = Answers::plainly(&log, &hosts);
    let (plan, weblog) = weblog()?;
    let trial = Trial::new(plan)?.expect(&weblog.error_rates, rates);
    let trial = trial.expect(&weblog.failing_pages, pages).expect(&weblog.top_talkers, talkers);
    trial.seeds(0..50).deaths().run(|topology| job(&weblog, topology, &log, &hosts))?;
    Ok(())
}

/// `weblog up`, killed where it is not stopped.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill(); // its nodes end with it
        let _ = self.0.wait();
    }
}

/// The process of a node that is ready, by what `up` lists.
fn process(state: &Path, node: &str) -> Option<u32> {
    let nodes = fs::read_to_string(state.join("nodes.tsv")).ok()?;
    let fields = nodes.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    fields.into_iter().find(|fields| fields[0] == node && fields[2] == "ready")?[1].parse().ok()
}

fn signal(name: &str, process: u32) -> Done {
    let done = Command::new("kill").arg(name).arg(process.to_string()).status()?;
    if done.success() { Ok(()) } else { Err(format!("kill {name} {process}: {done}").into()) }
}

#[test]
fn by_processes_of_which_one_is_killed_in_the_job() -> Done {
    const NODE: &str = "level-1.1";
    let (log, hosts) = data(4, 200_000);
    let (rabbitmq, state) = (TestBroker::shared()?, tempfile::tempdir()?);
    let mut up = Command::new(env!("CARGO_BIN_EXE_weblog"));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COFFEE_")) {
        up.env_remove(name); // what is set for the caller's own clusters
    }
    up.args(["up", "--listen", "127.0.0.1:0", "--shards", "2", "--name", "weblog-up", "--state"]).arg(state.path());
    let mut up = Up(up.env("COFFEE_BROKER", rabbitmq.url()).stdout(Stdio::piped()).spawn()?);
    let mut said = String::new();
    BufReader::new(up.0.stdout.take().ok_or("no output")?).read_line(&mut said)?;
    let gateway = said.trim().strip_prefix("ready gateway=").ok_or(format!("{said:?}"))?;

    let (plan, weblog) = weblog()?;
    let topology = Topology::of(plan)?; // without shards: of a client's placement nothing is asked
    let job = job(&weblog, &topology, &log, &hosts)?.chunk_bytes(1 << 17);
    let before = process(state.path(), NODE).ok_or("the node is not listed")?;
    let mut killed = false;
    let client = Client::new(ClientOptions::new(vec![gateway.to_owned()]));
    let uploaded = client.upload(&job, None, &Stop::new(), &mut |event| {
        if matches!(event, Event::Sent { .. }) && !std::mem::replace(&mut killed, true) {
            signal("-KILL", before).map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    assert!(killed, "it is sent in more than one step");
    let outcome = client.resume(&job, uploaded, &Stop::new())?;
    assert_eq!(Answers::of(&weblog, &outcome)?, Answers::plainly(&log, &hosts));

    let deadline = Instant::now() + LONG;
    while process(state.path(), NODE).is_none_or(|now| now == before) {
        assert!(Instant::now() < deadline, "{NODE} does not come back");
        thread::sleep(Duration::from_millis(10));
    }
    signal("-TERM", up.0.id())?;
    assert!(up.0.wait()?.success());
    Ok(())
}
