//! The nodes of a `docker-compose.yml`. Their processes are killed, as `docker kill` is no crash to Docker: what it ends is not
//! started again.

use std::{
    num::NonZeroU32,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use crossbeam_channel::bounded;
use rustix::process::{Pid, Signal, kill_process};

use super::ChaosError;
use crate::up::NodeLine;

/// How long one command of Docker's may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A service that is a node has a restart policy; the broker has one too, and is told by its name.
const BROKER: &str = "rabbitmq";

/// A line of the table of nodes for each container, and its image behind it.
const FORMAT: &str = "{{index .Config.Labels \"com.docker.compose.service\"}}\t{{.State.Pid}}\t\
                      {{if .State.Running}}ready{{else}}dead{{end}}\t{{.HostConfig.RestartPolicy.Name}}\t{{.Image}}";

/// The nodes as they are now, and the image of each: neither the broker, nor clients, which nobody would start again.
pub(super) fn nodes(file: &Path) -> Result<Vec<(NodeLine, String)>, ChaosError> {
    let listed = said(composer()?.arg("--file").arg(file).args(["ps", "--quiet"]))?;
    let ids: Vec<&str> = listed.split_whitespace().collect();
    if ids.is_empty() {
        return Err(ChaosError::NotRunning(file.to_owned()));
    }
    let inspected = said(Command::new("docker").args(["inspect", "--format", FORMAT]).args(ids))?;
    let containers = inspected.lines().filter(|line| !line.is_empty()).map(|line| {
        parse(line).ok_or_else(|| ChaosError::Docker { command: "docker inspect".into(), said: line.to_owned() })
    });
    Ok(containers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// `None` where it is no such line, an inner `None` where it is not of a node.
fn parse(line: &str) -> Option<Option<(NodeLine, String)>> {
    let (line, image) = line.rsplit_once('\t')?;
    let (line, restart) = line.rsplit_once('\t')?;
    let node: NodeLine = line.parse().ok()?;
    let is_node = !matches!(restart, "" | "no") && node.name != BROKER;
    Some(is_node.then(|| (node, image.to_owned())))
}

/// Kills a container's first process, from another container of that image that sees the host's processes: only root may, and this process may
/// be on another machine than Docker. Whether it was there.
pub(super) fn kill(image: &str, pid: NonZeroU32) -> Result<bool, ChaosError> {
    let alone = ["run", "--rm", "--network", "none", "--pid", "host", "--user", "root", "--entrypoint", "sh"];
    let script = format!("[ ! -d /proc/{pid} ] || {{ kill -KILL {pid} && echo killed; }}");
    Ok(!said(Command::new("docker").args(alone).args([image, "-c", &script]))?.is_empty())
}

/// Compose v2, or the older command.
fn composer() -> Result<Command, ChaosError> {
    let mut command = Command::new("docker");
    match run(command.args(["compose", "version"])) {
        Ok(output) if output.status.success() => {
            let mut command = Command::new("docker");
            command.arg("compose");
            Ok(command)
        }
        Ok(_) => Ok(Command::new("docker-compose")),
        Err(error) => Err(error),
    }
}

/// What a command says that succeeds.
fn said(command: &mut Command) -> Result<String, ChaosError> {
    let output = run(command)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let last = text(&output.stderr).lines().last().unwrap_or_default().to_owned();
    Err(ChaosError::Docker { command: name_of(command), said: last })
}

/// Runs a command to its end, or kills it.
fn run(command: &mut Command) -> Result<Output, ChaosError> {
    let name = name_of(command);
    let failed = |source| ChaosError::Command { command: name.clone(), source };
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
        Err(_) => Err(ChaosError::Docker { command: name, said: format!("no end within {} s", LIMIT.as_secs()) }),
    }
}

fn name_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::NodeState;

    #[test]
    fn containers_are_nodes_but_for_broker_and_clients() {
        let (node, image) = parse("groups.0\t4711\tready\tunless-stopped\tsha256:abc").unwrap().unwrap();
        let expected = NodeLine { name: "groups.0".into(), pid: NonZeroU32::new(4711), state: NodeState::Ready };
        assert_eq!((node, image.as_str()), (expected, "sha256:abc"));
        let (dead, _) = parse("groups.0\t0\tdead\tunless-stopped\tsha256:abc").unwrap().unwrap();
        assert_eq!(dead.pid, None);
        assert_eq!(parse("rabbitmq\t12\tready\tunless-stopped\tsha256:abc"), Some(None));
        assert_eq!(parse("client-0\t13\tready\tno\tsha256:abc"), Some(None));
        assert_eq!(parse("Error: no such object"), None);
    }

    #[test]
    fn commands_that_fail_say_why() {
        let error = said(Command::new("sh").args(["-c", "echo first >&2; echo why >&2; exit 3"])).unwrap_err();
        assert!(matches!(&error, ChaosError::Docker { said, .. } if said == "why"), "{error}");
        assert!(matches!(said(&mut Command::new("/nowhere")), Err(ChaosError::Command { .. })));
        assert_eq!(said(Command::new("echo").arg("word")).unwrap(), "word");
    }
}
