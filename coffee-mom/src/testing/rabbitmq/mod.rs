//! A real RabbitMQ for tests: one that all test processes of this machine share, or one of a test's own.
//!
//! The broker's Erlang machine runs without epmd and without a distribution port. A small program in
//! it listens on a Unix socket, answers control calls, and halts the machine once nobody holds a
//! connection to it any more: so it ends also when its users were killed. Unix only.
//!
//! ```no_run
//! use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions, TestBroker};
//!
//! let shared = TestBroker::shared()?; // a virtual host of this process, on a broker of many
//! let url = shared.url();
//!
//! let mut own = OwnBroker::start(OwnOptions::default())?; // to be choked and killed
//! own.alarm(true)?;
//! own.kill();
//! own.restart()?;
//! # Ok::<(), coffee_mom::testing::rabbitmq::TestBrokerError>(())
//! ```
//!
//! RabbitMQ is taken from the folder in `COFFEE_RABBITMQ_BIN`, or from where packages put it (Debian:
//! `apt-get install rabbitmq-server`). Another version runs well in a container; the shared broker
//! is then the one of a URL, and tests see each other's queues:
//!
//! ```sh
//! docker run --rm -d -p 5672:5672 rabbitmq:4-management
//! COFFEE_TEST_AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2f cargo test
//! ```
//!
//! Further variables: `COFFEE_TEST_BROKER_DIR`, the folder of all brokers and locks (by default one of
//! the user's in the system's temporary folder), and `COFFEE_TEST_BROKER_LINGER`, the seconds that the
//! shared broker stays after its last user (20).

#![cfg(unix)]

mod control;
mod error;
mod home;
mod install;
mod options;
mod own;
mod poll;
mod process;
mod shared;

pub use error::TestBrokerError;
pub use options::{OwnOptions, TlsFiles};
pub use own::OwnBroker;
pub use shared::{SharedBroker, TestBroker};
