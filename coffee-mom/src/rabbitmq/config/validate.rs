//! What a config has to be like before anything connects by it.

use std::time::Duration;

use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::name::{NameError, check_short};

use super::{Credentials, RabbitConfig};
use crate::tls::TlsConfig;

/// The least that RabbitMQ 4.1 and later take as a bound of frames, in bytes.
const MIN_FRAME_BYTES: u32 = 8192;

/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

impl RabbitConfig {
    /// Checks all that can be known without connecting. Does not block.
    ///
    /// # Errors
    /// [`ConfigError`], the first that is found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check(!self.hosts.is_empty(), ConfigError::NoHost)?;
        check(self.hosts.iter().all(|host| !host.name.is_empty() && host.port != 0), ConfigError::Host)?;
        check_short(&self.vhost).map_err(ConfigError::Vhost)?;
        check_short(&self.name).map_err(ConfigError::Name)?;
        self.validate_credentials()?;
        let heartbeat = Duration::from_secs(self.heartbeat_secs().into());
        check(!heartbeat.is_zero() && heartbeat == self.heartbeat, ConfigError::Heartbeat)?;
        check(!self.connect_timeout.is_zero(), ConfigError::ConnectTimeout)?;
        let pauses = !self.backoff_min.is_zero() && self.backoff_min <= self.backoff_max;
        check(pauses && self.backoff_max <= LONGEST_PAUSE, ConfigError::Backoff)?;
        check(self.max_frame == 0 || self.max_frame >= MIN_FRAME_BYTES, ConfigError::MaxFrame)?;
        match &self.tls {
            Some(tls) => self.validate_server_names(tls),
            None => Ok(()),
        }
    }

    fn validate_credentials(&self) -> Result<(), ConfigError> {
        match &self.credentials {
            // On the wire the two are set apart by a zero byte.
            Credentials::Plain { user, password } => {
                check(!user.contains('\0') && !password.contains('\0'), ConfigError::Credentials)
            }
            Credentials::External => {
                let identity = self.tls.as_ref().and_then(|tls| tls.identity.as_ref());
                check(identity.is_some(), ConfigError::NoIdentity)
            }
        }
    }

    fn validate_server_names(&self, tls: &TlsConfig) -> Result<(), ConfigError> {
        let valid = |name: &str| ServerName::try_from(name).is_ok();
        let all_valid = match &tls.server_name {
            Some(name) => valid(name),
            None => self.hosts.iter().all(|host| valid(&host.name)),
        };
        check(all_valid, ConfigError::ServerName)
    }
}

fn check(valid: bool, otherwise: ConfigError) -> Result<(), ConfigError> {
    if valid { Ok(()) } else { Err(otherwise) }
}

/// What is wrong with a [`RabbitConfig`]. Nothing of its texts is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There has to be a host.
    #[error("no host of RabbitMQ is given")]
    NoHost,
    /// A host has no name, or the port 0.
    #[error("a host of RabbitMQ has no name, or the port 0")]
    Host,
    /// The virtual host is too long.
    #[error("the virtual host is not valid")]
    Vhost(#[source] NameError),
    /// The connections' name is too long.
    #[error("the name of the connections is not valid")]
    Name(#[source] NameError),
    /// A user's name or a password can't hold a zero byte.
    #[error("the user's name or the password holds a zero byte")]
    Credentials,
    /// External credentials are a certificate.
    #[error("external credentials need TLS with a client certificate")]
    NoIdentity,
    /// Heartbeats can't be switched off: without them a lost connection goes unnoticed.
    #[error("the heartbeat is not of 1 to 65535 whole seconds")]
    Heartbeat,
    /// An attempt needs time.
    #[error("the time of an attempt to connect is zero")]
    ConnectTimeout,
    /// The least pause has to be more than nothing, and no more than the most.
    #[error("the bounds of the back-off are zero or crossed")]
    Backoff,
    /// A bound of frames is 0 or at least 8,192 bytes.
    #[error("the bound of frames is below {MIN_FRAME_BYTES} bytes")]
    MaxFrame,
    /// No certificate can be for such a name.
    #[error("the server's name for TLS is neither a DNS name nor an IP address")]
    ServerName,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> RabbitConfig {
        RabbitConfig::default()
    }

    #[test]
    fn each_field_is_checked() {
        assert_eq!(valid().validate(), Ok(()));
        assert_eq!(RabbitConfig { hosts: vec![], ..valid() }.validate(), Err(ConfigError::NoHost));
        assert_eq!(valid().host("", 1).validate(), Err(ConfigError::Host));
        assert_eq!(valid().host("a", 0).validate(), Err(ConfigError::Host));
        assert!(matches!(valid().vhost("v".repeat(256)).validate(), Err(ConfigError::Vhost(_))));
        assert!(matches!(valid().name("n".repeat(256)).validate(), Err(ConfigError::Name(_))));
        let zero = Credentials::plain("a\0b", "c");
        assert_eq!(valid().credentials(zero).validate(), Err(ConfigError::Credentials));
        for heartbeat in [Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(65_536)] {
            assert_eq!(valid().heartbeat(heartbeat).validate(), Err(ConfigError::Heartbeat));
        }
        assert_eq!(valid().connect_timeout(Duration::ZERO).validate(), Err(ConfigError::ConnectTimeout));
        let second = Duration::from_secs(1);
        assert_eq!(valid().backoff(Duration::ZERO, second).validate(), Err(ConfigError::Backoff));
        assert_eq!(valid().backoff(2 * second, second).validate(), Err(ConfigError::Backoff));
        assert_eq!(valid().max_frame(8191).validate(), Err(ConfigError::MaxFrame));
    }

    #[test]
    fn tls_is_checked() {
        let tls = TlsConfig::default();
        assert_eq!(valid().tls(tls.clone()).validate(), Ok(()));
        assert_eq!(valid().tls(tls.clone()).host("::1", 1).validate(), Ok(()));
        assert_eq!(valid().tls(tls.clone().server_name("a b")).validate(), Err(ConfigError::ServerName));
        let external = valid().credentials(Credentials::External);
        assert_eq!(external.validate(), Err(ConfigError::NoIdentity));
        assert_eq!(external.tls(tls.identity("cert", "key")).validate(), Ok(()));
    }
}
