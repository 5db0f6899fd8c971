//! Commands of Docker's, with a limit to how long each may take.

use std::{
    io,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use crossbeam_channel::bounded;
use rustix::process::{Pid, Signal, kill_process};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A command of Docker's came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// It can't be run.
    #[error("`{command}` can't be run: {source}")]
    Command {
        /// Which.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// Which.
        command: String,
        /// The last that it said.
        said: String,
    },
}

/// What a command says that succeeds.
pub(crate) fn said(command: &mut Command) -> Result<String, DockerError> {
    let output = run(command)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let last = text(&output.stderr).lines().last().unwrap_or_default().to_owned();
    Err(DockerError::Failed { command: name_of(command), said: last })
}

/// Runs a command to its end, or kills it.
pub(crate) fn run(command: &mut Command) -> Result<Output, DockerError> {
    let name = name_of(command);
    let failed = |source| DockerError::Command { command: name.clone(), source };
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(failed)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (sender, ended) = bounded(1);
    let wait = move || {
        // Whoever waited may have given up.
        let _ = sender.send(child.wait_with_output());
    };
    let waiter = thread::Builder::new().name("docker".into()).spawn(wait).map_err(failed)?;
    let output = ended.recv_timeout(LIMIT);
    if output.is_err()
        && let Some(pid) = pid
    {
        let _ = kill_process(pid, Signal::KILL);
    }
    // A panic there was told on stderr.
    let _ = waiter.join();
    match output {
        Ok(output) => output.map_err(failed),
        Err(_) => Err(DockerError::Failed { command: name, said: format!("no end within {} s", LIMIT.as_secs()) }),
    }
}

fn name_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_fail_say_why() {
        let error = said(Command::new("sh").args(["-c", "echo first >&2; echo why >&2; exit 3"])).unwrap_err();
        assert!(matches!(&error, DockerError::Failed { said, .. } if said == "why"), "{error}");
        assert!(matches!(said(&mut Command::new("/nowhere")), Err(DockerError::Command { .. })));
        assert_eq!(said(Command::new("echo").arg("word")).unwrap(), "word");
    }
}
