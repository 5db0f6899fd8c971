//! The promises of the contract as named cases, to be run against any broker.
//!
//! [`CASES`] lists them. A [`Subject`] is a broker to test: it gives connections, and declares the
//! [`Feature`]s that it has besides what all brokers promise. [`conformance_suite!`](crate::conformance_suite)
//! makes one `#[test]` of each case; [`run`] runs them in a row, for a program.
//!
//! Each wait has a deadline. Cases wait for what they are told; only for what nobody tells of, like the
//! length of a queue, one helper looks again every few milliseconds. What a case declares is deleted
//! after it: so cases may share a broker and run at the same time.
//!
//! All that it takes to test a broker:
//!
//! ```
//! use std::sync::Arc;
//! use coffee_mom::conformance::{self, Failure, Features, Subject};
//! use coffee_mom::{Broker, MemoryBroker};
//!
//! struct Mine(MemoryBroker);
//!
//! impl Subject for Mine {
//!     fn connect(&self) -> Result<Arc<dyn Broker>, Failure> {
//!         Ok(Arc::new(self.0.connect()))
//!     }
//!     fn features(&self) -> Features {
//!         Features::default()
//!     }
//! }
//!
//! // In a file of tests:
//! coffee_mom::conformance_suite!(mine, Mine(MemoryBroker::new()));
//!
//! // In a program:
//! let report = conformance::run(&Mine(MemoryBroker::new()), "case_0");
//! assert_eq!((report.passed(), report.failures().count()), (9, 0), "{report}");
//! ```

mod case;
mod cases;
mod census;
mod control;
mod failure;
mod list;
mod memory;
mod rabbitmq;
mod runner;
mod steps;
mod subject;
mod suite;

pub use case::{CASES, Case};
pub use control::{Connect, Control, Wishes};
pub use failure::Failure;
pub use memory::MemorySubject;
#[cfg(unix)]
pub use rabbitmq::RabbitSubject;
pub use runner::{Report, run, run_case};
pub use subject::{Feature, Features, Subject};
