//! Runs coffee-core's nodes on threads over coffee-mom's brokers, and the coffee-shop sales analytics on that.
//! No argument parsing here.

pub mod embedded;
pub mod generate;
pub mod input;
pub mod runner;
pub mod sales;
mod scratch;
mod stop;

pub use scratch::FileScratch;
pub use stop::Stop;
