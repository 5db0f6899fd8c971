//! RabbitMQ as a subject: by URL, and brokers of a case's own.

#![cfg(unix)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::broker::Broker;
use crate::open::{OpenError, open};
use crate::rabbitmq::{Credentials, RabbitBroker, RabbitConfig};
use crate::testing::proxy::Proxy;
use crate::testing::rabbitmq::{OwnBroker, OwnOptions, TestBroker};

use super::case::Case;
use super::control::{Connect, Control, Wishes};
use super::failure::Failure;
use super::steps::soon;
use super::subject::{Feature, Features, Subject};

/// A RabbitMQ: one that is there, or the shared one of all tests on this machine.
///
/// The cases that control their broker can't have that one. [If asked to](Self::with_installed_control),
/// they start one of their own each, of the RabbitMQ that is installed on this machine: its version
/// may be another one than that of the URL.
pub struct RabbitSubject {
    url: String,
    control: bool,
}

impl RabbitSubject {
    /// The RabbitMQ of a URL, without the cases that control their broker.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), control: false }
    }

    /// Declares [`Feature::Control`]: those cases run on the RabbitMQ that is installed, and fail if
    /// there is none.
    #[must_use]
    pub fn with_installed_control(mut self) -> Self {
        self.control = true;
        self
    }

    /// The shared test broker, started on first need, and the installed RabbitMQ for the cases that
    /// control theirs. Blocks meanwhile, for seconds.
    ///
    /// # Errors
    /// [`Failure`], also if there is no RabbitMQ.
    pub fn shared() -> Result<Self, Failure> {
        Ok(Self::at(TestBroker::shared()?.url()).with_installed_control())
    }
}

impl Subject for RabbitSubject {
    fn connect(&self) -> Result<Arc<dyn Broker>, Failure> {
        Ok(open(&self.url, soon())?)
    }

    fn features(&self) -> Features {
        let features = Features::default();
        if self.control { features.with(Feature::Control) } else { features }
    }

    fn control(&self, wishes: &Wishes) -> Result<Box<dyn Control>, Failure> {
        let mut options = OwnOptions::default();
        if let Some(timeout) = wishes.consumer_timeout {
            options = options.consumer_timeout(timeout);
        }
        let broker = OwnBroker::start(options)?;
        let port = broker.port();
        let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(Box::new(RabbitControl { broker: Mutex::new(broker), port, proxy }))
    }

    /// mio 0.6, below amiquip, keeps the two ends of a pipe where a thread wakes a poll that another one
    /// is just dropping: some once in five thousand connections that are closed by force under load.
    fn strays(&self, case: &Case) -> usize {
        if case.number == 42 { 4 } else { 0 }
    }
}

/// A RabbitMQ of one case alone.
struct RabbitControl {
    broker: Mutex<OwnBroker>,
    port: u16,
    proxy: Proxy,
}

impl Control for RabbitControl {
    fn connect(&self, how: &Connect, deadline: Instant) -> Result<Arc<dyn Broker>, OpenError> {
        let port = if how.proxied { self.proxy.address().port() } else { self.port };
        let mut config = RabbitConfig::new("127.0.0.1", port);
        if let Some(interval) = how.heartbeat {
            config = config.heartbeat(interval);
        }
        if let Some((user, password)) = &how.login {
            config = config.credentials(Credentials::plain(user, password));
        }
        if let Some(vhost) = &how.vhost {
            config = config.vhost(vhost);
        }
        Ok(Arc::new(RabbitBroker::connect(config, deadline)?))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn stop(&self) -> Result<(), Failure> {
        Ok(self.broker.lock().stop()?)
    }

    fn kill(&self) -> Result<(), Failure> {
        self.broker.lock().kill();
        Ok(())
    }

    fn start(&self) -> Result<(), Failure> {
        Ok(self.broker.lock().restart()?)
    }

    fn alarm(&self, raised: bool) -> Result<(), Failure> {
        Ok(self.broker.lock().alarm(raised)?)
    }

    fn close_connections(&self, times: usize, deadline: Instant) -> Result<(), Failure> {
        Ok(self.broker.lock().close_all_connections(times, deadline)?)
    }

    fn add_powerless_user(&self, user: &str, password: &str) -> Result<(), Failure> {
        let broker = self.broker.lock();
        broker.add_user(user, password)?;
        Ok(broker.set_permissions(user, "/", ["", "", ""])?)
    }
}
