//! TLS by rustls: who is trusted and what is shown, as PEM files; for RabbitMQ, and for whatever else a program connects.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// The certificate that one side shows, as PEM files; they are read for each new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by those that lead up to its authority.
    pub certificates: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

impl Identity {
    /// The certificates of one file, with the key of another.
    #[must_use]
    pub fn new(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificates: certificates.into(), key: key.into() }
    }

    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates(&self.certificates)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unread(&self.key, &error))?;
        Ok((chain, key))
    }
}

/// How a client encrypts. The server's certificate is always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// PEM files of the authorities to trust, read for each new connection; empty: the system's.
    pub authorities: Vec<PathBuf>,
    /// The certificate to show, if any.
    pub identity: Option<Identity>,
    /// The name that the server's certificate has to be for; none: the host's.
    pub server_name: Option<String>,
}

impl TlsConfig {
    /// Trusts the authorities of a PEM file, and no longer those of the system.
    #[must_use]
    pub fn authority(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities.push(file.into());
        self
    }

    /// Shows a certificate.
    #[must_use]
    pub fn identity(mut self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some(Identity::new(certificates, key));
        self
    }

    /// Sets the name that the server's certificate has to be for.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// What rustls makes connections of. Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?
            .with_root_certificates(self.roots()?);
        Ok(Arc::new(match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|_| unfit(&identity.key))?
            }
        }))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        if !self.authorities.is_empty() {
            return authorities(&self.authorities);
        }
        let mut roots = RootCertStore::empty();
        // Some systems have a broken certificate among many good ones.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TlsError::Roots) } else { Ok(roots) }
    }
}

/// How a server encrypts, and whom it lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsServerConfig {
    /// The certificate to show.
    pub identity: Identity,
    /// PEM files of the authorities by one of which each client's certificate has to be signed; empty: clients need none.
    pub client_authorities: Vec<PathBuf>,
}

impl TlsServerConfig {
    /// Shows a certificate, and asks clients for none.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, client_authorities: Vec::new() }
    }

    /// Lets in who shows a certificate that an authority of this PEM file has signed.
    #[must_use]
    pub fn client_authority(mut self, file: impl Into<PathBuf>) -> Self {
        self.client_authorities.push(file.into());
        self
    }

    /// What rustls makes connections of. Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?;
        let builder = if self.client_authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            let roots = Arc::new(authorities(&self.client_authorities)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|_| TlsError::Roots)?)
        };
        let (chain, key) = self.identity.read()?;
        let mut config = builder.with_single_cert(chain, key).map_err(|_| unfit(&self.identity.key))?;
        // Connections are few and last: none is resumed, so nothing is kept for that.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of certificates or of a key can't be read, or has none that fits.
    #[error("{path} could not be used for TLS: {fault}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        fault: FileFault,
    },
    /// There are no authorities to trust.
    #[error("the certificate authorities could not be read")]
    Roots,
    /// rustls does not do it.
    #[error("TLS can't be set up")]
    Refused(#[source] rustls::Error),
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The system does not let it be read.
    #[error("{0}")]
    Unreadable(io::ErrorKind),
    /// It is not PEM, or has nothing of what is looked for.
    #[error("it has no such thing in PEM")]
    Nothing,
    /// rustls can do nothing with what it has, or a key is not the certificate's.
    #[error("what it has does not fit")]
    Unfit,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn authorities(files: &[PathBuf]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|_| unfit(file))?;
        }
    }
    Ok(roots)
}

/// All certificates of a file; one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unread(file, &error))?;
    if certificates.is_empty() { Err(faulty(file, FileFault::Nothing)) } else { Ok(certificates) }
}

fn unread(file: &Path, error: &pem::Error) -> TlsError {
    let fault = match error {
        pem::Error::Io(error) => FileFault::Unreadable(error.kind()),
        _ => FileFault::Nothing,
    };
    faulty(file, fault)
}

fn unfit(file: &Path) -> TlsError {
    faulty(file, FileFault::Unfit)
}

fn faulty(file: &Path, fault: FileFault) -> TlsError {
    TlsError::File { path: file.to_owned(), fault }
}
