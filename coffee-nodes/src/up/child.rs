//! One node's process: started, heard, told to stop, killed.

use std::{
    io::{self, BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

use crossbeam_channel::Sender;
use rustix::process::{Pid, Signal, kill_process};

use super::log::Log;

/// The first word of what a node says on stdout once it works.
pub const READY: &str = "ready";

/// Longest line that is looked at on a node's stdout, in bytes.
const LONGEST_LINE: u64 = 4096;

/// What a process was heard to do.
#[derive(Debug)]
pub(super) enum Heard {
    /// It works; what it said behind the word.
    Ready(String),
    /// It has closed stdout and stderr, so it is ending; and its last words.
    Silent(String),
}

/// A process and the thread that listens to it. All of its methods are called by one thread, so a signal never goes to a
/// process that has been waited for, whose number may be another's by then.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    listener: JoinHandle<()>,
    killed: bool,
}

impl Process {
    /// Starts a process; what is heard of it is sent with `index` and `life`, waiting for room.
    pub fn start(
        command: &mut Command,
        log: Log,
        (name, index, life): (&str, usize, u64),
        heard: Sender<(usize, u64, Heard)>,
    ) -> io::Result<Self> {
        // The leash: a node stops by itself once its stdin is closed, so none is left when this process dies.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let listen = move || {
            listen(stdout, stderr, log, |what| {
                // Whoever started it may be gone.
                let _ = heard.send((index, life, what));
            });
        };
        match thread::Builder::new().name(format!("hear {name}")).spawn(listen) {
            Ok(listener) => Ok(Process { child, listener, killed: false }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop in order.
    pub fn ask_to_stop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that has ended already needs no asking.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Kills it for certain; without effect on one that has ended. Whether that was not done before.
    pub fn kill(&mut self) -> bool {
        let _ = self.child.kill();
        !std::mem::replace(&mut self.killed, true)
    }

    /// Takes the end of a process that has fallen silent, or was killed.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        // One that is ending keeps its exit code; any other has closed what it is heard by.
        self.kill();
        let status = self.child.wait();
        // A panic there was told on stderr.
        let _ = self.listener.join();
        status
    }
}

/// Hears a process to its end.
fn listen(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>, log: Log, tell: impl Fn(Heard) + Sync) {
    let last = thread::scope(|scope| {
        let logging = stderr.map(|stderr| scope.spawn(move || log.follow(stderr)));
        if let Some(stdout) = stdout {
            hear_ready(stdout, &tell);
        }
        logging.and_then(|logging| logging.join().ok()).unwrap_or_default()
    });
    tell(Heard::Silent(last));
}

/// Reads stdout to its end, so that nobody who writes there has to wait.
fn hear_ready(stdout: ChildStdout, tell: &impl Fn(Heard)) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(rest) = text.trim().strip_prefix(READY) {
            tell(Heard::Ready(rest.trim().to_owned()));
        }
    }
}
