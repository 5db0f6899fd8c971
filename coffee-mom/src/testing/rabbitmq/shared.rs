//! The broker that all test processes of a user share, and the virtual host that each has on it.
//!
//! Whoever needs it first starts it, under a lock. It is nobody's child to keep: its sessions keep it, see
//! `control.erl`. A session that was opened before the machine decided to halt is answered; one that
//! comes later sees the end of its connection, and is opened anew on a new broker.

use std::env;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::TestBrokerError;
use super::control::{Control, Session, binary};
use super::home::Home;
use super::process::{Launch, Process};

/// Test binaries that run one after the other are closer together than this.
const LINGER: Duration = Duration::from_secs(20);

/// For as long as others start a broker, and one more.
const JOIN: Duration = Duration::from_secs(150);

const CALL: Duration = Duration::from_secs(20);

/// Where a shared broker is to be found, or to be started.
#[derive(Debug, Clone)]
pub struct TestBroker {
    home: Home,
    linger: Duration,
}

impl TestBroker {
    /// The shared broker: the one of `COFFEE_TEST_AMQP_URL` if that is set, else a private one that is
    /// started if need be. The whole process has one virtual host on it, which is deleted when the process ends;
    /// repeated calls are cheap. A private broker that has died is replaced, by an empty one.
    ///
    /// Blocks while the broker starts, for seconds; at most 150.
    ///
    /// # Errors
    /// [`TestBrokerError`], also if no RabbitMQ is installed: tests that need it then fail.
    pub fn shared() -> Result<SharedBroker, TestBrokerError> {
        static JOINED: Mutex<Option<SharedBroker>> = Mutex::new(None);
        let mut joined = JOINED.lock();
        if let Some(broker) = joined.as_ref().filter(|broker| broker.is_alive()) {
            return Ok(broker.clone());
        }
        let broker = match env::var("COFFEE_TEST_AMQP_URL") {
            Ok(url) => SharedBroker { url, membership: None },
            Err(_) => Self::from_env()?.join()?,
        };
        Ok(joined.insert(broker).clone())
    }

    fn from_env() -> Result<Self, TestBrokerError> {
        let seconds = env::var("COFFEE_TEST_BROKER_LINGER").ok().and_then(|text| text.parse().ok());
        Ok(Self { home: Home::from_env()?, linger: seconds.map_or(LINGER, Duration::from_secs) })
    }

    /// A broker shared by those who name the same folder. It stays for `linger` after its last user; that
    /// of whoever starts it counts.
    ///
    /// # Errors
    /// [`TestBrokerError::Io`] if the folder can't be made.
    pub fn at(folder: &Path, linger: Duration) -> Result<Self, TestBrokerError> {
        Ok(Self { home: Home::at(folder)?, linger })
    }

    /// Joins it with a new virtual host, which is deleted when the last clone of the result is dropped.
    /// Starts it if need be. Blocks as [`shared`](Self::shared).
    ///
    /// # Errors
    /// [`TestBrokerError`].
    pub fn join(&self) -> Result<SharedBroker, TestBrokerError> {
        let (port, control, mut session) = self.find_or_start()?;
        let vhost = new_vhost(&mut session)?;
        let url = format!("amqp://guest:guest@127.0.0.1:{port}/{vhost}");
        Ok(SharedBroker { url, membership: Some(Arc::new(Membership { control, _session: session })) })
    }

    fn find_or_start(&self) -> Result<(u16, Control, Session), TestBrokerError> {
        let _lock = self.home.lock("shared.lock", Instant::now() + JOIN)?;
        for (port, folder) in self.home.folders("shared")? {
            let control = Control::of(&folder);
            let ready = control.open().and_then(|mut session| Process::await_ready(&mut session).map(|()| session));
            match ready {
                Ok(session) => return Ok((port, control, session)),
                // Dead, or about to be; what it leaves is of no use. One that hangs is left alone.
                Err(TestBrokerError::Gone) => drop(fs::remove_dir_all(folder)),
                Err(_) => {}
            }
        }
        let claim = self.home.claim_port()?;
        let folder = self.home.new_folder("shared", claim.port)?;
        let launch = Launch { folder: &folder, port: claim.port, linger: self.linger, conf: None, settings: &[] };
        let process = Process::start(&launch).inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        Ok((claim.port, Control::of(&folder), process.session))
    }
}

/// Makes a virtual host that goes with the session. Its name is fit for a URL.
fn new_vhost(session: &mut Session) -> Result<String, TestBrokerError> {
    let process = binary(&format!("test-{}-", std::process::id()));
    let name = session.eval(
        &format!(
            "Name = <<{process}/binary, (integer_to_binary(erlang:unique_integer([positive])))/binary>>, \
             ok = rabbit_vhost:add(Name, <<\"test\">>), All = <<\".*\">>, \
             ok = rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, Name, All, All, All, <<\"test\">>), \
             put(at_end, fun() -> rabbit_vhost:delete(Name, <<\"test\">>) end), binary_to_atom(Name)"
        ),
        Instant::now() + CALL,
    )?;
    // Erlang writes an atom with a dash in quotes.
    Ok(name.trim_matches('\'').to_owned())
}

/// A virtual host on the shared broker. Clones share it.
#[derive(Clone)]
pub struct SharedBroker {
    url: String,
    membership: Option<Arc<Membership>>,
}

struct Membership {
    control: Control,
    _session: Session,
}

impl fmt::Debug for SharedBroker {
    /// Without the URL: one that was given may have a real password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBroker").field("given_by_url", &self.membership.is_none()).finish_non_exhaustive()
    }
}

impl SharedBroker {
    /// The URL of the virtual host, with user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Evaluates Erlang expressions in the broker, and returns the value of the last as Erlang writes terms.
    /// Other test processes use the broker too: look, and change only what is in the virtual host.
    ///
    /// # Errors
    /// [`TestBrokerError`]; `NotOurs` if the broker was given by a URL.
    pub fn eval(&self, expressions: &str) -> Result<String, TestBrokerError> {
        let membership = self.membership.as_ref().ok_or(TestBrokerError::NotOurs)?;
        membership.control.eval(expressions, Instant::now() + CALL)
    }

    fn is_alive(&self) -> bool {
        self.membership.is_none() || self.eval("ok").is_ok()
    }
}
