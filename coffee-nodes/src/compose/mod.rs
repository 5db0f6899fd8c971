//! A cluster as containers: the text of a `docker-compose.yml`, and of the environment file with its secrets.
//!
//! The text does for docker-compose 1.29 and Compose v2. What is the same for all clusters is YAML in the files beside this
//! one, with `{program}` where it says what runs; what differs is written behind it: settings, nodes, clients, volumes. Reads and
//! starts nothing.

mod secrets;
#[cfg(test)]
mod tests;
mod yaml;

pub use secrets::environment_file;

use std::net::SocketAddr;

use crate::cluster::ClusterNode;
use yaml::{literal, scalar};

/// Where files of the host are mounted, by the variables that name them.
const FILES: &str = "/etc/coffee";

/// What all services share.
const SHARED: &str = include_str!("shared.yml");

/// What clients share.
const CLIENT: &str = include_str!("client.yml");

/// What a client submits, and where its results go.
const CLIENT_VOLUMES: &str = include_str!("client_volumes.yml");

/// What nodes share, up to their settings, which stand behind it.
const NODE: &str = include_str!("node.yml");

/// The broker, first of the services.
const BROKER: &str = include_str!("broker.yml");

/// Where gateways listen in their containers.
const PORT: u16 = 9000;

/// Where monitors listen in theirs.
const MONITOR_PORT: u16 = 9100;

/// What a monitor has beside other nodes: it needs no broker.
const MONITOR: &str = "    depends_on: {}\n";

/// What it has where it restarts containers.
const DOCKER: &str = "    image: ${COFFEE_DOCKER_IMAGE:-{image}-docker}\n    user: root\n    volumes: [\"/var/run/docker.sock:/var/run/docker.sock\"]\n";

/// The variable that names the placement, or its file.
const PLACEMENT: &str = "COFFEE_PLACEMENT";

/// Which placement the nodes have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComposePlacement {
    /// One that ships, by its name.
    BuiltIn(String),
    /// A file's, mounted into each container; a relative path counts from the folder of the `docker-compose.yml`.
    File(String),
}

/// What services of one kind are told alone, as environment variables.
#[derive(Clone, Debug, Default)]
pub struct OwnSettings {
    /// Values; no secrets.
    pub values: Vec<(String, String)>,
    /// Files of the host, mounted into each container, where its user must be able to read them; a relative path counts from the
    /// folder of the `docker-compose.yml`.
    pub files: Vec<(String, String)>,
}

/// What the containers are to be.
#[derive(Clone, Debug)]
pub struct ComposeOptions {
    /// The program, as people call it; its image is too, in lower case. The image's entry point is the program, and its user owns
    /// the folder `/state`.
    pub program: String,
    /// The nodes, one a service, as the [roster](crate::cluster::roster) has them.
    pub nodes: Vec<ClusterNode>,
    /// The cluster's name, which those of its queues begin with: letters, digits, `-` and `_`. Its user at the broker may use nothing else.
    pub name: String,
    /// What all nodes are told alike, as environment variables; no secrets, and nothing about name, broker and placement.
    pub settings: Vec<(String, String)>,
    /// What the gateways are told beside it.
    pub gateways: OwnSettings,
    /// Their placement, which the nodes were listed by.
    pub placement: ComposePlacement,
    /// Where the first gateway is published on the host; the others have the ports after it.
    pub listen: SocketAddr,
    /// How many clients there are, which start by the profile `clients` only. Each has the program's command `submit` submit the
    /// folder `COFFEE_DATA` of the host.
    pub clients: u16,
    /// What the clients are told.
    pub client: OwnSettings,
    /// Whether monitors restart containers: they get Docker's socket, and an image that has its command.
    pub docker: bool,
}

/// Why there is no such cluster of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// There are not as many ports behind the first gateway's as there are gateways.
    #[error("the last gateways would have ports above 65535")]
    Ports,
    /// The broker is to know the names of the cluster's queues by a pattern.
    #[error("in containers the cluster's name has letters, digits, - and _ only")]
    Name,
}

/// The text of a `docker-compose.yml`. The same options give the same text.
///
/// # Errors
/// Where the gateways' ports are no ports, or the name is no plain one.
pub fn compose_file(options: &ComposeOptions) -> Result<String, ComposeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if options.name.is_empty() || !options.name.chars().all(plain) {
        return Err(ComposeError::Name);
    }
    let shared = [SHARED, if options.clients > 0 { CLIENT } else { "" }, NODE];
    let mut text: String = shared.iter().map(|text| of(text, options)).collect();
    text += &settings(options);
    text += &of(BROKER, options);
    for node in &options.nodes {
        text += &service(node, options)?;
    }
    text.extend((0..options.clients).map(|at| client(at, options)));
    text += &volumes(options);
    Ok(text)
}

/// The text of one program: images have no capitals.
fn of(text: &str, options: &ComposeOptions) -> String {
    let image = options.program.to_lowercase();
    text.replace("{image}", &image)
        .replace("{program}", &options.program)
        .replace("{names}", &format!("({}[.]|coffee[.]gen-)", options.name))
}

/// The nodes' environment behind what is the same for all clusters.
fn settings(options: &ComposeOptions) -> String {
    let placement = match &options.placement {
        ComposePlacement::BuiltIn(name) => name.clone(),
        ComposePlacement::File(_) => target(PLACEMENT),
    };
    let own = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let monitors = monitors(&options.nodes);
    let all = [("COFFEE_NAME", options.name.as_str()), (PLACEMENT, &placement), ("COFFEE_MONITORS", &monitors)];
    all.into_iter().chain(own).map(|(name, value)| variable("    ", name, value)).collect()
}

fn variable(indent: &str, name: &str, value: &str) -> String {
    format!("{indent}{}: {}\n", scalar(name), literal(value))
}

/// What services of one kind are told alone.
fn told(own: &OwnSettings) -> String {
    let values = own.values.iter().map(|(name, value)| variable("      ", name, value));
    values.chain(own.files.iter().map(|(name, _)| variable("      ", name, &target(name)))).collect()
}

/// Where the file is mounted that a variable names.
fn target(variable: &str) -> String {
    format!("{FILES}/{}", variable.trim_start_matches("COFFEE_").to_lowercase().replace('_', "-"))
}

/// One file of the host in a list of volumes.
fn mount(source: &str, target: &str) -> String {
    format!("      - {{type: bind, source: {}, target: {target}, read_only: true}}\n", literal(&from_here(source)))
}

/// Where the monitors are, for all nodes.
fn monitors(nodes: &[ClusterNode]) -> String {
    let monitors = nodes.iter().filter(|node| matches!(node, ClusterNode::Monitor { .. }));
    monitors.map(|node| format!("{}:{MONITOR_PORT}", node.name())).collect::<Vec<_>>().join(",")
}

fn healthy(indent: &str, service: &str) -> String {
    format!("{indent}{}: {{condition: service_healthy}}\n", scalar(service))
}

fn service(node: &ClusterNode, options: &ComposeOptions) -> Result<String, ComposeError> {
    let (name, mut arguments) = (node.name(), node.arguments());
    let own = match node {
        ClusterNode::Gateway { index } => door(*index, options)? + &mounts(node, options),
        ClusterNode::Monitor { .. } if options.docker => {
            arguments.push("--docker".to_owned());
            MONITOR.to_owned() + &of(DOCKER, options)
        }
        ClusterNode::Monitor { .. } => MONITOR.to_owned(),
        _ => mounts(node, options),
    };
    Ok(format!("\n  {}:\n    <<: *node\n    command: {}\n{own}", scalar(&name), list(&arguments)))
}

/// What a gateway has beside other nodes. It works once there is a query node: whatever else is late, jobs wait for.
fn door(index: u16, options: &ComposeOptions) -> Result<String, ComposeError> {
    let port = options.listen.port().checked_add(index).ok_or(ComposeError::Ports)?;
    let published = SocketAddr::new(options.listen.ip(), port);
    let waits: String =
        ["rabbitmq".to_owned(), ClusterNode::Query.name()].iter().map(|name| healthy("      ", name)).collect();
    Ok(format!(
        "    depends_on:\n{waits}    ports: [\"{published}:{PORT}\"]\n    \
         environment:\n      <<: *environment\n      COFFEE_LISTEN: \"0.0.0.0:{PORT}\"\n{}",
        told(&options.gateways)
    ))
}

/// The node's own volume, and the files that it is told of.
fn mounts(node: &ClusterNode, options: &ComposeOptions) -> String {
    let state = node.keeps_state().then(|| format!("      - {}\n", scalar(&format!("{}:/state", node.name()))));
    let placement = match &options.placement {
        ComposePlacement::BuiltIn(_) => None,
        ComposePlacement::File(path) => Some(mount(path, &target(PLACEMENT))),
    };
    let own = if is_gateway(node) { options.gateways.files.as_slice() } else { &[] };
    let own = own.iter().map(|(name, path)| mount(path, &target(name)));
    let mounts: String = state.into_iter().chain(placement).chain(own).collect();
    if mounts.is_empty() { mounts } else { "    volumes:\n".to_owned() + &mounts }
}

/// The path so that docker-compose 1.29 counts it from the file's folder, too: it has to begin with a point.
fn from_here(path: &str) -> String {
    if path.starts_with('/') || path.starts_with("./") || path.starts_with("../") {
        path.to_owned()
    } else {
        format!("./{path}")
    }
}

fn client(at: u16, options: &ComposeOptions) -> String {
    let gateways: Vec<String> = options.nodes.iter().filter(|node| is_gateway(node)).map(ClusterNode::name).collect();
    let addresses: Vec<String> = gateways.iter().map(|name| format!("{name}:{PORT}")).collect();
    let name = format!("client-{at}");
    let arguments = ["submit", "/data", "--gateway", &addresses.join(","), "--out", &format!("/results/{name}")];
    let waits: String = gateways.iter().map(|gateway| healthy("      ", gateway)).collect();
    let told = told(&options.client);
    let environment = if told.is_empty() { told } else { "    environment:\n".to_owned() + &told };
    let files: String = options.client.files.iter().map(|(name, path)| mount(path, &target(name))).collect();
    format!(
        "\n  {name}:\n    <<: *client\n    command: {}\n    depends_on:\n{waits}{environment}    volumes:\n{CLIENT_VOLUMES}{files}",
        list(&arguments.map(str::to_owned))
    )
}

fn volumes(options: &ComposeOptions) -> String {
    let keeping = options.nodes.iter().filter(|node| node.keeps_state()).map(ClusterNode::name);
    let results = (options.clients > 0).then(|| "results".to_owned());
    let names = ["rabbitmq".to_owned()].into_iter().chain(keeping).chain(results);
    "\nvolumes:\n".to_owned() + &names.map(|name| format!("  {}:\n", scalar(&name))).collect::<String>()
}

fn is_gateway(node: &ClusterNode) -> bool {
    matches!(node, ClusterNode::Gateway { .. })
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| literal(item)).collect();
    format!("[{}]", items.join(", "))
}
