//! Runs coffee-core's nodes on threads over coffee-mom's brokers, and the coffee-shop sales analytics on that.
//! No argument parsing here.

pub mod access;
mod aside;
mod bounded;
pub mod chaos;
mod chunk;
pub mod client;
pub mod cluster;
pub mod compose;
mod docker;
pub mod embedded;
pub mod feed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod generate;
mod hold;
pub mod input;
pub mod job;
mod knock;
pub mod local;
pub mod metrics;
pub mod monitor;
pub mod orders;
mod pulse;
pub mod query;
pub mod results;
pub mod runner;
pub mod sales;
mod scratch;
mod seldom;
pub mod simulation;
pub mod statistics;
mod stop;
pub mod store;
pub mod testkit;
mod threads;
mod trail;
mod unique;
pub mod up;
pub mod wire;
pub mod worker;

pub use aside::AsideFile;
pub use hold::RetryPause;
pub use pulse::{Pulse, Pulses};
pub use scratch::FileScratch;
pub use stop::Stop;
