//! A config out of a URL, by RabbitMQ's URI specification and the names of its query parameters:
//! `amqp://user:password@host:port,host:port/vhost?heartbeat=10&name=orders`.
//!
//! Stricter than most: what is not understood is refused. No error holds any part of the URL, for
//! a password that is not encoded well could be anywhere in it.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::tls::{Identity, TlsConfig};

use super::config::{ConfigError, Credentials, Host, PLAIN_PORT, RabbitConfig, TLS_PORT};

impl RabbitConfig {
    /// The config that a URL describes; what it leaves out is as in the default. Does not block.
    ///
    /// - Several hosts are set apart by commas. The port is 5672, or 5671 with `amqps`, if left out.
    /// - Without a slash after the hosts the virtual host is `/`; with nothing after the slash it is
    ///   the empty one, `amqp://host/%2f` is `/` again.
    /// - `heartbeat` (seconds), `connection_timeout` (milliseconds), `frame_max` (bytes), `name`,
    ///   `auth_mechanism` (`plain` or `external`); and with `amqps` `cacertfile` (several are
    ///   allowed), `certfile` and `keyfile`, `server_name_indication`, `verify` (`verify_peer`).
    ///
    /// # Errors
    /// [`UrlError`]; it never holds a part of the URL.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let encrypted = match scheme {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(UrlError::Scheme),
        };
        // A # can't be part of anything below, so it is refused with the part that it is in.
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) => (authority, Some(vhost)),
            None => (rest, None),
        };
        let (userinfo, hosts) = match authority.split_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        let hosts = parse_hosts(hosts, if encrypted { TLS_PORT } else { PLAIN_PORT })?;
        let tls = encrypted.then(TlsConfig::default);
        let mut config = Self { hosts, tls, ..Self::default() };
        if let Some(userinfo) = userinfo {
            config.credentials = parse_userinfo(userinfo)?;
        }
        if let Some(vhost) = vhost {
            config.vhost = decode(vhost, b"").ok_or(UrlError::Vhost)?;
        }
        Query::default().read(query, &mut config)?;
        config.validate()?;
        Ok(config)
    }
}

fn parse_userinfo(text: &str) -> Result<Credentials, UrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, "guest"));
    let user = decode(user, b"").ok_or(UrlError::Credentials)?;
    let password = decode(password, b"").ok_or(UrlError::Credentials)?;
    Ok(Credentials::Plain { user, password })
}

fn parse_hosts(text: &str, default_port: u16) -> Result<Vec<Host>, UrlError> {
    text.split(',').map(|host| parse_host(host, default_port).ok_or(UrlError::Host)).collect()
}

fn parse_host(text: &str, default_port: u16) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name.to_owned(), port)
        }
        None => {
            let colon = text.find(':').unwrap_or(text.len());
            let (name, port) = text.split_at(colon);
            (decode(name, b"")?, port)
        }
    };
    let port = match port {
        "" => default_port,
        port => decimal(port.strip_prefix(':')?)?,
    };
    let name = if name.is_empty() { "localhost".into() } else { name };
    Some(Host { name, port })
}

/// What can't be put into the config before all parameters are known.
#[derive(Default)]
struct Query {
    seen: Vec<&'static str>,
    certificates: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Query {
    fn read(mut self, text: &str, config: &mut RabbitConfig) -> Result<(), UrlError> {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = PARAMETERS.iter().find(|known| **known == name).ok_or(UrlError::UnknownParameter)?;
            if self.seen.contains(name) && *name != "cacertfile" {
                return Err(UrlError::Parameter(name));
            }
            self.seen.push(name);
            let value = decode(value, b"/?@").ok_or(UrlError::Parameter(name))?;
            self.set(name, value, config).ok_or(UrlError::Parameter(name))?;
        }
        match (self.certificates, self.key, &mut config.tls) {
            (None, None, _) => Ok(()),
            (Some(certificates), Some(key), Some(tls)) => {
                tls.identity = Some(Identity { certificates, key });
                Ok(())
            }
            _ => Err(UrlError::Identity),
        }
    }

    fn set(&mut self, name: &str, value: String, config: &mut RabbitConfig) -> Option<()> {
        match name {
            "heartbeat" => config.heartbeat = Duration::from_secs(decimal::<u16>(&value)?.into()),
            "connection_timeout" => config.connect_timeout = Duration::from_millis(decimal::<u32>(&value)?.into()),
            "frame_max" => config.max_frame = decimal(&value)?,
            "name" => config.name = value,
            "auth_mechanism" if value == "external" => config.credentials = Credentials::External,
            "auth_mechanism" => (value == "plain").then_some(())?,
            _ => self.set_tls(name, value, config.tls.as_mut()?)?,
        }
        Some(())
    }

    fn set_tls(&mut self, name: &str, value: String, tls: &mut TlsConfig) -> Option<()> {
        if value.is_empty() {
            return None;
        }
        match name {
            "cacertfile" => tls.authorities.push(value.into()),
            "certfile" => self.certificates = Some(value.into()),
            "keyfile" => self.key = Some(value.into()),
            "server_name_indication" => tls.server_name = Some(value),
            // The certificate of the server is verified always; asking for less is an error.
            "verify" => (value == "verify_peer").then_some(())?,
            _ => return None,
        }
        Some(())
    }
}

/// The query parameters that are known; those from `cacertfile` on are for `amqps`.
const PARAMETERS: [&str; 10] = [
    "heartbeat",
    "connection_timeout",
    "frame_max",
    "name",
    "auth_mechanism",
    "cacertfile",
    "certfile",
    "keyfile",
    "server_name_indication",
    "verify",
];

/// Digits only: no sign, no spaces.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Undoes percent-encoding. None if it is broken, if the bytes are no UTF-8, or if there is a
/// character that has to be encoded and is none of `plain`.
fn decode(text: &str, plain: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(hex(rest.next()?)? << 4 | hex(rest.next()?)?),
            _ if plain.contains(&byte) => bytes.push(byte),
            b'/' | b'?' | b'#' | b'[' | b']' | b'@' | 0..=b' ' | 0x7f => return None,
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Why a URL is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `amqp://` or `amqps://`.
    #[error("the URL does not begin with amqp:// or amqps://")]
    Scheme,
    /// The name or the password is not percent-encoded well.
    #[error("the name or the password in the URL is not percent-encoded well")]
    Credentials,
    /// A host or a port is not valid.
    #[error("a host or a port in the URL is not valid")]
    Host,
    /// The virtual host is not percent-encoded well; a slash in it is `%2f`.
    #[error("the virtual host in the URL is not percent-encoded well (a slash in it is %2f)")]
    Vhost,
    /// A query parameter is none of those that are known.
    #[error("a query parameter of the URL is none of: {}", PARAMETERS.join(", "))]
    UnknownParameter,
    /// The value of this query parameter is not valid, or it is given twice, or it is for `amqps`.
    #[error("the query parameter {0} of the URL is not valid there")]
    Parameter(&'static str),
    /// `certfile` and `keyfile` need each other.
    #[error("the query parameters certfile and keyfile go together")]
    Identity,
    /// The config that the URL describes is not valid.
    #[error("what the URL describes is not valid")]
    Config(#[from] ConfigError),
}

#[cfg(test)]
mod tests;
