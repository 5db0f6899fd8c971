//! The flags of TLS between clients and gateways.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};
use coffee_mom::tls::{Identity, TlsConfig, TlsServerConfig};

/// What a gateway shows, and whom it lets in.
#[derive(Clone, Debug, Args)]
pub struct GatewayTlsArgs {
    /// Takes encrypted connections alone: the PEM file with its certificate, and those that lead up to its authority
    #[arg(long, env = "COFFEE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The PEM file with the certificate's key
    #[arg(long, env = "COFFEE_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Lets only clients in whose certificate an authority in this PEM file has signed
    #[arg(long, env = "COFFEE_TLS_CLIENT_AUTHORITY", value_name = "FILE", requires = "tls_certificate")]
    tls_client_authority: Option<PathBuf>,
}

impl GatewayTlsArgs {
    /// None: connections are plain.
    pub fn config(&self) -> Option<TlsServerConfig> {
        let (certificate, key) = self.tls_certificate.as_ref().zip(self.tls_key.as_ref())?;
        let config = TlsServerConfig::new(Identity::new(certificate, key));
        Some(match &self.tls_client_authority {
            Some(file) => config.client_authority(file),
            None => config,
        })
    }

    /// The same for another process: all of it are files.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, String)> {
        given([
            ("COFFEE_TLS_CERTIFICATE", &self.tls_certificate),
            ("COFFEE_TLS_KEY", &self.tls_key),
            ("COFFEE_TLS_CLIENT_AUTHORITY", &self.tls_client_authority),
        ])
    }
}

fn given<const N: usize>(files: [(&'static str, &Option<PathBuf>); N]) -> impl Iterator<Item = (&'static str, String)> {
    files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?.display().to_string())))
}

/// Whom a client trusts, and what it shows.
#[derive(Clone, Debug, Args)]
pub struct ClientTlsArgs {
    /// Encrypts the connection, as each of the following flags does; trusts the system's authorities, unless one is named
    #[arg(long, env = "COFFEE_TLS", value_parser = BoolishValueParser::new())]
    tls: bool,
    /// Trusts the authorities in this PEM file alone
    #[arg(long, env = "COFFEE_TLS_AUTHORITY", value_name = "FILE")]
    tls_authority: Option<PathBuf>,
    /// The name that the gateways' certificates are for, where it is not the host's
    #[arg(long, env = "COFFEE_TLS_NAME", value_name = "NAME")]
    tls_name: Option<String>,
    /// The PEM file with the client's own certificate, where gateways ask for one
    #[arg(long, env = "COFFEE_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// The PEM file with its key
    #[arg(long, env = "COFFEE_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl ClientTlsArgs {
    /// None: connections are plain.
    pub fn config(&self) -> Option<TlsConfig> {
        let mut config = TlsConfig::default();
        config.authorities.extend(self.tls_authority.clone());
        config.server_name.clone_from(&self.tls_name);
        config.identity =
            self.client_certificate.as_ref().zip(self.client_key.as_ref()).map(|(file, key)| Identity::new(file, key));
        // A flag that is about TLS must not be passed over where the connection is plain.
        (self.tls || config != TlsConfig::default()).then_some(config)
    }

    /// The file with the authorities, for another process that only trusts them.
    pub fn authority(&self) -> impl Iterator<Item = (&'static str, String)> {
        given([("COFFEE_TLS_AUTHORITY", &self.tls_authority)])
    }

    /// The files among it, for another process.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, String)> {
        given([
            ("COFFEE_TLS_AUTHORITY", &self.tls_authority),
            ("COFFEE_CLIENT_CERTIFICATE", &self.client_certificate),
            ("COFFEE_CLIENT_KEY", &self.client_key),
        ])
    }

    /// The rest, for another process.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
        let on = self.tls.then(|| ("COFFEE_TLS", true.to_string()));
        on.into_iter().chain(self.tls_name.iter().map(|name| ("COFFEE_TLS_NAME", name.clone())))
    }
}
