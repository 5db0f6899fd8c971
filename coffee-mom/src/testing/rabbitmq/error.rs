//! What can go wrong with a broker for tests.

use std::io;
use std::process::ExitStatus;

use thiserror::Error;

/// Why a broker for tests could not be had, or did not do as told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestBrokerError {
    /// There is no RabbitMQ on this machine.
    #[error(
        "no rabbitmq-server was found: install it (Debian: apt-get install rabbitmq-server), \
         or set COFFEE_RABBITMQ_BIN to the folder that has it"
    )]
    NotInstalled,
    /// Files, sockets or processes could not be used. A broker that was being started is gone again.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No port was free for a broker.
    #[error("none of the ports for test brokers is free")]
    NoPort,
    /// RabbitMQ ended while it was starting.
    #[error("RabbitMQ ended with {status} while it was starting; its log ends with:\n{log}")]
    Exited {
        /// How its process ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The broker is not running, or ended before it answered: what was asked for may have been done.
    #[error("the broker is not running")]
    Gone,
    /// Something took too long. A control call may still take effect.
    #[error("waited too long for {waiting_for}")]
    Deadline {
        /// What was waited for.
        waiting_for: &'static str,
    },
    /// The broker answered a control call with an exception.
    #[error("the broker failed at a control call: {reason}")]
    Failed {
        /// The class and the reason of the exception, as Erlang writes terms.
        reason: String,
    },
    /// The broker was given by a URL: it can't be controlled from here.
    #[error("a broker given by URL can't be controlled")]
    NotOurs,
}

impl TestBrokerError {
    /// Wraps an I/O error with what was tried; to be used in `map_err`.
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
