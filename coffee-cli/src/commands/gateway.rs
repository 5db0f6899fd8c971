//! `gateway`: where clients come in.

use std::{net::SocketAddr, num::NonZeroUsize, thread};

use clap::Args;
use coffee_nodes::{
    cluster::{ClusterNode, GRACE},
    gateway::{Gateway, GatewayOptions},
};
use log::warn;

use crate::{
    access_args::GatewayAccessArgs,
    command_line::Context,
    failure::Failure,
    serve::{LOOK_AROUND, ServeArgs, serve},
    tls_args::GatewayTlsArgs,
};

/// Runs a gateway: clients connect to it, to send data and take results
///
/// There may be any number of them. It works until SIGTERM or SIGINT, and then stops in order.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} gateway --listen 0.0.0.0:9000")]
pub struct GatewayArgs {
    /// Which of the gateways it is, counted from 0: its name in reports
    #[arg(long, env = "COFFEE_INDEX", value_name = "N", default_value_t = 0)]
    index: u16,
    #[command(flatten)]
    flags: GatewayFlags,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What only gateways are told.
#[derive(Clone, Debug, Args)]
pub struct GatewayFlags {
    /// Where clients connect; port 0 for any that is free
    #[arg(long, env = "COFFEE_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// How many clients may be connected to one gateway
    #[arg(long, env = "COFFEE_CONNECTIONS", value_name = "N", default_value_t = 256)]
    connections: u16,
    /// How many threads of one gateway work on what clients send [default: the processors]
    #[arg(long, env = "COFFEE_ENTRIES", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    entries: Option<u16>,
    #[command(flatten)]
    access: GatewayAccessArgs,
    #[command(flatten)]
    tls: GatewayTlsArgs,
}

impl GatewayFlags {
    fn options(&self) -> Result<GatewayOptions, Failure> {
        let all = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let mut options = GatewayOptions::new(self.listen);
        options.max_connections = self.connections.into();
        options.tls = self.tls.config();
        self.access.set(&mut options)?;
        if options.tokens.is_some() && options.tls.is_none() && !self.listen.ip().is_loopback() {
            warn!("tokens come without TLS: clients send theirs from this machine only");
        }
        if options.tokens.is_none() && !self.listen.ip().is_loopback() {
            warn!("there are no tokens (--tokens): whoever reaches {} is let in", self.listen);
        }
        options.threads = self.entries.and_then(|threads| NonZeroUsize::new(threads.into())).unwrap_or(all);
        Ok(options)
    }

    /// Finds out early whether the files that gateways read at their start are good.
    pub fn check(&self) -> Result<(), Failure> {
        self.access.tokens().map(drop)
    }

    /// The same for another process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("COFFEE_LISTEN", self.listen.to_string())];
        pairs.extend(self.limits());
        pairs.extend(self.files());
        pairs
    }

    /// The files that they are told of.
    pub fn files(&self) -> Vec<(&'static str, String)> {
        self.tls.files().chain(self.access.file()).collect()
    }

    /// The rest, for another process that listens elsewhere.
    pub fn limits(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("COFFEE_CONNECTIONS", self.connections.to_string())];
        pairs.extend(self.entries.map(|entries| ("COFFEE_ENTRIES", entries.to_string())));
        pairs.extend(self.access.limits());
        pairs
    }
}

pub fn run(args: &GatewayArgs, context: &Context<'_>) -> Result<(), Failure> {
    let node = ClusterNode::Gateway { index: args.index };
    let mut options = args.flags.options()?;
    serve(&args.serve, context.application, &node, "gateway", |server| {
        options.state = Some(args.serve.cluster.state.clone());
        options.name = node.name();
        options.pulses = server.pulses.clone();
        options.statistics = server.statistics.clone();
        options.monitors = server.monitors.clone();
        let gateway = Gateway::start(server.broker.clone(), server.names.clone(), server.topology.clone(), options)?;
        server.ready(&format!("gateway={}", gateway.address()));
        while !server.stop.wait(LOOK_AROUND) {
            if gateway.is_lost() {
                return Err("its queues at the broker are gone, or one of its threads has ended".into());
            }
        }
        if let Err(error) = gateway.stop(server.stop.deadline(GRACE)) {
            warn!("{error}"); // clients send again what was not acked
        }
        Ok(())
    })
}
