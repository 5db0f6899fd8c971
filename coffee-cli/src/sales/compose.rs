//! `coffee compose`: with containers that submit a folder, for demonstrations.

use clap::Args;

use crate::{command_line::Context, commands::compose, failure::Failure};

// What its help says is that of `compose` in any application. clap has a group by the name of each type: it is another one.
#[derive(Debug, Args)]
pub struct ShopComposeArgs {
    #[command(flatten)]
    cluster: compose::ComposeArgs,
    /// How many clients there are, which the profile `clients` starts
    #[arg(long, env = "COFFEE_CLIENTS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(..=256))]
    clients: u16,
}

impl ShopComposeArgs {
    /// Prints it.
    pub fn run(&self, context: &Context<'_>) -> Result<(), Failure> {
        self.cluster.run(context, self.clients)
    }
}
