//! Clients of real clusters: how they give up, are interrupted and leave their jobs.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use support::{
    Data,
    cluster::{Cluster, DEADLINE, broker, job_of, kill, wait_until},
    coffee, said,
};
use tempfile::TempDir;

/// Waits for a client's end: its exit code, and what is left of its stderr.
fn end(child: Child) -> (i32, String) {
    let (code, stdout, stderr) = said(child.wait_with_output().unwrap());
    assert_eq!(stdout, "", "{stderr}");
    (code, stderr)
}

/// What is said last of a job that is left.
fn left(job: &str) -> String {
    format!("coffee: interrupted; go on with --job {job}, or `coffee cancel {job}`")
}

/// A submission on a terminal of its own, which util-linux's `script` is; killed when dropped.
struct Terminal {
    script: Child,
    pid: String,
    lines: Receiver<String>,
    _out: TempDir,
}

impl Terminal {
    fn submitting(cluster: &Cluster, data: &Path) -> Self {
        let out = tempfile::tempdir().unwrap();
        let coffee = cluster.command(&[]);
        let mut script = Command::new("script");
        script.args(["-qefc", "echo $$; exec \"$PROGRAM\" submit --quiet --out \"$OUT\" \"$DATA\"", "/dev/null"]);
        script.env("PROGRAM", coffee.get_program()).env("OUT", out.path()).env("DATA", data).env("SHELL", "/bin/sh");
        for (name, value) in coffee.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (said, lines) = channel();
        let shown = BufReader::new(script.stdout.take().unwrap());
        // It ends with the terminal.
        thread::spawn(move || shown.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let mut terminal = Terminal { script, pid: String::new(), lines, _out: out };
        terminal.pid = terminal.line();
        terminal
    }

    /// The next line that it shows, without what it shows of the keys.
    fn line(&self) -> String {
        let line = self.lines.recv_timeout(DEADLINE).unwrap();
        line.trim_end_matches('\r').trim_start_matches("^C").to_owned()
    }

    fn job(&self) -> String {
        self.line().strip_prefix("job ").unwrap().to_owned()
    }

    fn press_ctrl_c(&mut self) {
        self.script.stdin.as_mut().unwrap().write_all(&[3]).unwrap();
    }

    /// Waits for the end, without another line: the exit code.
    fn end(&mut self) -> Option<i32> {
        assert_eq!(self.lines.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
        self.script.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Data that takes a cluster much longer than the test.
fn long() -> Data {
    let data = Data::generated(1, 40_000, &["2024-01"]);
    let folder = data.path().join("transactions");
    for number in 0..600 {
        fs::hard_link(folder.join("transactions_202401.csv"), folder.join(format!("{number}.csv"))).unwrap();
    }
    data
}

#[test]
fn jobs_are_left_cancelled_and_listed_as_they_are() {
    let (broker, long) = (broker(), long());
    let cluster = Cluster::start(&broker, &["--name", "clients", "--running", "9"]);
    a_detached_job_that_is_cancelled_is_no_success(&cluster, long.path());
    thread::scope(|scope| {
        scope.spawn(|| the_first_ctrl_c_leaves_the_job(&cluster, long.path()));
        scope.spawn(|| the_second_ctrl_c_cancels_it(&cluster, long.path()));
        scope.spawn(|| a_terminal_that_closes_is_no_second_ctrl_c(&cluster, long.path()));
        scope.spawn(|| without_a_terminal_nothing_is_cancelled(&cluster, long.path(), ["HUP", "HUP"]));
        scope.spawn(|| without_a_terminal_nothing_is_cancelled(&cluster, long.path(), ["TERM", "HUP"]));
        scope.spawn(|| what_was_quick_is_listed_with_its_figures(&cluster));
    });
    cluster.stop();
}

fn the_first_ctrl_c_leaves_the_job(cluster: &Cluster, data: &Path) {
    let mut terminal = Terminal::submitting(cluster, data);
    let job = terminal.job();
    wait_until("it runs", || cluster.says_of(&job, "state") == "uploading");
    terminal.press_ctrl_c();
    assert_eq!(terminal.line(), format!("job {job} goes on; Ctrl-C again within 3 s cancels it"));
    assert_eq!(terminal.line(), left(&job));
    assert_eq!(terminal.end(), Some(130));
    assert_eq!(cluster.says_of(&job, "state"), "uploading");
    cluster.says(&["cancel", &job]);
}

fn the_second_ctrl_c_cancels_it(cluster: &Cluster, data: &Path) {
    let mut terminal = Terminal::submitting(cluster, data);
    let job = terminal.job();
    terminal.press_ctrl_c();
    assert_eq!(terminal.line(), format!("job {job} goes on; Ctrl-C again within 3 s cancels it"));
    terminal.press_ctrl_c();
    assert_eq!(terminal.line(), format!("coffee: interrupted; job {job} is cancelled"));
    assert_eq!(terminal.end(), Some(130));
    assert_eq!(cluster.says_of(&job, "state"), "cancelled");
}

/// It is gone by the time that its signal is heard.
fn a_terminal_that_closes_is_no_second_ctrl_c(cluster: &Cluster, data: &Path) {
    let mut terminal = Terminal::submitting(cluster, data);
    let job = terminal.job();
    terminal.press_ctrl_c();
    assert_eq!(terminal.line(), format!("job {job} goes on; Ctrl-C again within 3 s cancels it"));
    kill("KILL", terminal.script.id());
    assert_eq!(terminal.end(), None);
    // It is nobody's child any more, and of a zombie there is no command line.
    let process = format!("/proc/{}/cmdline", terminal.pid);
    wait_until("it ends", || fs::read(&process).map_or(true, |line| line.is_empty()));
    assert_ne!(cluster.says_of(&job, "state"), "cancelled");
    cluster.says(&["cancel", &job]);
}

/// What stops a service, or closes a session, sends more than one signal.
fn without_a_terminal_nothing_is_cancelled(cluster: &Cluster, data: &Path, signals: [&str; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr");
    let mut command = cluster.command(&["submit", "--out"]);
    command.arg(folder.path().join("out")).arg(data).stderr(File::create(&path).unwrap());
    let mut child = command.spawn().unwrap();
    let said = || fs::read_to_string(&path).unwrap();
    wait_until("it has begun", || said().contains('\n'));
    let job = said().trim().strip_prefix("job ").unwrap().to_owned();
    let begin = Instant::now();
    signals.iter().for_each(|signal| kill(signal, child.id()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(said(), format!("job {job}\n{}\n", left(&job)));
    assert_ne!(cluster.says_of(&job, "state"), "cancelled");
    cluster.says(&["cancel", &job]);
}

/// The only job that there is.
fn a_detached_job_that_is_cancelled_is_no_success(cluster: &Cluster, data: &Path) {
    let out = tempfile::tempdir().unwrap();
    let child = cluster.submitting(data, out.path(), &["--detach"]);
    let mut jobs = String::new();
    wait_until("it has begun", || {
        jobs = cluster.says(&["jobs"]);
        jobs.contains("uploading")
    });
    let job = jobs.split_whitespace().next().unwrap();
    cluster.says(&["cancel", job]);
    assert_eq!(end(child), (1, format!("coffee: job {job} was cancelled\n")));
}

fn what_was_quick_is_listed_with_its_figures(cluster: &Cluster) {
    let (data, out) = (Data::small(), tempfile::tempdir().unwrap());
    let mut child = cluster.submitting(data.path(), out.path(), &["--quiet"]);
    let job = job_of(&mut child);
    assert_eq!(end(child), (0, String::new()));
    assert_eq!(cluster.says_of(&job, "state"), "done");
    assert_eq!(cluster.says_of(&job, "uploaded"), "true");
    wait_until("the last marks are known", || cluster.says_of(&job, "chunks") == "5"); // one of each table
}

#[test]
fn what_is_no_address_of_a_gateway_is_bad_usage() {
    let data = Data::small();
    let commands = [&["jobs"][..], &["cancel", "0000000000000001-1"], &["submit", data.path().to_str().unwrap()]];
    for command in commands {
        for gateways in ["nonsense", "127.0.0.1:9000,::1:9000", "http://127.0.0.1:9000"] {
            let output = coffee().args(command).env("COFFEE_GATEWAY", gateways).output().unwrap();
            let (code, stdout, stderr) = said(output);
            assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{stderr}");
            assert!(stderr.contains("--gateway") && stderr.contains("HOST:PORT"), "{stderr}");
        }
    }
}

#[test]
fn a_gateway_that_never_was_there_is_soon_given_up() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let begin = Instant::now();
    let output = coffee().args(["jobs", "--gateway", &nobody]).output().unwrap();
    let (code, stdout, stderr) = said(output);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!((Duration::from_secs(4)..Duration::from_secs(20)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    let [waits, gives_up] = stderr.lines().collect::<Vec<_>>()[..] else { panic!("{stderr}") };
    assert!(waits.contains(&nobody) && waits.contains("trying again for up to 10 s"), "{waits}");
    let expected = format!("coffee: the cluster: gateway {nobody}: ");
    assert!(gives_up.starts_with(&expected) && gives_up.ends_with("with --gateway"), "{gives_up}");
}
