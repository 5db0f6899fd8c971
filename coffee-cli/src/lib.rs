//! Makes a command out of any pipeline: its cluster on this machine, or a process a node over RabbitMQ, by name.
//!
//! [`Application`] is all there is to it; its documentation has a whole program. The command `coffee` is one too, with the
//! plan of the coffee shops' queries and some commands of its own: [`sales`].
//!
//! Every flag of a command is an environment variable as well, `COFFEE_` and its name, whatever the application is called.

mod access_args;
mod application;
mod cluster;
mod command_line;
mod commands;
mod config;
mod duration;
mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod help;
mod metrics_args;
mod monitors;
mod output;
pub mod sales;
mod serve;
mod signals;
mod size;
mod store;
mod tls_args;
mod top;

pub use application::Application;
