//! Where RabbitMQ is and how to connect to it: plain data, no I/O.
//! `url` makes it of a URL, `validate` checks it.

mod validate;

use std::fmt;
use std::time::Duration;

pub use validate::ConfigError;

use crate::tls::TlsConfig;

/// The port of RabbitMQ without TLS.
pub const PLAIN_PORT: u16 = 5672;
/// The port of RabbitMQ with TLS.
pub const TLS_PORT: u16 = 5671;

/// One address of RabbitMQ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// A host name or an IP address; IPv6 without brackets.
    pub name: String,
    /// The TCP port.
    pub port: u16,
}

impl Host {
    /// An address.
    #[must_use]
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port }
    }
}

/// How a connection proves who it is. Neither name nor password is ever shown.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A name and a password.
    Plain {
        /// The name of the user.
        user: String,
        /// The password.
        password: String,
    },
    /// The certificate of [`TlsConfig::identity`](crate::tls::TlsConfig::identity).
    External,
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn plain(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Plain { user: user.into(), password: password.into() }
    }
}

impl Default for Credentials {
    /// guest and guest, whom RabbitMQ lets in from its own machine alone.
    fn default() -> Self {
        Self::plain("guest", "guest")
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain { .. } => "a name and a password",
            Self::External => "a certificate",
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain { .. } => "Plain(..)",
            Self::External => "External",
        })
    }
}

/// Where RabbitMQ is and how to connect to it. [`Debug`] shows no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RabbitConfig {
    /// Tried in turn for each new connection; at least one.
    pub hosts: Vec<Host>,
    /// The virtual host.
    pub vhost: String,
    /// Who connects.
    pub credentials: Credentials,
    /// The interval of heartbeats in whole seconds, 1 to 65,535; RabbitMQ may ask for a shorter one.
    /// After two of them in silence a connection counts as lost.
    pub heartbeat: Duration,
    /// The most that one attempt may take with one host: name, TCP, TLS and AMQP together.
    pub connect_timeout: Duration,
    /// The least pause between attempts.
    pub backoff_min: Duration,
    /// The most that the pause between attempts grows to.
    pub backoff_max: Duration,
    /// Encryption, if any.
    pub tls: Option<TlsConfig>,
    /// Tells the connections of this program from others in RabbitMQ's management.
    pub name: String,
    /// Most bytes of a frame, 8,192 or more; 0 leaves it to RabbitMQ.
    pub max_frame: u32,
}

impl Default for RabbitConfig {
    /// RabbitMQ on this machine, with its own defaults: see each field's type. Heartbeats of 10 s,
    /// attempts of 10 s, pauses of 0.1 s to 5 s.
    fn default() -> Self {
        Self {
            hosts: vec![Host::new("localhost", PLAIN_PORT)],
            vhost: "/".into(),
            credentials: Credentials::default(),
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            tls: None,
            name: "coffee-mom".into(),
            max_frame: 0,
        }
    }
}

impl RabbitConfig {
    /// The defaults with one host.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { hosts: vec![Host::new(host, port)], ..Self::default() }
    }

    /// Adds a host, to be tried after those before it.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>, port: u16) -> Self {
        self.hosts.push(Host::new(host, port));
        self
    }

    /// Sets the virtual host.
    #[must_use]
    pub fn vhost(mut self, vhost: impl Into<String>) -> Self {
        self.vhost = vhost.into();
        self
    }

    /// Sets who connects.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Sets the interval of heartbeats.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Sets the most that one attempt may take.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the bounds of the pause between attempts.
    #[must_use]
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff_min = min;
        self.backoff_max = max;
        self
    }

    /// Encrypts.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the name of the connections.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the most bytes of a frame.
    #[must_use]
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes;
        self
    }

    /// The heartbeat in the unit of the protocol.
    pub(super) fn heartbeat_secs(&self) -> u16 {
        u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let config = RabbitConfig::default().credentials(Credentials::plain("alice", "secret"));
        let shown = format!("{config:?} {config:#?} {}", config.credentials);
        assert!(!shown.contains("alice") && !shown.contains("secret"));
    }
}
