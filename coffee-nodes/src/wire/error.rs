//! Why a connection is of no more use.

use std::io;

use coffee_mom::tls::TlsError;

use super::VERSION;

/// A connection is of no more use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The other side closed it.
    #[error("the other side closed the connection")]
    Closed,
    /// Nothing came, or could be sent, for as long as the connection waits.
    #[error("the other side is silent")]
    Silent,
    /// It broke.
    #[error("the connection is broken: {0}")]
    Io(#[source] io::Error),
    /// It can't be encrypted, or one side does not trust the other.
    #[error("TLS failed: {0}")]
    Tls(#[from] rustls::Error),
    /// Certificates or a key can't be used.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// Not the name of a host, so no certificate can be for it.
    #[error("no certificate can be for {0:?}")]
    Name(String),
    /// The other side takes encrypted connections alone, and this one is plain.
    #[error("the other side wants TLS")]
    WantsTls,
    /// What came is not this protocol.
    #[error("the other side does not speak this protocol: {0}")]
    Protocol(&'static str),
    /// The other side speaks another version of it.
    #[error("the other side speaks version {0} of the protocol, this one {VERSION}")]
    Version(u16),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            return WireError::Tls(error.clone());
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => WireError::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => WireError::Silent,
            _ => WireError::Io(error),
        }
    }
}
