//! The nodes of a `docker-compose.yml`. Their processes are killed, as `docker kill` is no crash to Docker: what it ends is not
//! started again.

use std::{num::NonZeroU32, path::Path, process::Command};

use super::{Action, ChaosError};
use crate::{
    docker::{DockerError, run, said},
    up::NodeLine,
};

/// A service that is a node has a restart policy; the broker has one too, and is told by its name.
const BROKER: &str = "rabbitmq";

/// A line of the table of nodes for each container, and its image behind it.
const FORMAT: &str = "{{index .Config.Labels \"com.docker.compose.service\"}}\t{{.State.Pid}}\t\
                      {{if .State.Running}}ready{{else}}dead{{end}}\tnode\t{{.HostConfig.RestartPolicy.Name}}\t{{.Image}}";

/// The nodes as they are now, and the image of each: neither the broker, nor clients, which nobody would start again.
pub(super) fn nodes(file: &Path) -> Result<Vec<(NodeLine, String)>, ChaosError> {
    let listed = said(composer()?.arg("--file").arg(file).args(["ps", "--quiet"]))?;
    let ids: Vec<&str> = listed.split_whitespace().collect();
    if ids.is_empty() {
        return Err(ChaosError::NotRunning(file.to_owned()));
    }
    let inspected = said(Command::new("docker").args(["inspect", "--format", FORMAT]).args(ids))?;
    let containers = inspected.lines().filter(|line| !line.is_empty()).map(|line| {
        parse(line).ok_or_else(|| DockerError::Failed { command: "docker inspect".into(), said: line.to_owned() })
    });
    Ok(containers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// `None` where it is no such line, an inner `None` where it is not of a node.
pub(super) fn parse(line: &str) -> Option<Option<(NodeLine, String)>> {
    let (line, image) = line.rsplit_once('\t')?;
    let (line, restart) = line.rsplit_once('\t')?;
    let node: NodeLine = line.parse().ok()?;
    let is_node = !matches!(restart, "" | "no") && node.name != BROKER;
    Some(is_node.then(|| (node, image.to_owned())))
}

/// Strikes a container's node, which its first process has started or is, from another container of that image that sees the host's processes: only root may, and this process may
/// be on another machine than Docker. Whether it was there.
pub(super) fn strike(image: &str, pid: NonZeroU32, action: Action) -> Result<bool, ChaosError> {
    let signal = match action {
        Action::Kill => "KILL",
        Action::Hang => "STOP",
    };
    let alone = ["run", "--rm", "--network", "none", "--pid", "host", "--user", "root", "--entrypoint", "sh"];
    let script = format!(
        "[ ! -d /proc/{pid} ] || {{ node=$(cat /proc/{pid}/task/{pid}/children); kill -{signal} ${{node:-{pid}}} && echo struck; }}"
    );
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
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::{NodeRole, NodeState};

    #[test]
    fn containers_are_nodes_but_for_broker_and_clients() {
        let (node, image) = parse("groups.0\t4711\tready\tnode\tunless-stopped\tsha256:abc").unwrap().unwrap();
        let expected = NodeLine {
            name: "groups.0".into(),
            pid: NonZeroU32::new(4711),
            state: NodeState::Ready,
            role: NodeRole::Node,
        };
        assert_eq!((node, image.as_str()), (expected, "sha256:abc"));
        let (dead, _) = parse("groups.0\t0\tdead\tnode\tunless-stopped\tsha256:abc").unwrap().unwrap();
        assert_eq!(dead.pid, None);
        assert_eq!(parse("rabbitmq\t12\tready\tnode\tunless-stopped\tsha256:abc"), Some(None));
        assert_eq!(parse("client-0\t13\tready\tnode\tno\tsha256:abc"), Some(None));
        assert_eq!(parse("Error: no such object"), None);
    }
}
