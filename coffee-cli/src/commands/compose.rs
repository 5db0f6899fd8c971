//! `compose`: a cluster as containers.

use clap::{Args, builder::BoolishValueParser};
use coffee_nodes::{
    cluster::ClusterNode,
    compose::{ComposeOptions, ComposePlacement, compose_file, environment_file},
};

use crate::{
    application::Application,
    cluster::LayoutArgs,
    command_line::Context,
    commands::{gateway::GatewayFlags, query_node::QueryFlags, results_node::ResultsFlags},
    failure::Failure,
    monitors::MonitorFlags,
    output,
};

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
}

impl ComposeArgs {
    /// Prints it, with so many clients, each of which submits a folder.
    pub fn run(&self, context: &Context<'_>, clients: u16) -> Result<(), Failure> {
        let text = if self.env {
            environment_file().map_err(|error| Failure::work("random bytes", error))?
        } else {
            self.layout.names()?;
            if self.gateway.has_tls() {
                return Err(Failure::usage("--tls-certificate", "the containers' gateways have no files of the host"));
            }
            let options = self.options(context.application, clients)?;
            compose_file(&options).map_err(|error| Failure::usage("--listen", error))?
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
        let set = settings.into_iter().flatten().filter(|(_, value)| !value.is_empty());
        Ok(ComposeOptions {
            program: application.name().to_owned(),
            nodes,
            settings: set.map(|(name, value)| (name.to_owned(), value)).collect(),
            placement: if application.has_placement(&placement) {
                ComposePlacement::BuiltIn(placement)
            } else {
                ComposePlacement::File(placement)
            },
            listen: self.gateway.listen,
            clients,
            docker: self.docker,
        })
    }
}
