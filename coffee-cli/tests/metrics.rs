//! The nodes' metrics of real clusters, fetched as Prometheus does; and that what is written about them is so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process,
    sync::Mutex,
};

use coffee_nodes::metrics::METRICS;
use serde_json::Value;
use support::{
    Data,
    cluster::{Cluster, DEADLINE, broker, kill, wait_until},
    coffee, files, said,
};

/// The first of so many ports that are free, below those that the system gives to anybody. No test of this process gets
/// those that another one got, who may still be about to take them.
fn free_ports(many: u16) -> u16 {
    static GIVEN: Mutex<u16> = Mutex::new(0);
    let mut given = GIVEN.lock().unwrap();
    let begin = u16::try_from(process::id() % 8000).unwrap() + 20_000 + *given;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut firsts = (begin..31_000).step_by(many.into());
    let first = firsts.find(|first| (*first..first + many).all(is_free)).unwrap();
    *given += first + many - begin;
    first
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The status, and the body.
fn ask(port: u16, request: &str) -> (String, String) {
    let (mut stream, mut text) = (connect(port), String::new());
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

fn page(port: u16) -> String {
    let (status, body) = ask(port, "GET /metrics HTTP/1.1\r\nHost: node\r\nAccept: text/plain\r\n\r\n");
    assert_eq!(status, "200");
    body
}

/// What all samples of that name come to, on a page.
fn sum(page: &str, name: &str) -> f64 {
    let samples = page.lines().filter(|line| line.split('{').next() == Some(name));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn each_node_shows_what_it_has_done() {
    let (broker, data) = (broker(), Data::generated(8, 20_000, &["2024-01", "2025-06"]));
    let first = free_ports(20);
    let cluster = Cluster::start(&broker, &["--name", "measured", "--metrics", &format!("127.0.0.1:{first}")]);
    let ports: Vec<(u16, String)> = (first..).zip(cluster.nodes().into_iter().map(|(name, ..)| name)).collect();
    let of = |node: &str| ports.iter().find(|(_, name)| name == node).unwrap().0;
    for (port, name) in &ports {
        let page = page(*port);
        assert!(page.contains(&format!("\ncoffee_node_info{{node=\"{name}\",")), "{name}: {page}");
        assert_eq!(sum(&page, "coffee_rows_in_total"), 0.0, "{name}");
        assert!(sum(&page, "process_resident_memory_bytes") > 1e6, "{name}");
    }
    wait_until("one monitor leads", || {
        ports.iter().map(|(port, _)| sum(&page(*port), "coffee_leader")).sum::<f64>() == 1.0
    });

    cluster.submit(data.path(), &[]).done();
    let tables = fs::read_dir(data.path()).unwrap().flat_map(|table| files(&table.unwrap().path()).into_values());
    let lines = |file: Vec<u8>| file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let rows: usize = tables.map(|file| lines(file) - 1).sum(); // but for the header
    assert_eq!(sum(&page(of("gateway-0")), "coffee_rows_in_total"), rows as f64);
    let shard = page(of("groups.1"));
    for name in [
        "coffee_rows_in_total",
        "coffee_bytes_in_total",
        "coffee_rows_out_total",
        "coffee_step_seconds_count",
        "coffee_confirm_seconds_count",
        "coffee_commit_seconds_count",
        "coffee_commit_seconds_sum",
        "coffee_messages_published_total",
    ] {
        assert!(sum(&shard, name) > 0.0, "{name}: {shard}");
    }
    assert_eq!(sum(&shard, "coffee_frames_in_hand"), 0.0);
    // A node whose port somebody else had for a moment was started again by then.
    let restarts = sum(&shard, "coffee_restarts_total");

    let (killed, _) = cluster.node("groups.1");
    kill("KILL", killed);
    cluster.comes_back("groups.1", killed);
    let again = page(of("groups.1"));
    assert_eq!((sum(&again, "coffee_restarts_total"), sum(&again, "coffee_rows_in_total")), (restarts + 1.0, 0.0));

    cluster.stop();
    for (port, name) in &ports {
        let closed = TcpStream::connect(("127.0.0.1", *port)).unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::ConnectionRefused, "{name}");
    }
}

#[test]
fn whoever_asks_badly_disturbs_nobody() {
    let (broker, data) = (broker(), Data::small());
    let first = free_ports(40);
    let cluster = Cluster::start(&broker, &["--name", "disturbed", "--metrics", &format!("127.0.0.1:{first}")]);
    let ports = first..first + u16::try_from(cluster.nodes().len()).unwrap();
    let silent: Vec<TcpStream> = ports.clone().flat_map(|port| [port; 8]).map(connect).collect();
    for port in ports.clone() {
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
            ("DELETE /metrics HTTP/1.1\r\n\r\n", "405"),
            ("\u{16}\u{3}\u{1}\r\n", "400"),
        ] {
            assert_eq!(ask(port, request).0, status, "{request:?}");
        }
        let mut endless = connect(port);
        // It is closed once it was too much, and then a write fails.
        while endless.write_all(&[b'a'; 1024]).is_ok() {}
    }
    cluster.submit(data.path(), &[]).done();
    assert!(ports.clone().all(|port| sum(&page(port), "coffee_node_info") == 1.0));
    drop(silent);
    let held: Vec<TcpStream> = ports.map(connect).collect();
    cluster.stop(); // in time
    drop(held);
}

#[test]
fn an_address_that_is_taken_is_one_line() {
    let (broker, state) = (broker(), tempfile::tempdir().unwrap());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = coffee();
    command.args(["query-node", "--name", "taken", "--metrics", &address, "--state"]).arg(state.path());
    let (code, stdout, stderr) = said(command.env("COFFEE_BROKER", broker.url()).output().unwrap());
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
    assert!(stderr.starts_with(&format!("coffee: --metrics {address}: ")), "{stderr}");
}

#[test]
fn containers_show_theirs_to_each_other_alone() {
    let compose = |flags: &[&str]| said(coffee().arg("compose").args(flags).output().unwrap()).1;
    assert!(!compose(&[]).contains("9200"));
    let file = compose(&["--metrics"]);
    let lines: Vec<&str> = file.lines().filter(|line| line.contains("9200")).collect();
    assert_eq!(lines, ["    COFFEE_METRICS: \"0.0.0.0:9200\""]);
    let named: Vec<&str> = file.lines().collect();
    let nodes = named.windows(2).filter(|pair| pair[1].trim() == "<<: *node");
    let services: BTreeSet<String> = nodes.map(|pair| pair[0].trim().replace(':', ":9200")).collect();
    let scraped = docs("prometheus.yml");
    let targets = scraped.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|it| it.ends_with(":9200"));
    assert_eq!(targets.map(str::to_owned).collect::<BTreeSet<_>>(), services);
}

fn docs(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

#[test]
fn the_table_of_metrics_is_complete() {
    let written = docs("deploy.md");
    for metric in METRICS {
        let row = format!("| `{}` | {} | {} |", metric.name, metric.kind(), metric.help);
        assert!(written.lines().any(|line| line == row), "docs/deploy.md lacks\n{row}");
    }
    let rows = written.lines().filter(|line| line.starts_with("| `coffee_") || line.starts_with("| `process_"));
    assert_eq!(rows.count(), METRICS.len(), "some are not there any more");
}

/// What stands under such a key, at any depth.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| under(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let text = docs("dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut expressions = Vec::new();
    under(&dashboard, "expr", &mut expressions);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expressions.iter().flat_map(|expression| expression.split(|c| !is_name(c)));
    let shown: BTreeSet<&str> =
        words.filter(|word| word.starts_with("coffee_") || word.starts_with("process_")).collect();
    let exported: BTreeSet<String> = METRICS
        .iter()
        .flat_map(|metric| match metric.kind() {
            "histogram" => ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", metric.name)).into(),
            _ => vec![metric.name.to_owned()],
        })
        .collect();
    assert!(shown.len() > 15, "{shown:?}");
    let unknown: Vec<&&str> = shown.iter().filter(|name| !exported.contains(**name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_help_says_where() {
    for command in ["gateway", "query-node", "results-node", "node", "monitor", "up", "compose"] {
        let (code, stdout, _) = said(coffee().args([command, "--help"]).output().unwrap());
        assert!(code == 0 && stdout.contains("--metrics"), "{command}");
    }
}
