//! Links that are reset, go silent and are half open: between client and gateway, between all nodes and the broker, and between one
//! node and the broker. Real processes, with proxies between them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

use coffee_mom::testing::{proxy::Proxy, rabbitmq::SharedBroker};
use support::{
    Data, Run,
    cluster::{Cluster, DEADLINE, Gateway, assert_same, broker, ended, job_of},
};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// All rows are results, too.
const MOST: &[&str] = &["--min-amount", "0"];

/// Those rows alone: their results begin when all is uploaded, and are half as many bytes as the data.
const FIRST: &[&str] = &["--min-amount", "0", "--queries", "q1"];

/// As long as both sides of a link wait for a sign of life, and a little more.
const SILENCE: Duration = Duration::from_secs(32);

/// A proxy in front of a broker, and the URL by which nodes take that way.
fn way_to_broker(broker: &SharedBroker) -> (Proxy, String) {
    let (user, address) = broker.url().split_once('@').unwrap();
    let (address, vhost) = address.split_once('/').unwrap();
    let way = Proxy::start(address.parse().unwrap()).unwrap();
    let url = format!("{user}@{}/{vhost}", way.address());
    (way, url)
}

fn way_to_gateway(cluster: &Cluster) -> Proxy {
    Proxy::start(cluster.gateways.parse().unwrap()).unwrap()
}

/// A submission under way.
struct Client(Child, TempDir, String);

impl Client {
    fn start(cluster: &Cluster, gateways: &str, data: &Data) -> Client {
        Client::with(MOST, cluster, gateways, data)
    }

    fn with(flags: &[&str], cluster: &Cluster, gateways: &str, data: &Data) -> Client {
        let out = tempfile::tempdir().unwrap();
        let flags: Vec<&str> = flags.iter().copied().chain(["--gateway", gateways]).collect();
        let mut child = cluster.submitting(data.path(), out.path(), &flags);
        let job = job_of(&mut child);
        Client(child, out, job)
    }

    fn resume(cluster: &Cluster, gateways: &str, data: &Data, job: &str) -> Client {
        let out = tempfile::tempdir().unwrap();
        let flags = ["--gateway", gateways, MOST[0], MOST[1], "--job", job];
        Client(cluster.submitting(data.path(), out.path(), &flags), out, job.to_owned())
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn ended(self) -> Run {
        ended(self.0, self.1)
    }
}

fn assert_exact(client: Client, data: &Data, what: &str) {
    assert_same(&client.ended(), data.path(), MOST, what);
}

/// Waits until so many more bytes came to the server's side of a proxy.
fn wait_for_more(way: &Proxy, bytes: u64) {
    assert!(way.wait_for_bytes_up(way.bytes_up() + bytes, Instant::now() + DEADLINE), "{bytes} more bytes");
}

#[test]
fn a_client_whose_link_is_reset_again_and_again_goes_on() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "reset-client"]);
    let data = Data::generated(1, 400_000, &["2024-01"]);
    let way = way_to_gateway(&cluster);
    way.throttle(Some(8 * MIB));
    let mut client = Client::with(FIRST, &cluster, &way.address().to_string(), &data);
    // Each time more than before: a chunk has at most one MiB, and what is confirmed is not sent again.
    for _ in 0..5 {
        wait_for_more(&way, 3 * MIB + MIB / 2);
        assert!(client.runs());
        way.reset();
    }
    for _ in 0..3 {
        // Only results are so long.
        assert!(way.wait_for_bytes_down(way.bytes_down() + MIB, Instant::now() + DEADLINE), "results");
        assert!(client.runs(), "it lacks results");
        way.reset();
    }
    way.throttle(None);
    assert_same(&client.ended(), data.path(), FIRST, "reset");
    cluster.stop();
}

#[test]
fn nodes_whose_links_to_the_broker_are_reset_again_and_again_go_on() {
    let broker = broker();
    let (way, url) = way_to_broker(&broker);
    let flags = ["--name", "reset-nodes", "--placement", "staged"];
    let cluster = Cluster::start_at(tempfile::tempdir().unwrap(), &url, &flags);
    let data = Data::generated(2, 100_000, &["2024-01"]);
    let slow = way_to_gateway(&cluster);
    slow.throttle(Some(4 * MIB));
    let mut client = Client::start(&cluster, &slow.address().to_string(), &data);
    for _ in 0..6 {
        wait_for_more(&way, 4 * MIB);
        assert!(client.runs());
        way.reset();
    }
    slow.throttle(None);
    assert_exact(client, &data, "reset");
    cluster.stop();
}

/// The long silences, at the same time, as each takes half a minute.
#[test]
fn silence_and_its_end_cost_time_alone() {
    let broker = broker();
    thread::scope(|scope| {
        scope.spawn(|| a_silent_link_between_client_and_gateway(&broker));
        scope.spawn(|| a_silent_link_between_all_nodes_and_the_broker(&broker));
        scope.spawn(|| a_silent_link_between_one_node_and_the_broker(&broker));
        scope.spawn(|| half_open_links_of_a_client(&broker));
    });
}

/// Swallows all bytes for longer than either side waits for the other.
fn silence(way: &Proxy) {
    way.blackhole(true);
    thread::sleep(SILENCE);
    way.blackhole(false);
}

fn a_silent_link_between_client_and_gateway(broker: &SharedBroker) {
    let cluster = Cluster::start(broker, &["--name", "silent-client"]);
    let data = Data::generated(3, 100_000, &["2024-01"]);
    let way = way_to_gateway(&cluster);
    way.throttle(Some(2 * MIB));
    let mut client = Client::start(&cluster, &way.address().to_string(), &data);
    wait_for_more(&way, 4 * MIB);
    silence(&way);
    assert!(client.runs());
    way.throttle(None);
    assert_exact(client, &data, "a silent way to the gateway");
    cluster.stop();
}

fn a_silent_link_between_all_nodes_and_the_broker(broker: &SharedBroker) {
    let (way, url) = way_to_broker(broker);
    let flags = ["--name", "silent-nodes", "--placement", "staged"];
    let cluster = Cluster::start_at(tempfile::tempdir().unwrap(), &url, &flags);
    let data = Data::generated(4, 60_000, &["2024-01"]);
    let slow = way_to_gateway(&cluster);
    slow.throttle(Some(2 * MIB));
    let mut client = Client::start(&cluster, &slow.address().to_string(), &data);
    wait_for_more(&way, 4 * MIB);
    silence(&way);
    assert!(client.runs());
    slow.throttle(None);
    assert_exact(client, &data, "a silent broker");
    cluster.stop();
}

/// A second gateway is the one node.
fn a_silent_link_between_one_node_and_the_broker(broker: &SharedBroker) {
    let (way, url) = way_to_broker(broker);
    let flags = ["--name", "silent-node"];
    let cluster = Cluster::start(broker, &flags);
    let second = Gateway::start(&url, &flags);
    let data = Data::generated(5, 100_000, &["2024-01"]);
    let slow = Proxy::start(second.at.parse().unwrap()).unwrap();
    slow.throttle(Some(2 * MIB));
    let mut client = Client::start(&cluster, &slow.address().to_string(), &data);
    cluster.wait_for_chunks(&client.2, 4);
    silence(&way);
    assert!(client.runs());
    slow.throttle(None);
    assert_exact(client, &data, "a gateway without a broker");
    drop(second);
    cluster.stop();
}

/// The client's end does not reach the gateway; then the gateway's end does not reach the client.
fn half_open_links_of_a_client(broker: &SharedBroker) {
    let cluster = Cluster::start(broker, &["--name", "half-open"]);
    let data = Data::generated(6, 100_000, &["2024-01"]);
    let way = way_to_gateway(&cluster);
    way.throttle(Some(2 * MIB));
    let gateway = way.address().to_string();
    let Client(mut child, _out, job) = Client::start(&cluster, &gateway, &data);
    cluster.wait_for_chunks(&job, 4);
    way.blackhole(true);
    child.kill().unwrap();
    child.wait().unwrap();
    // The gateway has still the session of the dead one, and nothing of it may get in the way.
    let other = way_to_gateway(&cluster);
    other.throttle(Some(2 * MIB));
    let client = Client::resume(&cluster, &other.address().to_string(), &data, &job);
    wait_for_more(&other, 2 * MIB);
    other.blackhole(true);
    cluster.kill("gateway-0");
    let since = Instant::now();
    // It finds out by itself that nobody is there, and connects again; that goes through once the hole is gone.
    assert!(other.wait_for_accepted(2, since + DEADLINE));
    assert!(since.elapsed() > Duration::from_secs(20), "it was no silence: {:?}", since.elapsed());
    other.throttle(None);
    other.blackhole(false);
    assert_exact(client, &data, "half open");
    cluster.stop();
}

#[test]
fn a_gateway_that_says_nothing_is_given_up_with_a_clear_error() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "mute"]);
    let (data, way) = (Data::small(), way_to_gateway(&cluster));
    way.blackhole(true);
    let begin = Instant::now();
    let run = cluster.submit(data.path(), &["--gateway", &way.address().to_string()]);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!(run.code, 1, "{}", run.stderr);
    let last = run.stderr.lines().last().unwrap();
    assert!(last.contains(&way.address().to_string()) && last.contains("--gateway"), "{last}");
    assert!(run.files().is_empty());
    cluster.stop();
}
