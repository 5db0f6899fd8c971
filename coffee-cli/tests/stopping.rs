//! Nodes stop in order, within five seconds, whatever their broker does; and those of another placement wait while a job of the
//! old one lives. Real processes over a RabbitMQ of each test's own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coffee_mom::{
    Name, open,
    testing::{
        proxy::Proxy,
        rabbitmq::{OwnBroker, OwnOptions},
    },
};
use support::{
    Data,
    cluster::{DEADLINE, job_of, kill, wait_until},
    coffee, said,
};
use tempfile::TempDir;

/// What a node that is asked to stop has.
const LIMIT: Duration = Duration::from_secs(5);

/// One node of each kind, under the placement `staged`: the query node first, then those that need it, then the gateway.
const QUERY: &[&str] = &["query-node"];
const MEMBERS: [&[&str]; 4] = [
    &["results-node"],
    &["node", "read-transactions", "--replica", "0"],
    &["node", "aggregate-tpv", "--shard", "0"],
    &["node", "join-tpv-stores", "--shard", "0"],
];
const GATEWAY: &[&str] = &["gateway", "--listen", "127.0.0.1:0"];

/// How many lines are read ahead.
const AHEAD: usize = 64;

/// What a process says, line by line, so that nobody waits for it without end. Dropped after its process.
struct Lines {
    lines: Option<Receiver<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = sync_channel(AHEAD);
        let read = move || {
            let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
            let _ = lines.try_for_each(|line| sender.send(line));
        };
        let reader = thread::Builder::new().name("lines".into()).spawn(read).unwrap();
        Lines { lines: Some(lines), reader: Some(reader) }
    }

    /// The next one; none after the last.
    fn next(&self, of: &str) -> Option<String> {
        match self.lines.as_ref().unwrap().recv_timeout(DEADLINE) {
            Err(RecvTimeoutError::Timeout) => panic!("{of}: it takes too long"),
            line => line.ok(),
        }
    }

    /// Reads on until one has that.
    fn until(&self, of: &str, what: &str) {
        while !self.next(of).unwrap_or_else(|| panic!("{of}: ended, and has not said {what:?}")).contains(what) {}
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        drop(self.lines.take());
        let _ = self.reader.take().unwrap().join();
    }
}

/// One node as a process, killed at the end if it has not ended.
struct Node {
    what: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    folder: TempDir,
}

impl Node {
    /// Starts one, which has to be able to take signals when this returns.
    fn start(what: &[&str], url: &str, flags: &[&str]) -> Node {
        Node::start_in(tempfile::tempdir().unwrap(), what, url, flags)
    }

    fn start_in(folder: TempDir, what: &[&str], url: &str, flags: &[&str]) -> Node {
        let mut command = node(folder.path(), what, url, flags);
        // The node removes what an earlier life has left once it takes signals; it may make a new one at once.
        let mark = folder.path().join("ready");
        fs::write(&mark, "earlier").unwrap();
        command.arg("--ready-file").arg(&mark).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        let node = Node { what: what.join(" "), child, stdout, stderr, folder };
        wait_until(&node.what, || fs::read(&mark).map_or(true, |mark| mark != b"earlier"));
        node
    }

    /// What it says about itself once it is ready.
    fn ready(&self) -> String {
        let line = self.stdout.next(&self.what).unwrap_or_default();
        let said = line.trim().strip_prefix("ready");
        said.unwrap_or_else(|| panic!("{} is not ready: {line:?}", self.what)).trim().to_owned()
    }

    fn term(&self) {
        kill("TERM", self.child.id());
    }

    /// Waits for its end, which has to be in order and soon after `since`; how long it took.
    fn ended(&mut self, since: Instant) -> Duration {
        let status = self.wait();
        let (took, said) = (since.elapsed(), self.said());
        println!("{}: {took:?}\n{said}", self.what);
        assert!(status.success(), "{}: {status}: {said}", self.what);
        assert!(took < LIMIT, "{}: {took:?}: {said}", self.what);
        assert!(!said.contains("panicked") && !said.contains("coffee: "), "{}: {said}", self.what);
        assert!(!self.folder.path().join("ready").exists(), "{}: its file says that it is ready", self.what);
        took
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(&self.what, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits until it says so on stderr.
    fn says(&self, what: &str) {
        self.stderr.until(&self.what, what);
    }

    /// What it has said on stderr and nobody has read, until its end.
    fn said(&self) -> String {
        let mut said = String::new();
        while let Some(line) = self.stderr.next(&self.what) {
            said.push_str(&line);
            said.push('\n');
        }
        said
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command of a node whose state is in that folder.
fn node(folder: &Path, what: &[&str], url: &str, flags: &[&str]) -> Command {
    let mut command = coffee();
    // Flags win over the environment.
    command.args(what).arg("-v").args(flags).envs([("COFFEE_BROKER", url), ("COFFEE_PLACEMENT", "staged")]);
    command.arg("--state").arg(folder.join("state"));
    command
}

/// Asks all to stop at once, and has each end in time.
fn stop(nodes: &mut [Node]) -> Vec<Duration> {
    let since = Instant::now();
    nodes.iter().for_each(Node::term);
    nodes.iter_mut().map(|node| node.ended(since)).collect()
}

/// One node of each kind, all ready; the gateway is the last. And where that listens.
fn nodes(url: &str) -> (Vec<Node>, String) {
    let mut nodes = vec![Node::start(QUERY, url, &[])];
    nodes.extend(MEMBERS.map(|what| Node::start(what, url, &[])));
    nodes.push(Node::start(GATEWAY, url, &[]));
    let said: Vec<String> = nodes.iter().map(Node::ready).collect();
    let gateway = said.last().unwrap().strip_prefix("gateway=").unwrap().to_owned();
    (nodes, gateway)
}

fn broker() -> OwnBroker {
    OwnBroker::start(OwnOptions::default()).unwrap()
}

/// Makes a broker hang, as far as its clients can tell: their bytes go to it, and nothing comes back.
fn hang(broker: &OwnBroker) {
    let pid = broker.eval("os:getpid()").unwrap();
    kill("STOP", pid.trim_matches('"').parse().unwrap());
}

/// Whether a stage's queue is there, and how many frames it holds.
fn frames(broker: &OwnBroker, queue: &str) -> Option<usize> {
    let connection = open(&broker.url(), Instant::now() + DEADLINE).unwrap();
    let status = connection.queue_status(&Name::new(queue).unwrap(), Instant::now() + DEADLINE);
    connection.close(Instant::now() + DEADLINE).unwrap();
    status.ok().map(|status| status.ready)
}

/// A submission that goes on until it is killed.
struct Client(Child, #[allow(dead_code, reason = "held until the client has ended")] TempDir);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn submit(data: &Data, gateway: &str) -> Client {
    let out = tempfile::tempdir().unwrap();
    let mut command = coffee();
    command.args(["submit", "--gateway", gateway, "--out"]).arg(out.path()).arg(data.path());
    Client(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), out)
}

#[test]
fn idle_nodes_stop_while_the_broker_works_hangs_or_is_gone() {
    let mut broker = broker();
    for fate in ["works", "hangs", "is gone"] {
        broker.kill();
        broker.restart().unwrap();
        let (mut nodes, _) = nodes(&broker.url());
        match fate {
            "hangs" => hang(&broker),
            "is gone" => broker.kill(),
            _ => {}
        }
        println!("the broker {fate}: {:?}", stop(&mut nodes));
    }
}

#[test]
fn nodes_with_a_job_in_hand_stop_while_the_broker_hangs_or_is_gone() {
    let data = Data::generated(1, 300_000, &["2024-01"]);
    for hangs in [true, false] {
        let mut broker = broker();
        let (mut nodes, gateway) = nodes(&broker.url());
        let mut client = submit(&data, &gateway);
        job_of(&mut client.0);
        // The stage behind has no node: what is read stays there.
        wait_until("frames", || frames(&broker, "coffee.filter-year.0").is_some_and(|frames| frames > 0));
        if hangs {
            hang(&broker)
        } else {
            broker.kill()
        }
        println!("hangs: {hangs}: {:?}", stop(&mut nodes));
        assert!(client.0.try_wait().unwrap().is_none(), "its job has not ended");
    }
}

#[test]
fn nodes_that_lost_a_broker_which_hangs_stop_while_they_connect() {
    let broker = broker();
    let proxy = Proxy::start(([127, 0, 0, 1], broker.port()).into()).unwrap();
    let url = broker.url().replace(&broker.port().to_string(), &proxy.address().port().to_string());
    let (mut nodes, _) = nodes(&url);
    let accepted = proxy.accepted();
    proxy.pause();
    proxy.reset();
    // Each has two links.
    assert!(proxy.wait_for_accepted(accepted + 2 * nodes.len(), Instant::now() + DEADLINE));
    println!("they connect: {:?}", stop(&mut nodes));
}

#[test]
fn nodes_that_wait_for_a_broker_stop() {
    let mut broker = broker();
    let url = broker.url();
    broker.kill();
    let start = || -> Vec<Node> {
        let all = [QUERY, GATEWAY].into_iter().chain(MEMBERS);
        all.map(|what| Node::start(what, &url, &[])).collect()
    };
    println!("no broker: {:?}", stop(&mut start()));
    broker.restart().unwrap();
    hang(&broker);
    println!("one that hangs: {:?}", stop(&mut start()));
}

#[test]
fn nodes_that_wait_for_the_query_node_stop() {
    for hangs in [false, true] {
        let broker = broker();
        let mut waiting = MEMBERS.map(|what| Node::start(what, &broker.url(), &[]));
        // The last queue that each declares, before it asks.
        wait_until("queues", || frames(&broker, "coffee.results.0").is_some());
        if hangs {
            hang(&broker);
        }
        println!("hangs: {hangs}: {:?}", stop(&mut waiting));
    }
}

#[test]
fn nodes_whose_broker_hangs_as_they_set_up_stop() {
    let broker = broker();
    for what in [QUERY, GATEWAY].into_iter().chain(MEMBERS) {
        let proxy = Proxy::start(([127, 0, 0, 1], broker.port()).into()).unwrap();
        let url = broker.url().replace(&broker.port().to_string(), &proxy.address().port().to_string());
        let mut node = [Node::start(what, &url, &[])];
        node[0].says("at its broker");
        // What it waits for now is not answered, nor is a new connection.
        proxy.pause();
        proxy.reset();
        assert!(proxy.wait_for_accepted(3, Instant::now() + DEADLINE), "{what:?}");
        println!("{what:?}: {:?}", stop(&mut node));
    }
}

/// A job that lives, begun under `staged` by nodes that have stopped; and the folders of those: query node, members, gateway.
fn left_alone(url: &str) -> (String, Vec<TempDir>) {
    let (mut nodes, gateway) = nodes(url);
    let data = Data::small();
    let mut client = submit(&data, &gateway);
    let job = job_of(&mut client.0);
    stop(&mut nodes);
    let folders = nodes.iter_mut().map(|node| std::mem::replace(&mut node.folder, tempfile::tempdir().unwrap()));
    (job, folders.collect())
}

fn cancel(job: &str, gateway: &str) {
    let (code, _, stderr) = said(coffee().args(["cancel", job, "--gateway", gateway]).output().unwrap());
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn nodes_of_another_placement_wait_while_a_job_lives() {
    let broker = broker();
    let (url, fused) = (broker.url(), &["--placement", "fused"]);
    let (job, folders) = left_alone(&url);
    let mut folders = folders.into_iter();
    let query = Node::start_in(folders.next().unwrap(), QUERY, &url, fused);
    let gateway = Node::start(GATEWAY, &url, fused);
    query.ready();
    let at = gateway.ready();
    let about =
        format!("job {job} was begun under another placement or version: it has to be cancelled (coffee cancel {job})");
    let groups = &["node", "groups", "--shard", "0"];
    let mut stopped = [Node::start(groups, &url, fused)];
    let waiting =
        vec![Node::start(groups, &url, fused), Node::start_in(folders.next().unwrap(), &["results-node"], &url, fused)];
    stopped.iter().chain(&waiting).for_each(|node| node.says(&about));
    stop(&mut stopped);
    assert_eq!(stopped[0].stdout.next("stopped"), None, "it was ready");

    cancel(&job, at.strip_prefix("gateway=").unwrap());
    let mut new = waiting;
    new.iter().for_each(|node| drop(node.ready()));
    new.extend([query, gateway]);
    stop(&mut new);
}

#[test]
fn up_lasts_while_its_nodes_wait_and_names_them() {
    let broker = broker();
    let (job, folders) = left_alone(&broker.url());
    let state = tempfile::tempdir().unwrap();
    fs::rename(folders[0].path().join("state"), state.path().join("query-node")).unwrap();
    // Where the gateway listens is not said before all are ready.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = coffee();
    command.args(["up", "--placement", "fused", "--listen", &at, "--state"]).arg(state.path());
    command.env("COFFEE_BROKER", broker.url()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
    let mut up = Node { what: "up".to_owned(), child, stdout, stderr, folder: state };

    let late = std::iter::from_fn(|| up.stderr.next("up")).find(|line| line.contains("not ready yet: ")).unwrap();
    let logs = up.folder.path().join("logs");
    assert!(late.contains("results-node") && late.contains("groups.0"), "{late}");
    assert!(!late.contains("query-node") && !late.contains("gateway-0"), "{late}");
    assert!(late.ends_with(&format!("see {}", logs.display())), "{late}");
    let log = fs::read_to_string(logs.join("groups.0.log")).unwrap();
    assert!(log.contains(&format!("coffee cancel {job}")), "{log}");

    cancel(&job, &at);
    assert_eq!(up.ready(), format!("gateway={at}"));
    up.term();
    assert!(up.wait().success());
}
