//! The pipeline as a command: `weblog up` is a cluster of it, each node of which is this program.

use std::process::ExitCode;

use coffee::cli::Application;

fn main() -> ExitCode {
    Application::new("weblog", || Ok(weblog::weblog()?.0)).about("What web servers' logs tell").main()
}
