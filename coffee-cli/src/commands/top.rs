//! `top`: how a cluster is.

use std::{
    env,
    io::{self, IsTerminal},
    time::Duration,
};

use clap::{Args, builder::BoolishValueParser};
use coffee_nodes::{
    Stop,
    chaos::random_seed,
    client::{Client, ClientOptions},
    statistics::Overview,
};

use crate::{
    commands::jobs::GatewaysArgs,
    duration,
    failure::Failure,
    output, signals,
    top::{self, Chaos, View},
};

/// The rates are those of a span, so it is looked twice.
const SPAN: Duration = Duration::from_secs(1);

/// How long the screen waits for a gateway, before it says that there is none and tries again.
const WAIT: Duration = Duration::from_secs(3);

/// Shows a cluster's nodes, queues, jobs and last errors
///
/// What is shown is what the nodes say of themselves once a second. Keys kill, stop, cut off or restart a node, cancel a job, and kill
/// nodes at random; `?` tells which. Without a terminal it prints it once.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} top --gateway 127.0.0.1:9000\n  {program} top --once")]
pub struct TopArgs {
    #[command(flatten)]
    gateways: GatewaysArgs,
    /// Prints it once, as plain text
    #[arg(long, env = "COFFEE_ONCE", value_parser = BoolishValueParser::new())]
    once: bool,
    /// Shows no colours; as NO_COLOR does
    #[arg(long, env = "COFFEE_NO_COLOR", value_parser = BoolishValueParser::new())]
    no_color: bool,
    /// How long it is until chaos kills a node, and then the next
    #[arg(long, env = "COFFEE_EVERY", value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    every: Duration,
    /// The same seed kills the same nodes, where there are the same [default: a random one]
    #[arg(long, env = "COFFEE_SEED", value_name = "S")]
    seed: Option<u64>,
}

pub fn run(args: &TopArgs) -> Result<(), Failure> {
    let (options, stop) = (args.gateways.options()?, signals::stop_on_interrupt()?);
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return output::print(top::text(&look(&Client::new(options), &stop)?).as_bytes());
    }
    let client = Client::new(ClientOptions { first: WAIT, limit: WAIT, patience: WAIT, ..options });
    let no_color = args.no_color || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let chaos = Chaos::new(args.every, args.seed.unwrap_or_else(random_seed));
    top::show(&client, View::new(chaos), !no_color, &stop)
}

fn look(client: &Client, stop: &Stop) -> Result<Overview, Failure> {
    client.overview(stop)?;
    stop.wait(SPAN);
    Ok(client.overview(stop)?)
}
