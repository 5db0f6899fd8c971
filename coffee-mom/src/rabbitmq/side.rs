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
use super::failure::{Failure, ReplyCode};
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

    /// Has the line closed by the deadline. Does not block.
    pub(super) fn ask_to_close(&self, deadline: Instant) {
        self.line.close(deadline);
    }

    /// Closes the line; true if its last link was closed by the deadline. A keeper that is just
    /// connecting is left alone: it ends by itself, at the latest when its attempt times out.
    pub(super) fn close(&self, deadline: Instant) -> bool {
        self.ask_to_close(deadline);
        let in_time = self.line.wait_closed(deadline);
        if !in_time {
            self.line.kill();
            self.line.wait_closed(Instant::now() + END_GRACE);
        }
        if matches!(self.line.status(), Status::Closed)
            && let Some(keeper) = self.keeper.lock().take()
            && keeper.join().is_err()
        {
            log::error!("the keeper of a link panicked");
        }
        in_time
    }
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

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        let text = failure.to_string();
        match failure {
            Failure::Credentials | Failure::NoMechanism => Self::Credentials,
            Failure::ConnectionClosed { code: ReplyCode::NOT_ALLOWED, text } => Self::VirtualHost(text),
            Failure::ConnectionClosed { code: ReplyCode::ACCESS_REFUSED, .. } => Self::Credentials,
            Failure::Tls(cause) => Self::Tls(cause.to_string()),
            Failure::TlsFile { .. } | Failure::TlsRoots => Self::Tls(text),
            Failure::ConnectionClosed { .. } | Failure::ChannelClosed { .. } | Failure::Protocol(_) => {
                Self::Refused(text)
            }
            _ => Self::Unreachable(text),
        }
    }
}
