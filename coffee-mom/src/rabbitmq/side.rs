//! One side of a connection from the outside: started, waited for, closed.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never};
use parking_lot::Mutex;
use thiserror::Error;

use crate::event::Side;

use super::config::{ConfigError, RabbitConfig};
use super::desk::CALL_LIMIT;
use super::failure::{Failure, ReplyCode, Retry};
use super::hub::Hub;
use super::keeper::{self, Duty};
use super::line::{Line, Status};
use super::link::Link;

/// How long a keeper may take to end once its link was killed.
const END_GRACE: Duration = Duration::from_millis(500);

/// A line and the keeper that keeps it up.
pub(super) struct SideOf {
    line: Arc<Line>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl SideOf {
    pub(super) fn start(
        config: &Arc<RabbitConfig>,
        side: Side,
        hub: &Arc<Hub>,
        duty: impl Duty,
        first: Instant,
    ) -> Result<Self, ConnectError> {
        let (line, woken) = Line::new();
        let keeper = keeper::start(config.clone(), side, line.clone(), woken, hub.clone(), duty, first)?;
        Ok(Self { line, keeper: Mutex::new(Some(keeper)) })
    }

    pub(super) fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    pub(super) fn wait_up(&self, deadline: Instant) -> Result<(), ConnectError> {
        self.line.wait(deadline).map(drop).map_err(ConnectError::from)
    }

    /// Joins the keeper if it is at its end.
    fn join(&self) {
        if matches!(self.line.status(), Status::Closed)
            && let Some(keeper) = self.keeper.lock().take()
            && keeper.join().is_err()
        {
            log::error!("the keeper of a link panicked");
        }
    }
}

/// Closes both sides of a connection; true if their last links were closed by the deadline. Else they are
/// cut off then, both before either is waited for: one may wait for the other.
pub(super) fn close(sides: [&SideOf; 2], deadline: Instant) -> bool {
    sides.iter().for_each(|side| side.line.close(deadline));
    let in_time = sides.map(|side| side.line.wait_closed(deadline)) == [true, true];
    if !in_time {
        sides.iter().for_each(|side| side.line.kill());
        let until = Instant::now() + END_GRACE;
        for side in sides {
            side.line.wait_closed(until);
        }
    }
    sides.iter().for_each(|side| side.join());
    in_time
}

/// The duty of the side that publishes: a new link is not used before what was declared stands
/// again, or what is sent again would find no queue after a restart of the broker.
pub(super) struct AfterDeclarations {
    consuming: Arc<Line>,
    requests: Receiver<()>,
}

impl AfterDeclarations {
    pub(super) fn of(consuming: Arc<Line>) -> Self {
        Self { consuming, requests: never() }
    }
}

impl Duty for AfterDeclarations {
    type Request = ();

    fn prepare(&mut self, _link: &Arc<Link>) -> Result<(), Failure> {
        self.consuming.wait(Instant::now() + CALL_LIMIT).map(drop)
    }

    fn requests(&self) -> &Receiver<()> {
        &self.requests
    }

    fn serve(&mut self, (): ()) -> Result<(), Failure> {
        Ok(())
    }

    fn lose(&mut self) {}
}

/// Why there is no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No host could be reached by the deadline, for that reason.
    #[error("the broker could not be reached: {0}")]
    Unreachable(String),
    /// The broker takes no connection for now, with that reason: it starts, stops, or lacks room.
    #[error("the broker takes no connection for now: {0}")]
    Unavailable(String),
    /// The broker does not take the user's name and password, or whatever stands for them.
    #[error("the broker does not accept the credentials")]
    Credentials,
    /// The broker has no such virtual host, or not for this user, or not for one connection more.
    #[error("the virtual host can't be used: {0}")]
    VirtualHost(String),
    /// The connection can't be encrypted, or one side does not trust the other.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The broker refused for a reason that has no name here.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// The system gives no thread.
    #[error("no thread could be started")]
    Thread(#[from] std::io::Error),
}

impl ConnectError {
    /// Whether the same may succeed later without anything being changed at this side: worth waiting for.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unavailable(_))
    }
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        let text = failure.to_string();
        match failure {
            Failure::ConnectionClosed { code, .. } | Failure::ChannelClosed { code, .. }
                if code.retry() == Retry::Yes =>
            {
                Self::Unavailable(text)
            }
            Failure::Credentials | Failure::NoMechanism => Self::Credentials,
            Failure::ConnectionClosed { code: ReplyCode::NOT_ALLOWED, text } => Self::VirtualHost(text),
            Failure::ConnectionClosed { code: ReplyCode::ACCESS_REFUSED, .. } => Self::Credentials,
            Failure::Tls(cause) => Self::Tls(cause.to_string()),
            Failure::TlsConfig(_) => Self::Tls(text),
            Failure::ConnectionClosed { .. } | Failure::ChannelClosed { .. } | Failure::Protocol(_) => {
                Self::Refused(text)
            }
            _ => Self::Unreachable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> ConnectError {
        Failure::ConnectionClosed { code: ReplyCode(code), text: "why".into() }.into()
    }

    #[test]
    fn refusals_that_pass_are_told_from_others() {
        for code in [ReplyCode::CONNECTION_FORCED, ReplyCode::RESOURCE_ERROR, ReplyCode::INTERNAL_ERROR] {
            assert!(matches!(refused(code.0), ConnectError::Unavailable(_)) && refused(code.0).is_temporary());
        }
        assert!(matches!(refused(530), ConnectError::VirtualHost(_)) && !refused(530).is_temporary());
        assert!(matches!(refused(403), ConnectError::Credentials) && !refused(403).is_temporary());
        assert!(matches!(refused(501), ConnectError::Refused(_)) && !refused(501).is_temporary());
        assert!(ConnectError::from(Failure::Deadline).is_temporary());
    }
}
