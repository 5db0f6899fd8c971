//! A broker of a test's own: to be stopped, killed and choked.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::TestBrokerError;
use super::control::{Control, binary};
use super::home::{Home, PortClaim};
use super::options::OwnOptions;
use super::poll::poll;
use super::process::{Launch, Process, log_tail};

/// A control call takes about a millisecond.
const CALL: Duration = Duration::from_secs(20);

/// A RabbitMQ of the caller's alone, on a port and in a folder of its own. It has the user `guest` with the
/// password `guest` and the virtual host `/`.
///
/// Its calls block: starting takes seconds (at most 60), stopping at most 30 s, control calls at most 20 s.
/// Dropping it kills the broker and removes its folder; so does the end of the process, however it comes.
pub struct OwnBroker {
    options: OwnOptions,
    folder: PathBuf,
    port: PortClaim,
    tls_port: Option<PortClaim>,
    process: Option<Process>,
}

impl fmt::Debug for OwnBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnBroker")
            .field("port", &self.port())
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl OwnBroker {
    /// Starts a new broker. Ok: it takes connections.
    ///
    /// # Errors
    /// [`TestBrokerError`]; nothing is left behind.
    pub fn start(options: OwnOptions) -> Result<Self, TestBrokerError> {
        let home = Home::from_env()?;
        home.sweep("own")?;
        let port = home.claim_port()?;
        let tls_port = options.tls.as_ref().map(|_| home.claim_port()).transpose()?;
        let folder = home.new_folder("own", port.port)?;
        let mut broker = Self { options, folder, port, tls_port, process: None };
        broker.restart()?;
        Ok(broker)
    }

    /// The URL of a virtual host, for the user `guest`. The same for all the broker's life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port())
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.port
    }

    /// The port for TLS on 127.0.0.1, if the options ask for one.
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port.as_ref().map(|claim| claim.port)
    }

    /// Whether it was started and neither stopped nor killed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the broker again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same port and with the
    /// data it had, or after it died by itself. Ok: it takes connections. Does nothing while it runs.
    ///
    /// # Errors
    /// [`TestBrokerError`]; the broker is then not running, and may be started again.
    pub fn restart(&mut self) -> Result<(), TestBrokerError> {
        if self.is_running() && matches!(self.eval("ok"), Err(TestBrokerError::Gone)) {
            self.kill();
        }
        if self.process.is_none() {
            self.process = Some(Process::start(&Launch {
                folder: &self.folder,
                port: self.port(),
                linger: Duration::ZERO,
                conf: self.options.conf_text(self.tls_port()),
                settings: &self.options.settings,
            })?);
        }
        Ok(())
    }

    /// Stops it as an administrator would: connections are closed with 320, data is written. Does nothing
    /// unless it runs.
    ///
    /// # Errors
    /// [`TestBrokerError`]; the broker was then killed.
    pub fn stop(&mut self) -> Result<(), TestBrokerError> {
        self.process.take().map_or(Ok(()), Process::stop)
    }

    /// Kills it, by SIGKILL to its Erlang machine. Does nothing unless it runs.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Evaluates Erlang expressions in the broker, and returns the value of the last as Erlang writes terms.
    ///
    /// # Errors
    /// [`TestBrokerError::Failed`] if they raise an exception, so `ok = f()` asserts; `Gone` unless it runs.
    pub fn eval(&self, expressions: &str) -> Result<String, TestBrokerError> {
        Control::of(&self.folder).eval(expressions, Instant::now() + CALL)
    }

    /// Raises or clears the alarm for memory. Ok: it is in effect, and publishing connections are blocked
    /// with their next publish.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn alarm(&self, raised: bool) -> Result<(), TestBrokerError> {
        let (watermark, alarms) = if raised { ("0", "[_ | _]") } else { ("0.4", "[]") };
        self.run(&format!(
            "ok = vm_memory_monitor:set_vm_memory_high_watermark({watermark}), {alarms} = rabbit_alarm:get_alarms()"
        ))
    }

    /// Closes all open connections with 320, `times` times: after each it waits until there is one again.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); `Deadline` if no client came (back) in time.
    pub fn close_all_connections(&self, times: usize, deadline: Instant) -> Result<(), TestBrokerError> {
        // One that is closing or still being opened would be cut off by a second close, not closed.
        const CLOSE: &str = "length([rabbit_networking:close_connection(C, \"closed by a test\") \
             || C <- rabbit_networking:local_connections(), \
             (catch rabbit_networking:connection_info(C, [state])) =:= [{state, running}]])";
        for _ in 0..times {
            poll("a client that connects", deadline, || Ok((self.eval(CLOSE)? != "0").then_some(())))?;
        }
        Ok(())
    }

    /// Adds a user without any permission.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn add_user(&self, name: &str, password: &str) -> Result<(), TestBrokerError> {
        let (name, password) = (binary(name), binary(password));
        self.run(&format!("ok = rabbit_auth_backend_internal:add_user({name}, {password}, <<\"test\">>)"))
    }

    /// Adds a virtual host that no user may use yet.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn add_vhost(&self, name: &str) -> Result<(), TestBrokerError> {
        self.run(&format!("ok = rabbit_vhost:add({}, <<\"test\">>)", binary(name)))
    }

    /// Sets what a user may do in a virtual host: regular expressions of the names that it may configure,
    /// write and read. The empty expression permits nothing.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn set_permissions(&self, user: &str, vhost: &str, permissions: [&str; 3]) -> Result<(), TestBrokerError> {
        let [configure, write, read] = permissions.map(binary);
        let (user, vhost) = (binary(user), binary(vhost));
        self.run(&format!(
            "ok = rabbit_auth_backend_internal:set_permissions\
             ({user}, {vhost}, {configure}, {write}, {read}, <<\"test\">>)"
        ))
    }

    fn run(&self, expressions: &str) -> Result<(), TestBrokerError> {
        self.eval(expressions).map(drop)
    }
}

impl Drop for OwnBroker {
    /// In a test that fails, what the broker had to say is told too, before its folder goes.
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("the end of the broker's log:\n{}", log_tail(&self.folder));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
