//! Nodes stop in order, within five seconds, whatever their broker does; and one of another placement does not start while a
//! job of the old one lives. Real processes over a RabbitMQ of each test's own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
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

/// One node as a process, killed at the end if it has not ended.
struct Node {
    what: String,
    child: Child,
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
        let node = Node { what: what.join(" "), child: command.spawn().unwrap(), folder };
        wait_until(&node.what, || fs::read(&mark).map_or(true, |mark| mark != b"earlier"));
        node
    }

    /// What it says about itself once it is ready.
    fn ready(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
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
    fn says(&mut self, what: &str) {
        let mut said = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&said).contains(what) {
            assert_eq!(self.child.stderr.as_mut().unwrap().read(&mut byte).unwrap(), 1, "{}: ended", self.what);
            said.extend(byte);
        }
    }

    /// What it has said on stderr and nobody has read, until its end.
    fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
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
    let said: Vec<String> = nodes.iter_mut().map(Node::ready).collect();
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

#[test]
fn a_node_of_another_placement_does_not_start_while_a_job_lives() {
    let broker = broker();
    let (url, fused) = (broker.url(), &["--placement", "fused"]);
    let (mut old, gateway) = nodes(&url);
    let data = Data::small();
    let mut client = submit(&data, &gateway);
    let job = job_of(&mut client.0);
    stop(&mut old);
    drop(client);

    let folder = |node: Node| {
        let mut node = node;
        std::mem::replace(&mut node.folder, tempfile::tempdir().unwrap())
    };
    let mut old = old.into_iter();
    let (state, results) = (folder(old.next().unwrap()), folder(old.next().unwrap()));
    let mut query = Node::start_in(state, QUERY, &url, fused);
    let mut gateway = Node::start(GATEWAY, &url, fused);
    query.ready();
    let at = gateway.ready();
    let at = at.strip_prefix("gateway=").unwrap();
    let refused = |folder: &Path, what: &[&str]| {
        let (code, stdout, stderr) = said(node(folder, what, &url, fused).output().unwrap());
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        let last = stderr.lines().last().unwrap();
        let about = format!("{job} runs under another placement: cancel it (coffee cancel {job})");
        assert!(last.starts_with("coffee: ") && last.contains(&about), "{stderr}");
    };
    let scratch = tempfile::tempdir().unwrap();
    refused(scratch.path(), &["node", "groups", "--shard", "0"]);
    refused(results.path(), &["results-node"]);

    let (code, _, stderr) = said(coffee().args(["cancel", &job, "--gateway", at]).output().unwrap());
    assert_eq!(code, 0, "{stderr}");
    let mut new = vec![
        Node::start(&["node", "groups", "--shard", "0"], &url, fused),
        Node::start_in(results, &["results-node"], &url, fused),
    ];
    new.iter_mut().for_each(|node| drop(node.ready()));
    new.extend([query, gateway]);
    stop(&mut new);
}
