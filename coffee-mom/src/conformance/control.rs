//! Control over a broker: what cases of outages do to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::open::OpenError;
use crate::testing::proxy::Proxy;

use super::failure::Failure;

/// A broker of one case alone, running at first, with a [`Proxy`] in front of it. Dropped, it is gone.
pub trait Control: Send + Sync {
    /// A connection to it.
    ///
    /// # Errors
    /// [`OpenError`], as [`open`](crate::open) fails: cases look at it.
    fn connect(&self, how: &Connect, deadline: Instant) -> Result<Arc<dyn Broker>, OpenError>;

    /// The proxy that connections [through it](Connect::through_proxy) go through.
    fn proxy(&self) -> &Proxy;

    /// Stops it as an administrator would: it says goodbye and keeps what is durable.
    ///
    /// # Errors
    /// [`Failure`].
    fn stop(&self) -> Result<(), Failure>;

    /// Kills its process, by SIGKILL or its like.
    ///
    /// # Errors
    /// [`Failure`].
    fn kill(&self) -> Result<(), Failure>;

    /// Starts it again, at the same address and with what is durable. Ok: it takes connections.
    ///
    /// # Errors
    /// [`Failure`].
    fn start(&self) -> Result<(), Failure>;

    /// Raises the alarm that makes it take no publishes, or clears it.
    ///
    /// # Errors
    /// [`Failure`].
    fn alarm(&self, raised: bool) -> Result<(), Failure>;

    /// Closes all connections, `times` times; each time waits until there is one.
    ///
    /// # Errors
    /// [`Failure`] also if no client came back by the deadline.
    fn close_connections(&self, times: usize, deadline: Instant) -> Result<(), Failure>;

    /// Adds a user that may do nothing but connect.
    ///
    /// # Errors
    /// [`Failure`].
    fn add_powerless_user(&self, user: &str, password: &str) -> Result<(), Failure>;
}

/// What the broker of a case is to be like.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Wishes {
    /// How long a delivery may stay unacked before the broker takes it back, its channel with it.
    pub consumer_timeout: Option<Duration>,
}

impl Wishes {
    /// Sets how long a delivery may stay unacked.
    #[must_use]
    pub fn consumer_timeout(mut self, timeout: Duration) -> Self {
        self.consumer_timeout = Some(timeout);
        self
    }
}

/// How to connect to the broker of a case. By default straight, and as whom it lets in.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Connect {
    /// Whether through the proxy.
    pub proxied: bool,
    /// The interval of heartbeats.
    pub heartbeat: Option<Duration>,
    /// Name and password of another user.
    pub login: Option<(String, String)>,
    /// Another virtual host.
    pub vhost: Option<String>,
}

impl Connect {
    /// Connects through the proxy.
    #[must_use]
    pub fn through_proxy(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Sets the interval of heartbeats.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// Connects as another user.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Connects to another virtual host.
    #[must_use]
    pub fn vhost(mut self, vhost: &str) -> Self {
        self.vhost = Some(vhost.to_owned());
        self
    }
}
