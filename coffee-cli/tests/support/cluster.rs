//! A cluster of the coffee shops' application, and clients of it.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
};

use coffee_mom::testing::rabbitmq::SharedBroker;
use tempfile::TempDir;

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub use super::processes::{Cluster, DEADLINE, broker, kill, wait_until};
use super::{Run, coffee, processes::gateways_of, run, said};

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
}

/// A gateway beside those of `coffee up`, which nobody starts again; killed when dropped.
pub struct Gateway {
    process: Child,
    /// Where it listens.
    pub at: String,
    /// Dropped once it is killed.
    _state: TempDir,
}

impl Gateway {
    /// Starts one of the cluster that the flags name, at the broker of that URL.
    pub fn start(url: &str, flags: &[&str]) -> Self {
        let (mut command, state) = (coffee(), tempfile::tempdir().unwrap());
        command.args(["gateway", "--listen", "127.0.0.1:0", "--state"]).arg(state.path()).args(flags);
        command.env("COFFEE_BROKER", url);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let at = gateways_of(&mut process);
        Gateway { process, at, _state: state }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
