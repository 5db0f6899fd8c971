//! A real cluster: `coffee up` over a real RabbitMQ, with its nodes as processes, and clients of it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use coffee_mom::testing::rabbitmq::{SharedBroker, TestBroker};
use tempfile::TempDir;

use super::{Run, coffee, files, run, said};

/// Nothing that is waited for takes longer than this, on however slow a machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A broker for some clusters.
pub fn broker() -> SharedBroker {
    TestBroker::shared().unwrap()
}

/// Looks again and again until it is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < DEADLINE, "{what}: it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal.
pub fn kill(signal: &str, pid: u32) {
    let done = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(done.success(), "kill -{signal} {pid}");
}

/// A cluster that runs until it is stopped, or dropped.
pub struct Cluster {
    up: Child,
    pub gateways: String,
    pub state: TempDir,
}

impl Cluster {
    /// Starts one, in a state folder of its own.
    pub fn start(broker: &SharedBroker, flags: &[&str]) -> Self {
        Cluster::start_in(tempfile::tempdir().unwrap(), broker, flags)
    }

    /// Starts one where an earlier one has left its state.
    pub fn start_in(state: TempDir, broker: &SharedBroker, flags: &[&str]) -> Self {
        Cluster::start_at(state, broker.url(), flags)
    }

    /// Starts one at the broker of that URL.
    pub fn start_at(state: TempDir, url: &str, flags: &[&str]) -> Self {
        let mut command = coffee();
        command.args(["up", "--listen", "127.0.0.1:0", "-v", "--state"]).arg(state.path()).args(flags);
        command.env("COFFEE_BROKER", url);
        Cluster::start_by(command, state)
    }

    /// Starts one by a command of its own, whose state folder that is.
    pub fn start_by(mut command: Command, state: TempDir) -> Self {
        let mut up = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        Cluster { gateways: gateways_of(&mut up), up, state }
    }

    /// A command that talks to it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = coffee();
        command.args(arguments).env("COFFEE_GATEWAY", &self.gateways);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a submission into that folder.
    pub fn submitting(&self, data: &Path, out: &Path, flags: &[&str]) -> Child {
        self.command(&["submit", "--out"]).arg(out).args(flags).arg(data).spawn().unwrap()
    }

    /// Submits, and waits for the end.
    pub fn submit(&self, data: &Path, flags: &[&str]) -> Run {
        let out = tempfile::tempdir().unwrap();
        let child = self.submitting(data, out.path(), flags);
        ended(child, out)
    }

    /// What `coffee jobs` or another command says; it has to succeed.
    pub fn says(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = said(self.command(arguments).output().unwrap());
        assert_eq!(code, 0, "{stderr}");
        stdout
    }

    /// What `coffee jobs --json` says of a job: the part behind this key, up to the next comma.
    pub fn says_of(&self, job: &str, key: &str) -> String {
        let jobs = self.says(&["jobs", job, "--json"]);
        let value = jobs.split(&format!("\"{key}\":")).nth(1).unwrap();
        value.split([',', '}']).next().unwrap().trim_matches('"').to_owned()
    }

    /// Waits until so many chunks of a job are known to be confirmed, and returns how many it is by then.
    pub fn wait_for_chunks(&self, job: &str, chunks: u64) -> u64 {
        let mut known = 0;
        wait_until(&format!("{chunks} chunks"), || {
            known = self.says_of(job, "chunks").parse().unwrap();
            known >= chunks
        });
        known
    }

    /// Kills a node by SIGKILL, and waits until another process is ready in its place.
    pub fn kill(&self, node: &str) {
        let find = || self.nodes().into_iter().find(|(name, ..)| name == node).unwrap();
        let (_, before, _) = find();
        kill("KILL", before);
        wait_until(node, || {
            let (_, now, state) = find();
            now != before && state == "ready"
        });
    }

    /// Kills all of it by SIGKILL, and hands its state on.
    pub fn crash(mut self) -> TempDir {
        let nodes = self.nodes();
        self.up.kill().unwrap();
        for (_, pid, _) in &nodes {
            // One may end before, as `up` is gone.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
        }
        self.up.wait().unwrap();
        for (name, pid, _) in &nodes {
            // It is nobody's child any more, and of a zombie there is no command line.
            let process = format!("/proc/{pid}/cmdline");
            wait_until(name, || fs::read(&process).map_or(true, |line| line.is_empty()));
        }
        std::mem::replace(&mut self.state, tempfile::tempdir().unwrap())
    }

    /// The nodes: name, process, state.
    pub fn nodes(&self) -> Vec<(String, u32, String)> {
        let text = fs::read_to_string(self.state.path().join("nodes.tsv")).unwrap();
        let line = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields[0].to_owned(), fields[1].parse().unwrap(), fields[2].to_owned())
        };
        text.lines().map(line).collect()
    }

    /// A node's process and state.
    pub fn node(&self, name: &str) -> (u32, String) {
        let (_, pid, state) = self.nodes().into_iter().find(|(node, ..)| node == name).unwrap();
        (pid, state)
    }

    /// Waits until a node that had this process is ready again by another one.
    pub fn comes_back(&self, name: &str, before: u32) {
        wait_until(name, || {
            let (now, state) = self.node(name);
            now != before && state == "ready"
        });
    }

    /// The monitor that leads, if one is known to.
    pub fn leader(&self) -> Option<String> {
        let text = fs::read_to_string(self.state.path().join("nodes.tsv")).unwrap();
        text.lines().find(|line| line.ends_with("\tleader")).and_then(|line| Some(line.split('\t').next()?.to_owned()))
    }

    /// Kills `coffee up` itself.
    pub fn kill_up(mut self) -> TempDir {
        self.up.kill().unwrap();
        self.up.wait().unwrap();
        std::mem::replace(&mut self.state, tempfile::tempdir().unwrap())
    }

    /// Stops it in order, and hands its state on.
    pub fn stop(mut self) -> TempDir {
        let start = Instant::now();
        kill("TERM", self.up.id());
        let status = self.up.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.logs());
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(self.nodes().iter().all(|(_, pid, state)| *pid == 0 && state == "stopped"), "{:?}", self.nodes());
        std::mem::replace(&mut self.state, tempfile::tempdir().unwrap())
    }

    /// What the nodes have logged.
    pub fn logs(&self) -> String {
        let logs = files(&self.state.path().join("logs")).into_iter();
        logs.map(|(name, text)| format!("{name}: {}\n", String::from_utf8_lossy(&text))).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}\n{}", self.nodes(), self.logs());
        }
        // Its nodes end with it.
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

/// A gateway beside those of `coffee up`, which nobody starts again; killed when dropped.
pub struct Gateway {
    process: Child,
    /// Where it listens.
    pub at: String,
}

impl Gateway {
    /// Starts one of the cluster that the flags name, at the broker of that URL.
    pub fn start(url: &str, flags: &[&str]) -> Self {
        let mut command = coffee();
        command.args(["gateway", "--listen", "127.0.0.1:0"]).args(flags).env("COFFEE_BROKER", url);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let at = gateways_of(&mut process);
        Gateway { process, at }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The gateways that a process names once it is ready.
fn gateways_of(process: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let gateways = line.trim().strip_prefix("ready gateway=");
    gateways.unwrap_or_else(|| panic!("not ready: {line:?}")).to_owned()
}

/// Waits for a submission's end.
pub fn ended(child: Child, out: TempDir) -> Run {
    let (code, stdout, stderr) = said(child.wait_with_output().unwrap());
    Run { code, stdout, stderr, out }
}

/// The job's id, which a submission says first.
pub fn job_of(child: &mut Child) -> String {
    let mut line = Vec::new();
    let stderr = child.stderr.as_mut().unwrap();
    let mut byte = [0];
    while stderr.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    let line = String::from_utf8(line).unwrap();
    line.strip_prefix("job ").unwrap_or_else(|| panic!("{line:?}")).to_owned()
}

/// Asserts that a submission came to what a run in one process does.
pub fn assert_same(submitted: &Run, data: &Path, flags: &[&str], what: &str) {
    let expected = run(data, flags).done();
    assert_eq!(submitted.code, 0, "{what}: {}", submitted.stderr);
    let (is, should) = (submitted.files(), expected.files());
    assert!(is.keys().eq(should.keys()), "{what}: {:?}", is.keys());
    for (name, content) in &should {
        assert!(is[name] == *content, "{what}: {name} differs");
    }
    assert_eq!(submitted.figures(), expected.figures(), "{what}");
}
