//! The `coffee` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    coffee_cli::sales::main()
}
