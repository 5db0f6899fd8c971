//! `coffee top` of real clusters: what it shows is what is there.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs::File, io::Read};

use coffee_nodes::{
    Stop,
    client::{Client, ClientOptions},
    orders::Order,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::{
    Data,
    cluster::{Cluster, broker, kill, wait_until},
    coffee, said,
};

/// The cells of a line.
fn cells(line: &str) -> Vec<String> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

/// The rows of a table of `top --once`, from the line that begins with that title: cells by title.
fn rows(text: &str, first: &str) -> Vec<BTreeMap<String, String>> {
    let lines: Vec<&str> = text.lines().skip_while(|line| line.split("  ").next() != Some(first)).collect();
    let titles = cells(lines.first().unwrap_or_else(|| panic!("no {first}: {text}")));
    let row = |line: &str| titles.iter().cloned().zip(cells(line)).collect();
    lines[1..].iter().take_while(|line| !line.is_empty()).map(|line| row(line)).collect()
}

/// The nodes, by name.
fn nodes(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    rows(text, "NODE").into_iter().map(|row| (row["NODE"].clone(), row)).collect()
}

fn alive(text: &str) -> usize {
    nodes(text).values().filter(|node| node["STATE"] == "alive").count()
}

#[test]
fn it_shows_all_that_there_is() {
    let (broker, data) = (broker(), Data::generated(8, 50_000, &["2024-01", "2025-06"]));
    let cluster = Cluster::start(&broker, &["--name", "shown"]);
    let there: Vec<String> = cluster.nodes().into_iter().map(|(name, ..)| name).collect();
    let once = || cluster.says(&["top", "--once"]);
    wait_until("all are seen", || alive(&once()) == there.len());
    let text = once();
    let seen = nodes(&text);
    assert!(there.iter().all(|name| seen[name]["RESTARTS"] == "0"), "{text}");
    assert_eq!(seen["monitor-2"]["ROLE"], "leader", "{text}");
    assert_eq!((seen["groups.0"]["ROLE"].as_str(), seen["query-node"]["ROLE"].as_str()), ("shard", "query"), "{text}");
    let queues = rows(&text, "QUEUE");
    assert!(queues.iter().any(|queue| queue["QUEUE"] == "groups.1") && queues.len() > 4, "{text}");
    assert!(queues.iter().all(|queue| queue["CONSUMERS"] == "1" && queue["READY"] == "0"), "{text}");
    for (name, pid, _) in cluster.nodes() {
        assert_eq!(seen[&name]["PID"], pid.to_string(), "{text}");
    }
    cluster.submit(data.path(), &[]).done();
    let text = once();
    let jobs = rows(&text, "JOB");
    assert_eq!((jobs.len(), jobs[0]["STATE"].as_str()), (1, "done"), "{text}");
    cluster.stop();
}

#[test]
fn a_node_that_is_killed_is_seen_dead_and_back() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "killed"]);
    let all = cluster.nodes().len();
    let once = || cluster.says(&["top", "--once"]);
    wait_until("all are seen", || alive(&once()) == all);
    // The query node as well: each gateway sees for itself.
    for name in ["groups.0", "query-node", "monitor-2", "gateway-0"] {
        let (before, _) = cluster.node(name);
        kill("KILL", before);
        cluster.comes_back(name, before);
        wait_until(name, || {
            let seen = nodes(&once());
            let back = |node: &BTreeMap<String, String>| node["STATE"] == "alive" && node["RESTARTS"] == "1";
            seen.get(name).is_some_and(back)
        });
    }
    cluster.stop();
}

#[test]
fn an_order_is_obeyed_by_the_life_that_it_names() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "ordered", "--silence", "2s"]);
    let (client, stop) = (Client::new(ClientOptions::new(vec![cluster.gateways.clone()])), Stop::new());
    let seen = |name: &str| {
        let overview = client.overview(&stop).unwrap();
        overview.nodes.into_iter().find(|node| node.name() == name && node.alive)
    };
    for (name, order) in [
        ("groups.0", Order::Kill),
        ("tops.0", Order::Stop),
        ("results-node", Order::Restart),
        ("query-node", Order::Stop),
        ("gateway-0", Order::Kill),
    ] {
        wait_until(name, || seen(name).is_some());
        let life = seen(name).unwrap().identity.life;
        let (before, _) = cluster.node(name);
        client.order(name, life, order, &stop).unwrap();
        cluster.comes_back(name, before);
        wait_until(name, || seen(name).is_some_and(|node| node.restarts == 1 && node.identity.life != life));
        let late = client.order(name, life, order, &stop).unwrap_err();
        assert!(late.to_string().contains("has been started again"), "{late}");
    }
    wait_until("names.0", || seen("names.0").is_some());
    let life = seen("names.0").unwrap().identity.life;
    client.order("names.0", life, Order::Cut, &stop).unwrap();
    wait_until("its links come back", || seen("names.0").is_some_and(|node| node.reconnects >= 2));
    assert_eq!(seen("names.0").unwrap().identity.life, life, "the process goes on");
    wait_until("monitor-0", || seen("monitor-0").is_some());
    let life = seen("monitor-0").unwrap().identity.life;
    assert!(client.order("monitor-0", life, Order::Kill, &stop).unwrap_err().to_string().contains("takes no orders"));
    assert!(client.order("nobody", life, Order::Kill, &stop).is_err());
    cluster.stop();
}

#[test]
fn a_cluster_that_is_not_there_is_one_line() {
    let (code, stdout, stderr) = said(coffee().args(["top", "--once", "--gateway", "127.0.0.1:1"]).output().unwrap());
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("see that the cluster is up"), "{stderr}");
}

#[test]
fn it_ends_with_its_terminal() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side = || File::options().read(true).write(true).open(&path).unwrap();
    let mut command = coffee();
    command.args(["top", "--gateway", "127.0.0.1:1"]).stdin(side()).stdout(side()).stderr(side());
    let mut top = command.spawn().unwrap();
    drop(command); // with this process's ends of the terminal
    let mut screen = File::from(terminal);
    assert!(screen.read(&mut [0; 64]).unwrap() > 0, "it draws");
    drop(screen);
    wait_until("it ends", || top.try_wait().unwrap().is_some());
}
