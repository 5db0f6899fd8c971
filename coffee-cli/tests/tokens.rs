//! Clients with tokens, without, and with another's: real processes, and what floods them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs,
    io::Write,
    net::{TcpStream, ToSocketAddrs},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use coffee_core::{codec, frame::Sinks, sales::Query};
use coffee_nodes::{
    job::{FileManifest, JobSpec, Manifest, TableManifest},
    wire::{self, Refusal, ToClient, ToGateway, WireError},
};
use support::{
    Data, HEADERS, Run,
    cluster::{Cluster, assert_same, broker, ended, job_of, wait_until},
    coffee, said,
};
use tempfile::TempDir;

const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
const OLGA: &str = "olga-0123456789abcdef";
const NOBODY: &str = "nobody-0123456789abcdef";

fn secret(folder: &TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// A cluster that knows three tokens.
fn with_tokens(folder: &TempDir, flags: &[&str]) -> Cluster {
    let file = format!("client alice {ALICE}\nclient bob {BOB}\noperator olga {OLGA}\n");
    let file = secret(folder, "tokens", &file, 0o600);
    Cluster::start(&broker(), &[&["--tokens", file.to_str().unwrap()][..], flags].concat())
}

fn by(cluster: &Cluster, token: &str, arguments: &[&str]) -> (i32, String, String) {
    said(cluster.command(arguments).env("COFFEE_TOKEN", token).output().unwrap())
}

fn submitting(cluster: &Cluster, token: &str, data: &Path, out: &TempDir) -> Command {
    let mut command = cluster.command(&["submit", "--out"]);
    command.arg(out.path()).arg(data).env("COFFEE_TOKEN", token);
    command
}

fn submit(cluster: &Cluster, token: &str, data: &Path) -> Run {
    let out = tempfile::tempdir().unwrap();
    let child = submitting(cluster, token, data, &out).spawn().unwrap();
    ended(child, out)
}

/// Nothing that the cluster writes for people has a token in it.
fn assert_no_token_is_told(cluster: &Cluster) {
    let said = cluster.logs() + &fs::read_to_string(cluster.state.path().join("nodes.tsv")).unwrap();
    assert!(said.contains("is not let in"), "{said}");
    for token in [ALICE, BOB, OLGA, NOBODY] {
        assert!(!said.contains(token), "{token}");
    }
}

#[test]
fn clients_have_their_own_jobs_and_operators_all() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = with_tokens(&folder, &["--name", "tokens-roles"]);
    let data = Data::small();

    let (code, _, error) = said(cluster.command(&["jobs"]).output().unwrap());
    assert!(code == 2 && error.contains("asks for a token") && error.lines().count() == 1, "{error}");
    let (code, _, error) = by(&cluster, NOBODY, &["jobs"]);
    assert!(code == 2 && error.contains("none of the cluster's") && !error.contains(NOBODY), "{error}");
    let refused = submit(&cluster, NOBODY, data.path());
    assert!(refused.code == 2 && refused.stderr.contains("none of the cluster's"), "{}", refused.stderr);

    let own = secret(&folder, "alice", &format!("{ALICE}\n"), 0o600);
    let out = tempfile::tempdir().unwrap();
    let flags = ["--token-file", own.to_str().unwrap()];
    let mut child = cluster.submitting(data.path(), out.path(), &flags);
    let job = job_of(&mut child);
    let job = job.as_str();
    assert_eq!(ended(child, out).code, 0);

    let unknown = format!("there is no job {job}");
    let nowhere = folder.path().join("results");
    let (data, nowhere) = (data.path().to_str().unwrap(), nowhere.to_str().unwrap());
    for command in [&["jobs", job][..], &["cancel", job], &["submit", "--job", job, "--out", nowhere, data]] {
        let (code, out, error) = by(&cluster, BOB, command);
        assert!(code == 2 && out.is_empty() && error.contains(&unknown), "{command:?}: {code} {error}");
    }
    assert_eq!(by(&cluster, BOB, &["jobs"]), (0, String::new(), String::new()));
    let (_, hers, _) = by(&cluster, ALICE, &["jobs"]);
    assert!(hers.contains(job) && !hers.contains("alice"), "{hers}");
    let (_, all, _) = by(&cluster, OLGA, &["jobs"]);
    assert!(all.contains(job) && all.contains("of alice"), "{all}");
    let (_, all, _) = by(&cluster, OLGA, &["jobs", "--json"]);
    assert!(all.contains("\"owner\":\"alice\""), "{all}");
    let (code, _, error) = by(&cluster, OLGA, &["cancel", job]);
    assert_eq!(code, 0, "{error}");

    assert_no_token_is_told(&cluster);
    cluster.stop();
}

/// Another number at each call.
fn unique() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

/// A small job that makes sense to the cluster, and nobody sends the data of.
fn spec() -> JobSpec {
    let tables = HEADERS.map(|(name, header)| {
        let file = FileManifest { name: "a.csv".into(), bytes: 1 << 10, ends: 1, header: header.into() };
        TableManifest { name: name.into(), files: vec![file] }
    });
    let manifest = Manifest { chunk_bytes: 1 << 20, tables: tables.into() };
    let mut parameters = Vec::new();
    let (from, to) = ("06:00:00".parse().unwrap(), "23:00:00".parse().unwrap());
    let query = Query { years: vec![2024], from, to, min_amount: "75".parse().unwrap(), top: 3 };
    codec::encode(&query, &mut parameters).unwrap();
    JobSpec { parameters, sinks: Sinks::ALL, strict: false, manifest }
}

/// Begins jobs, cancels them and lists them without end on connections of its own, as whoever has that token, until it is enough.
/// Returns how often it was refused, and how many it has begun.
fn flood(gateway: &str, token: &str, enough: &AtomicBool) -> (u64, u64) {
    let address = gateway.to_socket_addrs().unwrap().next().unwrap();
    let (wait, spec) = (Duration::from_secs(20), spec());
    let (refused, begun) = (AtomicU64::new(0), AtomicU64::new(0));
    let visit = || -> Result<(), WireError> {
        let (mut sender, mut receiver) = wire::connect(address, gateway, None, wait, wait)?;
        wire::greet(&mut sender, &mut receiver)?;
        let mut ask = |message: &ToGateway| -> Result<ToClient, WireError> {
            sender.send(message, &[])?;
            loop {
                match receiver.next()?.0 {
                    ToClient::Ping => {}
                    answer => return Ok(answer),
                }
            }
        };
        ask(&ToGateway::Hello { token: Some(token.to_owned()) })?;
        while !enough.load(Ordering::Relaxed) {
            match ask(&ToGateway::Begin { request: unique(), spec: spec.clone() })? {
                ToClient::Begun { job } => {
                    begun.fetch_add(1, Ordering::Relaxed);
                    // One that is refused is asked for again: he shall go on to begin others.
                    while !enough.load(Ordering::Relaxed)
                        && matches!(ask(&ToGateway::Cancel { job })?, ToClient::Refused { .. })
                    {}
                }
                ToClient::Refused { code: Refusal::Busy | Refusal::Full, .. } => {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                ToClient::Refused { code: Refusal::Denied, .. } => {}
                other => panic!("{other:?}"),
            }
            ask(&ToGateway::List)?;
        }
        Ok(())
    };
    while !enough.load(Ordering::Relaxed) {
        // Sent away, it comes again.
        let _ = visit();
    }
    (refused.into_inner(), begun.into_inner())
}

/// Connections that say a byte now and then, of a greeting that never ends.
fn trickle(gateway: &str, enough: &AtomicBool) {
    let mut open: Vec<TcpStream> = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        open.retain_mut(|stream| stream.write_all(b"C").is_ok());
        if open.len() < 100 {
            open.extend(TcpStream::connect(gateway).ok());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn who_floods_and_trickles_is_bounded_and_others_get_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--name", "tokens-flood", "--requests-per-client", "20", "--jobs-per-client", "4"];
    let cluster = with_tokens(&folder, &flags);
    let data = Data::generated(1, 20_000, &["2024-01", "2024-07"]);
    // She has results to fetch.
    let out = tempfile::tempdir().unwrap();
    let mut child = submitting(&cluster, ALICE, data.path(), &out).spawn().unwrap();
    let job = job_of(&mut child);
    let before = ended(child, out);
    assert_eq!(before.code, 0, "{}", before.stderr);
    // He has nearly as many jobs under way as he may.
    let out = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let long = Data::generated(2, 100_000, &["2024-01"]);
    let mut his: Vec<_> = out.iter().map(|out| submitting(&cluster, BOB, long.path(), out).spawn().unwrap()).collect();
    wait_until("his jobs are there", || by(&cluster, BOB, &["jobs"]).1.lines().count() >= 2);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let floods: Vec<_> = (0..60).map(|_| scope.spawn(|| flood(&cluster.gateways, BOB, &enough))).collect();
        let strangers: Vec<_> = (0..4).map(|_| scope.spawn(|| flood(&cluster.gateways, NOBODY, &enough))).collect();
        let trickles = scope.spawn(|| trickle(&cluster.gateways, &enough));
        for number in 0..3 {
            let hers = submit(&cluster, ALICE, data.path());
            assert_same(&hers, data.path(), &[], &format!("beside the flood, {number}"));
        }
        enough.store(true, Ordering::Relaxed);
        let (refused, begun): (Vec<u64>, Vec<u64>) = floods.into_iter().map(|flood| flood.join().unwrap()).unzip();
        let (refused, begun): (u64, u64) = (refused.iter().sum(), begun.iter().sum());
        assert!(refused > 5 && begun > 0, "{refused} refused, {begun} begun");
        assert!(strangers.into_iter().all(|flood| flood.join().is_ok()));
        trickles.join().unwrap();
    });
    his.iter_mut().for_each(|child| {
        let _ = child.kill();
        let _ = child.wait();
    });
    let out = tempfile::tempdir().unwrap();
    let again = submitting(&cluster, ALICE, data.path(), &out).args(["--job", &job]).spawn().unwrap();
    let again = ended(again, out);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(again.files(), before.files(), "his jobs cost her none of her results");
    assert!(cluster.logs().contains("bob is refused what it asks for"), "{}", cluster.logs());
    assert_no_token_is_told(&cluster);
    cluster.stop();
}

#[test]
fn tokens_that_others_may_see_are_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let open = secret(&folder, "open", &format!("client alice {ALICE}\n"), 0o644);
    let short = secret(&folder, "short", "client alice secret-word\n", 0o600);
    let [open, short] = [&open, &short].map(|path| path.to_str().unwrap());
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let bad: [(&[&str], &str); 6] = [
        (&["gateway", "--broker", "memory:", "--state", state, "--tokens", open], "chmod o="),
        (&["up", "--broker", "memory:", "--state", state, "--tokens", short], "line 1: a token has 16"),
        (&["up", "--broker", "memory:", "--state", state, "--tokens", "nowhere"], "nowhere can't be read"),
        (&["jobs", "--token-file", open], "chmod o="),
        (&["jobs", "--token-file", short], "a token has 16"),
        (&["jobs", "--gateway", "192.0.2.1:9000"], "without TLS"),
    ];
    for (flags, why) in bad {
        let (code, out, error) = said(coffee().args(flags).env("COFFEE_TOKEN", ALICE).output().unwrap());
        assert!(code == 2 && out.is_empty() && error.lines().count() == 1 && error.contains(why), "{flags:?}: {error}");
        assert!(!error.contains(ALICE) && !error.contains("secret-word"), "{error}");
    }
}

#[test]
fn containers_get_the_file_of_tokens_and_not_what_is_in_it() {
    let (code, file, error) = said(coffee().args(["compose", "--tokens", "./the-tokens"]).output().unwrap());
    assert_eq!((code, error.as_str()), (0, ""));
    let has = |line: &str| file.lines().filter(|other| other.trim() == line).count();
    let mounted = file.lines().find(|line| line.contains("./the-tokens")).unwrap_or_else(|| panic!("{file}"));
    let (_, rest) = mounted.split_once("target: ").unwrap();
    let (target, rest) = rest.split_once(',').unwrap();
    assert!(rest.contains("read_only: true"), "{mounted}");
    assert_eq!(has(&format!("COFFEE_TOKENS: {target}")), 1, "the gateway's own: {file}");
}
