//! What is seen of one job: how far its stages are, where its time went, and its line in each node's log.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use coffee_core::sales::Query;
use coffee_nodes::{
    Stop,
    client::{ClientOptions, StageProgress},
    sales::{Progress, Queries, Request, SubmitOptions, submit},
};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use support::{
    Data,
    cluster::{Cluster, broker, ended, job_of, kill},
    run,
};

const MONTHS: &[&str] = &["2024-01", "2025-06"];

/// Longer than a node stands still here.
const SILENCE: &str = "60s";

/// The stages of the placement `fused`, as clients see them.
const STAGES: [&str; 6] = ["gateway", "groups", "tops", "store-names", "names", "results"];

/// A node that stands still, so that no job is over before it goes on.
struct Halted(u32);

impl Halted {
    fn halt(cluster: &Cluster, name: &str) -> Self {
        let (pid, _) = cluster.node(name);
        kill("STOP", pid);
        Halted(pid)
    }

    fn go_on(&self) {
        kill("CONT", self.0);
    }
}

/// Looks at the stages again and again, until it is over; asserts that none goes back. Once it has seen some steps the node goes on.
fn watched(progress: &Progress, over: &AtomicBool, halted: &Halted) -> Vec<Vec<StageProgress>> {
    let mut seen: Vec<Vec<StageProgress>> = Vec::new();
    loop {
        let last = over.load(Ordering::SeqCst);
        let stages = progress.stages();
        if seen.last() != Some(&stages) {
            if let Some(before) = seen.last().filter(|before| !before.is_empty()) {
                assert!(
                    before.iter().zip(&stages).all(|(before, now)| before.share <= now.share),
                    "{before:?} {stages:?}"
                );
            }
            seen.push(stages);
            if seen.len() == 3 {
                halted.go_on();
            }
        }
        if last {
            return seen;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn stages_grow_until_all_is_done_and_each_node_logs_the_job() {
    let (broker, data, out) = (broker(), Data::generated(8, 150_000, MONTHS), tempfile::tempdir().unwrap());
    let cluster = Cluster::start(&broker, &["--name", "followed", "--silence", SILENCE]);
    let [from, to] = ["06:00:00", "23:00:00"].map(|time| time.parse().unwrap());
    let query = Query { years: vec![2024, 2025], from, to, min_amount: "75".parse().unwrap(), top: 3 };
    let request = Request {
        data: data.path().to_owned(),
        out: out.path().to_owned(),
        query,
        queries: Queries::ALL,
        strict: false,
    };
    let options = SubmitOptions { request, client: ClientOptions::new(vec![cluster.gateways.clone()]), job: None };
    let halted = Halted::halt(&cluster, "groups.0");
    let (progress, over, mut begun) = (Progress::default(), AtomicBool::new(false), None);
    let (summary, seen) = thread::scope(|scope| {
        let watching = scope.spawn(|| watched(&progress, &over, &halted));
        let summary = submit(&options, &progress, &Stop::new(), &mut |job| begun = Some(job)).unwrap();
        over.store(true, Ordering::SeqCst);
        (summary, watching.join().unwrap())
    });

    assert!(seen.len() > 3, "it is told on the way: {seen:?}");
    let (last, before) = seen.split_last().unwrap();
    assert!(last.iter().map(|stage| stage.stage.as_str()).eq(STAGES), "{last:?}");
    assert!(last.iter().all(|stage| stage.share == Some(1000)), "{last:?}");
    assert!(before.iter().flatten().all(|stage| stage.share < Some(1000)), "{before:?}");
    for stage in last {
        assert!(stage.batches > 0 && stage.expected.is_none_or(|all| stage.batches <= all), "{stage:?}");
    }
    assert_eq!(last.iter().filter(|stage| stage.expected.is_some()).count(), 2, "gateway and groups: {last:?}");

    let times = summary.times.unwrap();
    assert_eq!(times.upload + times.work + times.fetch, summary.elapsed);
    assert!(!times.upload.is_zero(), "{times:?}");
    assert!(summary.stages.iter().map(|stage| stage.name.as_str()).eq(STAGES), "{:?}", summary.stages);
    let job = format!("job={} ", begun.unwrap());
    let nodes = cluster.nodes().into_iter().map(|(name, ..)| name).filter(|name| !name.starts_with("monitor"));
    for name in nodes {
        let log = cluster.log(&name);
        assert!(log.lines().any(|line| line.contains(&job)), "{name}: {log}");
    }
    let query = cluster.log("query-node");
    for event in ["is accepted", "is admitted", "is done"] {
        assert_eq!(query.matches(&format!("{job}node=query {event}")).count(), 1, "{query}");
    }
    for event in ["its first frame is here", "ends after", "is sent and confirmed"] {
        assert!(cluster.log("groups.1").contains(event), "{event}: {}", cluster.log("groups.1"));
    }
    cluster.stop();
}

#[test]
fn a_terminal_shows_each_stage_and_the_summary_where_time_went() {
    let (broker, data, out) = (broker(), Data::generated(9, 150_000, MONTHS), tempfile::tempdir().unwrap());
    let cluster = Cluster::start(&broker, &["--name", "shown-stages", "--silence", SILENCE]);
    let halted = Halted::halt(&cluster, "groups.0");
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 16, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut command = cluster.command(&["submit", "--out"]);
    command.arg(out.path()).arg(data.path()).env("TERM", "xterm");
    command.stdout(File::create(out.path().join("stdout")).unwrap());
    command.stderr(File::options().read(true).write(true).open(&path).unwrap());
    let mut submitting = command.spawn().unwrap();
    drop(command); // with this process's end of the terminal
    let (mut screen, mut shown) = (File::from(terminal), Vec::new());
    let mut buffer = [0; 4096];
    // An error once nobody has the other end.
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
        if String::from_utf8_lossy(&shown).contains("names") {
            halted.go_on();
        }
    }
    assert!(submitting.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown);
    for text in ["upload", "groups", "batches", "until all was sent", "busy s"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    cluster.stop();
}

#[test]
fn a_run_says_which_stage_took_how_long() {
    let done = run(Data::generated(3, 2_000, MONTHS).path(), &["--placement", "staged"]).done();
    let lines = done.stderr.lines().skip_while(|line| !line.contains("busy s")).skip(2);
    let stages: BTreeMap<&str, f64> = lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0], words[1].parse().unwrap())
        })
        .collect();
    assert!(stages.len() == 23 && stages.values().sum::<f64>() > 0.0, "{}", done.stderr);
    assert!(stages["read-transactions"] > stages["top-buyers"], "{stages:?}");
}

#[test]
fn a_node_that_is_started_again_says_what_it_goes_on_with() {
    let (broker, data) = (broker(), Data::generated(10, 100_000, MONTHS));
    let cluster = Cluster::start(&broker, &["--name", "goes-on", "--silence", SILENCE]);
    let halted = Halted::halt(&cluster, "groups.0");
    let out = tempfile::tempdir().unwrap();
    let mut child = cluster.submitting(data.path(), out.path(), &[]);
    let job = job_of(&mut child);
    cluster.wait_for_chunks(&job, 3); // of stores, menu items and users
    let (before, _) = cluster.node("names.0");
    kill("KILL", before);
    cluster.comes_back("names.0", before);
    halted.go_on();
    let submitted = ended(child, out);
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    let log = cluster.log("names.0");
    assert!(log.contains(&format!("job={job} node=names.0 goes on with")), "{log}");
    cluster.stop();
}
