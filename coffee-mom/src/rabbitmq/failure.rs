//! Why a link could not be opened, was lost, or did not do what it was asked: amiquip's errors in
//! the terms that decide what to do next.
//!
//! Texts of the broker are kept; they name users, virtual hosts and queues, never passwords.

use std::fmt;
use std::io;

use rustls::AlertDescription as Alert;
use thiserror::Error;

use crate::tls::TlsError;

/// What went wrong. After those about the connection the link is of no more use; after
/// [`ChannelClosed`](Self::ChannelClosed) it is, the channel is not.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum Failure {
    /// The deadline has passed. What was asked for may or may not have been done.
    #[error("there was no answer by the deadline")]
    Deadline,
    #[error("the host's name could not be resolved")]
    UnknownHost,
    /// No TCP connection.
    #[error("the host could not be reached: {0}")]
    Unreachable(io::ErrorKind),
    #[error(transparent)]
    TlsConfig(#[from] TlsError),
    #[error("TLS failed")]
    Tls(#[source] rustls::Error),
    /// RabbitMQ drops the connection for a wrong name or password, so a connection that is lost at
    /// that point by chance looks the same.
    #[error("the credentials were not accepted, or the connection was lost as they were checked")]
    Credentials,
    /// This side has closed it.
    #[error("the connection is closed")]
    Closed,
    #[error("the connection was lost: {0}")]
    Lost(Loss),
    #[error("the broker closed the connection: {code} {text}")]
    ConnectionClosed { code: ReplyCode, text: String },
    #[error("the broker closed the channel: {code} {text}")]
    ChannelClosed { code: ReplyCode, text: String },
    /// As many channels are open as the broker allows.
    #[error("the connection has no channel left")]
    NoChannel,
    /// The broker offers no way to log in with such credentials.
    #[error("the broker does not offer the way to log in")]
    NoMechanism,
    #[error("the broker did not keep to the protocol: {0}")]
    Protocol(String),
    /// The system gave no thread or no polling handle.
    #[error("the system has no resources for a connection: {0}")]
    System(io::ErrorKind),
}

/// How a connection was lost without a word of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Loss {
    #[error("the socket was closed")]
    Socket,
    #[error("the socket failed ({0})")]
    Io(io::ErrorKind),
    #[error("the broker has been silent for two heartbeats")]
    Heartbeats,
    /// The I/O thread, or the channel, has ended before; the link's close tells why.
    #[error("it had ended before")]
    Earlier,
    #[error("the I/O thread panicked")]
    Panic,
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It passes by itself: again and again, with back-off.
    Yes,
    /// It may pass: a few times, then it is final.
    AFewTimes,
    /// The same would happen again.
    No,
}

impl Failure {
    /// Whether the same may work later: a new link after one about the connection, the same call on
    /// a new channel after [`ChannelClosed`](Self::ChannelClosed).
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Deadline | Self::UnknownHost | Self::Unreachable(_) | Self::Lost(_) | Self::System(_) => Retry::Yes,
            Self::Tls(error) if is_refusal(error) => Retry::No,
            Self::TlsConfig(_) | Self::Closed | Self::NoMechanism => Retry::No,
            Self::Tls(_) | Self::Credentials | Self::NoChannel | Self::Protocol(_) => Retry::AFewTimes,
            Self::ConnectionClosed { code, .. } | Self::ChannelClosed { code, .. } => code.retry(),
        }
    }

    /// Whether a socket killed at the deadline may show as this.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Credentials | Self::Tls(_))
    }

    /// A failure of a socket that is not amiquip's yet; its timeouts are set by the deadline.
    pub(super) fn connecting(error: &io::Error) -> Self {
        match (tls_error(error), error.kind()) {
            (Some(error), _) => Self::Tls(error.clone()),
            (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Self::Deadline,
            (None, kind) => Self::Unreachable(kind),
        }
    }
}

impl From<amiquip::Error> for Failure {
    fn from(error: amiquip::Error) -> Self {
        use amiquip::Error as E;
        match error {
            E::ServerClosedConnection { code, message } => {
                Self::ConnectionClosed { code: ReplyCode(code), text: message }
            }
            E::ServerClosedChannel { code, message, .. } => {
                Self::ChannelClosed { code: ReplyCode(code), text: message }
            }
            E::IoErrorReadingSocket { source } | E::IoErrorWritingSocket { source } => match tls_error(&source) {
                Some(error) => Self::Tls(error.clone()),
                None if source.kind() == io::ErrorKind::InvalidData => Self::Protocol(source.to_string()),
                None => Self::Lost(Loss::Io(source.kind())),
            },
            E::UnexpectedSocketClose => Self::Lost(Loss::Socket),
            E::MissedServerHeartbeats => Self::Lost(Loss::Heartbeats),
            E::EventLoopDropped | E::EventLoopClientDropped => Self::Lost(Loss::Earlier),
            E::IoThreadPanic => Self::Lost(Loss::Panic),
            E::InvalidCredentials => Self::Credentials,
            E::ClientClosedConnection | E::ClientClosedChannel => Self::Closed,
            E::ConnectionTimeout => Self::Deadline,
            E::ExhaustedChannelIds | E::UnavailableChannelId { .. } => Self::NoChannel,
            E::UnsupportedAuthMechanism { .. } | E::SaslSecureNotSupported => Self::NoMechanism,
            E::CreatePollHandle { source }
            | E::RegisterWithPollHandle { source }
            | E::DeregisterWithPollHandle { source }
            | E::FailedToPoll { source }
            | E::ForkFailed { source } => Self::System(source.kind()),
            E::MalformedFrame
            | E::FrameUnexpected
            | E::ClientException
            | E::ReceivedFrameWithBogusChannelId { .. }
            | E::DuplicateConsumerTag { .. }
            | E::UnknownConsumerTag { .. }
            | E::UnsupportedLocale { .. }
            | E::FrameMaxTooSmall { .. } => Self::Protocol(error.to_string()),
            // All others are about URLs, which amiquip is never given; their texts would hold them.
            _ => Self::Protocol("unknown error".into()),
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether one side does not accept the other's certificate, or its way to encrypt.
fn is_refusal(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::CertificateRequired
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::HandshakeFailure
                | Alert::ProtocolVersion
        ),
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::PeerIncompatible(_) => true,
        _ => false,
    }
}

/// The number that the broker gives with the reason for closing a connection or a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyCode(pub(crate) u16);

impl ReplyCode {
    pub(crate) const CONTENT_TOO_LARGE: Self = Self(311);
    /// The broker stops, or an operator closed the connection.
    pub(crate) const CONNECTION_FORCED: Self = Self(320);
    pub(crate) const ACCESS_REFUSED: Self = Self(403);
    pub(crate) const NOT_FOUND: Self = Self(404);
    /// Another connection has it exclusively; the broker may not know yet that it has gone.
    pub(crate) const RESOURCE_LOCKED: Self = Self(405);
    pub(crate) const PRECONDITION_FAILED: Self = Self(406);
    /// The connection is in a state that the broker did not expect, as after a race of two closes.
    pub(crate) const CHANNEL_ERROR: Self = Self(504);
    pub(crate) const UNEXPECTED_FRAME: Self = Self(505);
    pub(crate) const RESOURCE_ERROR: Self = Self(506);
    /// The virtual host is unknown or full.
    pub(crate) const NOT_ALLOWED: Self = Self(530);
    pub(crate) const INTERNAL_ERROR: Self = Self(541);

    pub(super) fn retry(self) -> Retry {
        match self {
            Self::CONNECTION_FORCED | Self::INTERNAL_ERROR | Self::RESOURCE_ERROR => Retry::Yes,
            Self::RESOURCE_LOCKED | Self::CHANNEL_ERROR | Self::UNEXPECTED_FRAME => Retry::AFewTimes,
            _ => Retry::No,
        }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection_closed(code: ReplyCode) -> Failure {
        amiquip::Error::ServerClosedConnection { code: code.0, message: "why".into() }.into()
    }

    #[test]
    fn codes_decide_about_trying_again() {
        assert_eq!(connection_closed(ReplyCode::CONNECTION_FORCED).retry(), Retry::Yes);
        assert_eq!(connection_closed(ReplyCode::INTERNAL_ERROR).retry(), Retry::Yes);
        for code in [ReplyCode::ACCESS_REFUSED, ReplyCode::NOT_ALLOWED, ReplyCode(540), ReplyCode(1)] {
            assert_eq!(connection_closed(code).retry(), Retry::No);
        }
        let closed = amiquip::Error::ServerClosedChannel { channel_id: 1, code: 405, message: "locked".into() };
        let closed = Failure::from(closed);
        assert_eq!(closed.retry(), Retry::AFewTimes);
        assert_eq!(closed.to_string(), "the broker closed the channel: 405 locked");
    }

    #[test]
    fn losses_pass_and_credentials_may() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let lost = Failure::from(amiquip::Error::IoErrorReadingSocket { source: reset() });
        assert_eq!(lost, Failure::Lost(Loss::Io(io::ErrorKind::ConnectionReset)));
        assert_eq!(lost.retry(), Retry::Yes);
        assert_eq!(Failure::from(amiquip::Error::InvalidCredentials).retry(), Retry::AFewTimes);
        assert_eq!(Failure::connecting(&reset()).retry(), Retry::Yes);
        assert_eq!(Failure::connecting(&io::ErrorKind::TimedOut.into()), Failure::Deadline);
    }

    #[test]
    fn refused_certificates_are_told_from_other_tls_failures() {
        let tls = |error: rustls::Error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            Failure::from(amiquip::Error::IoErrorReadingSocket { source }).retry()
        };
        assert_eq!(tls(rustls::Error::AlertReceived(Alert::CertificateRequired)), Retry::No);
        assert_eq!(tls(rustls::Error::AlertReceived(Alert::InternalError)), Retry::AFewTimes);
        assert_eq!(tls(rustls::Error::DecryptError), Retry::AFewTimes);
    }

    #[test]
    fn amiquip_s_urls_are_never_repeated() {
        let error = amiquip::Connection::insecure_open("amqp://a:secret@h/x/y").unwrap_err();
        assert!(error.to_string().contains("secret"));
        let failure = Failure::from(error);
        assert!(!format!("{failure} {failure:?}").contains("secret"));
    }
}
