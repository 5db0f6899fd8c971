//! A real cluster of any application: its `up` over a real RabbitMQ, with its nodes as processes, which can be killed.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use coffee_mom::testing::rabbitmq::{SharedBroker, TestBroker};
use tempfile::TempDir;

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

/// The program of an example. Examples are built along with all tests of their package, into a folder beside theirs.
pub fn example(name: &str) -> PathBuf {
    let tests = env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(program.is_file(), "{name} is not built: cargo build --examples does it, as cargo test of all tests");
    program
}

/// A program, without what the environment of the tests says.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COFFEE_")) {
        command.env_remove(name);
    }
    command
}

/// A cluster that runs until it is stopped, or dropped.
pub struct Cluster {
    up: Child,
    pub gateways: String,
    pub state: TempDir,
}

impl Cluster {
    /// Starts one by a command of its own, whose state folder that is.
    pub fn start_by(mut command: Command, state: TempDir) -> Self {
        let mut up = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        Cluster { gateways: gateways_of(&mut up), up, state }
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

    /// What a node has logged.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.state.path().join(format!("logs/{name}.log"))).unwrap()
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

/// The gateways that a process names once it is ready.
pub fn gateways_of(process: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let gateways = line.trim().strip_prefix("ready gateway=");
    gateways.unwrap_or_else(|| panic!("not ready: {line:?}")).to_owned()
}

/// All files of a folder by name.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}
