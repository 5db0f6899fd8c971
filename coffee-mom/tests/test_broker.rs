//! The tools that give tests a RabbitMQ: sharing, faults, and that nothing is left behind.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use amiquip::{Connection, Error, Exchange, Publish, QueueDeclareOptions};
use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions, TestBroker, TestBrokerError};
use crossbeam_channel::RecvTimeoutError;

/// Far enough away that only a hang reaches it.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Waits for what other processes do, of which nothing tells this one.
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = soon();
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A folder for the brokers of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coffee-test-broker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Processes, of whatever name, that were started for a folder: it is in their environment.
fn processes_of(folder: &Path) -> usize {
    let needle = folder.as_os_str().as_bytes();
    let environments =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    environments.filter(|text| text.windows(needle.len()).any(|window| window == needle)).count()
}

/// A child process that has joined the shared broker of a folder; see [`member`].
struct Member {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Member {
    fn spawn(folder: &Folder, linger_seconds: u32) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "member", "--ignored", "--nocapture"])
            .env("COFFEE_TEST_BROKER_DIR", &folder.0)
            .env("COFFEE_TEST_BROKER_LINGER", linger_seconds.to_string())
            .env_remove("COFFEE_TEST_AMQP_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The URL it has.
    fn url(&mut self) -> String {
        let mut line = String::new();
        while !line.contains("amqp://") {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the member ended");
        }
        line[line.find("amqp://").unwrap()..].trim_end().to_owned()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "the part of a child process of other tests"]
fn member() {
    println!("{}", TestBroker::shared().unwrap().url());
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn folder_of(broker: &OwnBroker) -> PathBuf {
    let folder = broker.eval("{ok, Folder} = file:get_cwd(), list_to_atom(Folder)").unwrap();
    PathBuf::from(folder.trim_matches('\''))
}

fn port_of(url: &str) -> &str {
    url.rsplit(':').next().unwrap().split('/').next().unwrap()
}

fn publish_one(url: &str) -> amiquip::Result<()> {
    let mut connection = Connection::insecure_open(url)?;
    let channel = connection.open_channel(None)?;
    channel.queue_declare("durable", QueueDeclareOptions { durable: true, ..Default::default() })?;
    Exchange::direct(&channel).publish(Publish::new(b"one", "durable"))?;
    connection.close()
}

fn queue_exists(url: &str) -> bool {
    let mut connection = Connection::insecure_open(url).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let exists = channel.queue_declare_passive("durable").is_ok();
    connection.close().unwrap();
    exists
}

#[test]
fn processes_share_a_broker_but_no_queues_and_leave_nothing_when_killed() {
    let folder = Folder::new();
    let mut members: Vec<_> = (0..2).map(|_| Member::spawn(&folder, 1)).collect();
    let urls: Vec<_> = members.iter_mut().map(Member::url).collect();
    assert_eq!(urls.iter().map(|url| port_of(url)).collect::<HashSet<_>>().len(), 1);
    assert_ne!(urls[0], urls[1]);

    publish_one(&urls[0]).unwrap();
    assert!(queue_exists(&urls[0]));
    assert!(!queue_exists(&urls[1]));

    members.into_iter().for_each(Member::kill);
    assert_ne!(processes_of(&folder.0), 0, "the broker lingers");
    wait_until(|| processes_of(&folder.0) == 0);
    let left: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.as_bytes().ends_with(b".lock")), "{left:?}");
}

#[test]
fn a_broker_whose_starter_was_killed_is_used_or_replaced() {
    let folder = Folder::new();
    let member = Member::spawn(&folder, 1);
    wait_until(|| processes_of(&folder.0) > 1);
    member.kill();

    let broker = TestBroker::at(&folder.0, Duration::from_secs(1)).unwrap().join().unwrap();
    publish_one(broker.url()).unwrap();
    drop(broker);
    wait_until(|| processes_of(&folder.0) == 0);
}

#[test]
fn a_shared_broker_that_died_is_replaced_and_vhosts_go_with_their_users() {
    let folder = Folder::new();
    let shared = TestBroker::at(&folder.0, Duration::ZERO).unwrap();
    let first = shared.join().unwrap();
    assert!(matches!(first.eval("erlang:halt()"), Err(TestBrokerError::Gone)));

    let second = shared.join().unwrap();
    let third = shared.join().unwrap();
    assert_eq!(port_of(second.url()), port_of(third.url()));
    publish_one(third.url()).unwrap();
    let vhosts = |count: &str| second.eval("rabbit_vhost:count()").unwrap() == count;
    assert!(vhosts("3"));
    drop(third);
    wait_until(|| vhosts("2"));

    drop(second);
    wait_until(|| processes_of(&folder.0) == 0);
}

#[test]
fn an_own_broker_stops_starts_and_is_killed_with_its_data() {
    let options = OwnOptions::default().consumer_timeout(Duration::from_secs(7)).conf("channel_max = 33");
    let mut broker = OwnBroker::start(options).unwrap();
    let folder = folder_of(&broker);
    let url = broker.url();
    assert_eq!(broker.eval("application:get_env(rabbit, consumer_timeout)").unwrap(), "{ok,7000}");
    assert_eq!(broker.eval("application:get_env(rabbit, channel_max)").unwrap(), "{ok,33}");
    publish_one(&url).unwrap();

    broker.stop().unwrap();
    wait_until(|| processes_of(&folder) == 0);
    assert!(matches!(broker.eval("ok"), Err(TestBrokerError::Gone)));
    assert!(Connection::insecure_open(&url).is_err());
    broker.restart().unwrap();
    assert!(queue_exists(&url));

    broker.kill();
    assert!(!broker.is_running());
    assert!(Connection::insecure_open(&url).is_err());
    broker.restart().unwrap();
    assert!(queue_exists(&url));

    let pid = broker.eval("list_to_integer(os:getpid())").unwrap();
    assert!(matches!(broker.eval("erlang:halt()"), Err(TestBrokerError::Gone)));
    broker.restart().unwrap();
    assert_ne!(broker.eval("list_to_integer(os:getpid())").unwrap(), pid);
    broker.restart().unwrap();
    assert!(queue_exists(&url));

    drop(broker);
    wait_until(|| processes_of(&folder) == 0);
    assert!(!folder.exists());
}

#[test]
fn an_own_broker_is_choked_and_disturbed() {
    let broker = OwnBroker::start(OwnOptions::default()).unwrap();
    let mut connection = Connection::insecure_open(&broker.url()).unwrap();
    let blocked = connection.listen_for_connection_blocked().unwrap();
    let channel = connection.open_channel(None).unwrap();

    broker.alarm(true).unwrap();
    Exchange::direct(&channel).publish(Publish::new(b"", "nobody")).unwrap();
    blocked.recv_timeout(Duration::from_secs(20)).unwrap();
    broker.alarm(false).unwrap();
    blocked.recv_timeout(Duration::from_secs(20)).unwrap();
    drop(channel);

    broker.close_all_connections(1, soon()).unwrap();
    // amiquip's thread panics when it is asked to close in the instant in which it reads that the broker has closed.
    assert_eq!(blocked.recv_timeout(Duration::from_secs(20)).map(drop), Err(RecvTimeoutError::Disconnected));
    assert!(matches!(connection.close(), Err(Error::ServerClosedConnection { code: 320, .. })));
    let nobody = broker.close_all_connections(1, Instant::now());
    assert!(matches!(nobody, Err(TestBrokerError::Deadline { .. })));

    let open = |user: &str, vhost: &str| {
        Connection::insecure_open(&format!("amqp://{user}:it%27s@127.0.0.1:{}/{vhost}", broker.port())).map(drop)
    };
    broker.add_user("barista", "it's").unwrap();
    broker.add_vhost("bar").unwrap();
    assert!(matches!(broker.add_vhost("a\"\\\u{e9}>>"), Ok(())));
    assert!(open("barista", "bar").is_err());
    broker.set_permissions("barista", "bar", ["", ".*", ".*"]).unwrap();
    open("barista", "bar").unwrap();
    assert!(open("nobody", "bar").is_err());
    assert!(matches!(broker.add_user("barista", "again"), Err(TestBrokerError::Failed { .. })));
}

#[test]
fn control_calls_are_fast_and_say_what_is_wrong() {
    let broker = OwnBroker::start(OwnOptions::default()).unwrap();
    let start = Instant::now();
    for number in 0..100 {
        assert_eq!(broker.eval(&format!("{number} + 1")).unwrap(), (number + 1).to_string());
    }
    assert!(start.elapsed() < Duration::from_secs(5), "each is to take less than 50 ms");
    for wrong in ["1 +", "\"", "throw(no)", "exit(self(), kill), ok"] {
        let error = broker.eval(wrong).unwrap_err();
        assert!(matches!(error, TestBrokerError::Failed { .. } | TestBrokerError::Gone), "{error}");
    }
    assert_eq!(broker.eval("ok").unwrap(), "ok");
}

#[test]
fn no_epmd_is_started_by_the_look_after_it() {
    let broker = OwnBroker::start(OwnOptions::default()).unwrap();
    let folder = folder_of(&broker);
    // The look of each minute; the state is asked for after it, so it has ended.
    broker.eval("rabbit_epmd_monitor ! check, sys:get_state(rabbit_epmd_monitor, 20000)").unwrap();
    drop(broker);
    wait_until(|| processes_of(&folder) == 0);
}

#[test]
fn a_broker_that_does_not_start_says_why_and_leaves_nothing() {
    let error = OwnBroker::start(OwnOptions::default().conf("no_such_setting = 1")).unwrap_err();
    assert!(matches!(&error, TestBrokerError::Exited { log, .. } if log.contains("no_such_setting")), "{error}");
}

#[test]
fn a_path_too_long_for_a_socket_is_an_error_at_once() {
    let short = Folder::new();
    let folder = short.0.join("long".repeat(30));
    let start = Instant::now();
    let error = TestBroker::at(&folder, Duration::ZERO).unwrap().join().unwrap_err();
    assert!(
        matches!(&error, TestBrokerError::Io { source, .. } if source.kind() == ErrorKind::InvalidInput),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    assert_eq!(processes_of(&folder), 0);
}
