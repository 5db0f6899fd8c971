//! `completions`: a shell's completion script.

use clap::Args;
use clap_complete::Shell;

use crate::{command_line::Context, failure::Failure, output};

/// Prints the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} completions bash > ~/.local/share/bash-completion/completions/{program}")]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub fn run(args: &CompletionsArgs, context: &Context<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut context.command.clone(), context.application.name(), &mut script);
    output::print(&script)
}
