//! Nodes that are containers: the services of the Compose project that this process's own container belongs to.

use std::{env, process::Command};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::DockerError;
use crate::{Stop, docker::said, threads::Threads};

/// Restarts that wait: the others are found again.
const WAITING: usize = 64;

const PROJECT: &str = "{{index .Config.Labels \"com.docker.compose.project\"}}";

/// Restarts containers, on a thread of its own, `docker`, as each takes some seconds.
#[derive(Debug)]
pub(super) struct Containers {
    restart: Sender<String>,
    _threads: Threads,
}

impl Containers {
    /// The containers beside this process's own.
    ///
    /// # Errors
    /// Where Docker can't be used, or this process is in no container of Compose's.
    pub fn find() -> Result<Self, DockerError> {
        // A container's host name is its id, unless it was given another.
        let own = env::var("HOSTNAME").unwrap_or_default();
        let project = said(Command::new("docker").args(["inspect", "--format", PROJECT, &own]))?;
        let (restart, asked) = bounded(WAITING);
        let threads = Threads::default();
        let started = threads.start("docker", move |stop| restart_all(&project, &asked, stop));
        started.map_err(|source| DockerError::Command { command: "docker".to_owned(), source })?;
        Ok(Containers { restart, _threads: threads })
    }

    /// Kills a node's container and starts it again, soon.
    pub fn restart(&self, node: String) {
        let _ = self.restart.try_send(node); // full: it is found again
    }
}

fn restart_all(project: &str, asked: &Receiver<String>, stop: &Stop) {
    loop {
        select! {
            recv(asked) -> node => match node {
                Ok(node) => if let Err(error) = restart(project, &node) {
                    log::warn!("the container of {node} can't be restarted: {error}");
                },
                Err(_) => return,
            },
            recv(stop.receiver()) -> _ => return,
        }
    }
}

fn restart(project: &str, node: &str) -> Result<(), DockerError> {
    let labels =
        [format!("label=com.docker.compose.project={project}"), format!("label=com.docker.compose.service={node}")];
    let filters = labels.iter().flat_map(|label| ["--filter", label]);
    let found = said(Command::new("docker").args(["ps", "--all", "--quiet"]).args(filters))?;
    let ids: Vec<&str> = found.split_whitespace().collect();
    if ids.is_empty() {
        return Err(DockerError::Failed { command: "docker ps".to_owned(), said: "there is none".to_owned() });
    }
    said(Command::new("docker").args(["restart", "--time", "0"]).args(ids))?;
    Ok(())
}
