//! `coffee completions`: a shell's completion script.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{args::Cli, failure::Failure, output};

/// Prints the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coffee completions bash > ~/.local/share/bash-completion/completions/coffee")]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "coffee", &mut script);
    output::print(&script)
}
