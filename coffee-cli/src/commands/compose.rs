//! `compose`: a cluster as containers.

use clap::{Args, builder::BoolishValueParser};
use coffee_nodes::{
    cluster::ClusterNode,
    compose::{ComposeError, ComposeOptions, ComposePlacement, OwnSettings, compose_file, environment_file},
};

use crate::{
    access_args::ClientAccessArgs,
    application::Application,
    cluster::LayoutArgs,
    command_line::Context,
    commands::{gateway::GatewayFlags, query_node::QueryFlags, results_node::ResultsFlags},
    failure::Failure,
    monitors::MonitorFlags,
    output,
    tls_args::ClientTlsArgs,
};

/// Where a container's metrics are, within the cluster's network.
const METRICS: &str = "0.0.0.0:9200";

/// Prints a docker-compose.yml for a cluster, each node a container
///
/// It works with docker-compose 1.29 and with Compose v2. Its broker's user and password come from the environment, which
/// --env prints new ones for.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  {program} compose --gateways 2 --shards {stage}=4 > docker-compose.yml\n  {program} compose --env > .env\n  docker-compose up --detach"
)]
pub struct ComposeArgs {
    #[command(flatten)]
    layout: LayoutArgs,
    /// How many gateways there are; each is published at the port after the one before
    #[arg(long, env = "COFFEE_GATEWAYS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    gateways: u16,
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    query: QueryFlags,
    #[command(flatten)]
    results: ResultsFlags,
    /// Prints an environment file with new random secrets instead
    #[arg(long, env = "COFFEE_ENV", value_parser = BoolishValueParser::new())]
    env: bool,
    /// How many monitors there are
    #[arg(long, env = "COFFEE_MONITORS", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    monitors: u16,
    #[command(flatten)]
    monitor: MonitorFlags,
    /// The monitors restart the containers of silent nodes: they get Docker's socket, which is as good as root on the host
    #[arg(long, env = "COFFEE_DOCKER", value_parser = BoolishValueParser::new())]
    docker: bool,
    /// Each node's metrics are at port 9200 of its service, for a Prometheus in the cluster's network; not published on the host
    #[arg(long, env = "COFFEE_METRICS", value_parser = BoolishValueParser::new())]
    metrics: bool,
    #[command(flatten)]
    client_tls: ClientTlsArgs,
    #[command(flatten)]
    client_access: ClientAccessArgs,
}

impl ComposeArgs {
    /// Prints it, with so many clients, each of which submits a folder.
    pub fn run(&self, context: &Context<'_>, clients: u16) -> Result<(), Failure> {
        let text = if self.env {
            environment_file().map_err(|error| Failure::work("random bytes", error))?
        } else {
            self.layout.names()?;
            let options = self.options(context.application, clients)?;
            compose_file(&options).map_err(|error| match error {
                ComposeError::Name => Failure::usage(format!("--name {}", self.layout.name), error),
                error => Failure::usage("--listen", error),
            })?
        };
        output::print(text.as_bytes())
    }

    fn options(&self, application: &Application, clients: u16) -> Result<ComposeOptions, Failure> {
        let placement = self.layout.placement.clone();
        let settings = [
            self.layout.environment(),
            self.query.environment(),
            self.results.environment(),
            self.gateway.limits(),
            self.monitor.environment(),
        ];
        let mut nodes = self.layout.nodes(application, self.gateways)?;
        nodes.extend((0..self.monitors).map(|index| ClusterNode::Monitor { index }));
        let metrics = self.metrics.then(|| ("COFFEE_METRICS", METRICS.to_owned()));
        let set = settings.into_iter().flatten().chain(metrics).filter(|(_, value)| !value.is_empty());
        Ok(ComposeOptions {
            program: application.name().to_owned(),
            name: self.layout.name.clone(),
            nodes,
            settings: owned(set),
            gateways: self.gateways(),
            placement: if application.has_placement(&placement) {
                ComposePlacement::BuiltIn(placement)
            } else {
                ComposePlacement::File(placement)
            },
            listen: self.gateway.listen,
            clients,
            client: OwnSettings {
                values: owned(self.client_tls.values()),
                files: owned(self.client_tls.files().chain(self.client_access.file())),
            },
            docker: self.docker,
        })
    }

    /// What gateways are told, and clients inside of their containers: operators' ones, which come by loopback. The gateways'
    /// certificate is for no such address, but for the first one's name, unless another is given.
    fn gateways(&self) -> OwnSettings {
        let first = || ClusterNode::Gateway { index: 0 }.name();
        let trusted = self.client_tls.config();
        let name = trusted.map(|tls| ("COFFEE_TLS_NAME", tls.server_name.unwrap_or_else(first)));
        let files = self.gateway.files().into_iter().chain(self.client_tls.authority());
        OwnSettings { values: owned(name), files: owned(files) }
    }
}

fn owned(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
