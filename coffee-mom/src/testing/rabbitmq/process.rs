//! One process of RabbitMQ: it starts in a folder, becomes ready, and ends.
//!
//! What keeps the start short: no plugins, no `rabbitmq.conf` unless it is needed, and a node that is
//! named from the beginning but listens for no other node (RabbitMQ then starts no helper nodes, and no epmd).

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::TestBrokerError;
use super::control::{Control, Session};
use super::install::rabbitmq_server;
use super::poll::poll;

/// Ten times what it takes on two busy cores.
const START: Duration = Duration::from_secs(60);

/// RabbitMQ waits at most some seconds for each of its parts.
const STOP: Duration = Duration::from_secs(30);

/// Bytes of the log that an error quotes.
const LOG_TAIL: u64 = 8192;

/// What a process is started with.
pub(super) struct Launch<'a> {
    /// Its folder, of which it owns all: data, log, control socket.
    pub(super) folder: &'a Path,
    /// Its port on 127.0.0.1.
    pub(super) port: u16,
    /// How long it stays after its last session.
    pub(super) linger: Duration,
    /// The text of `rabbitmq.conf`, if it needs one.
    pub(super) conf: Option<String>,
    /// Settings of the application `rabbit`.
    pub(super) settings: &'a [(String, String)],
}

/// A process that has become ready, with a session that keeps it alive.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) session: Session,
}

impl Process {
    /// Starts one and waits until it takes connections. After an error nothing runs.
    pub(super) fn start(launch: &Launch<'_>) -> Result<Self, TestBrokerError> {
        Control::of(launch.folder).check()?;
        write_files(launch).map_err(TestBrokerError::io("write the files of a broker"))?;
        let mut child = command(launch)?.spawn().map_err(TestBrokerError::io("start rabbitmq-server"))?;
        match ready(&mut child, launch.folder) {
            Ok(session) => Ok(Self { child, session }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Stops it as an administrator would: connections are closed, data is written.
    pub(super) fn stop(mut self) -> Result<(), TestBrokerError> {
        let deadline = Instant::now() + STOP;
        let stopped = self.session.eval("init:stop()", deadline).and_then(|_| {
            poll("the end of a broker", deadline, || {
                self.child.try_wait().map_err(TestBrokerError::io("wait for a broker's end"))
            })
        });
        end(&mut self.child);
        stopped.map(drop)
    }

    /// Ends it at once, as a loss of power would, except that the system keeps what was written.
    pub(super) fn kill(mut self) {
        end(&mut self.child);
    }

    /// Waits until a process that others use is ready; see [`Control::open`].
    pub(super) fn await_ready(session: &mut Session) -> Result<(), TestBrokerError> {
        session.eval("ok = rabbit:await_startup()", Instant::now() + START).map(drop)
    }
}

/// Kills a child that may have ended and takes its status, so that it leaves no zombie.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn ready(child: &mut Child, folder: &Path) -> Result<Session, TestBrokerError> {
    let control = Control::of(folder);
    let mut session = poll("a broker's control socket", Instant::now() + START, || {
        match child.try_wait().map_err(TestBrokerError::io("look after a starting broker"))? {
            Some(status) => Err(TestBrokerError::Exited { status, log: log_tail(folder) }),
            None => Ok(control.open().ok()),
        }
    })?;
    match Process::await_ready(&mut session) {
        Err(TestBrokerError::Gone) => {
            // Its sockets end with the process: there is nothing to wait for.
            let status = child.wait().map_err(TestBrokerError::io("wait for a broker's end"))?;
            Err(TestBrokerError::Exited { status, log: log_tail(folder) })
        }
        Err(error) => Err(error),
        Ok(()) => Ok(session),
    }
}

fn write_files(launch: &Launch<'_>) -> io::Result<()> {
    let file = |name| launch.folder.join(name);
    fs::write(file("control.erl"), include_str!("control.erl"))?;
    fs::write(file("enabled_plugins"), "[].\n")?;
    match &launch.conf {
        Some(text) => fs::write(file("rabbitmq.conf"), text),
        None => Ok(()),
    }
}

fn command(launch: &Launch<'_>) -> Result<Command, TestBrokerError> {
    let folder = launch.folder;
    let log = File::create(folder.join("log")).map_err(TestBrokerError::io("make the log of a broker"))?;
    let errors = log.try_clone().map_err(TestBrokerError::io("make the log of a broker"))?;
    let mut command = Command::new(rabbitmq_server()?);
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("RABBITMQ_") || name_text.starts_with("ERL_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        // Ctrl-C in a terminal ends the tests, and by that the broker, when it is time.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .env("HOME", folder)
        .env("COFFEE_LINGER", launch.linger.as_millis().to_string())
        // RabbitMQ starts small machines each minute to keep epmd alive; they inherit this and fail to.
        .env("ERL_FLAGS", "-start_epmd false")
        .env("ERL_CRASH_DUMP_BYTES", "0")
        // The script then becomes the Erlang machine, instead of waiting for it.
        .env("RABBITMQ_ALLOW_INPUT", "1")
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang_arguments(launch))
        .env("RABBITMQ_NODENAME", "rabbit@localhost")
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", launch.port.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced.config"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", folder.join("config"))
        .env("RABBITMQ_SCHEMA_DIR", folder.join("schema"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_FEATURE_FLAGS_FILE", folder.join("feature_flags"))
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("logs"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
        .env("RABBITMQ_LOGS", "-");
    Ok(command)
}

fn erlang_arguments(launch: &Launch<'_>) -> String {
    // A port of epmd that nobody asks stands in for the answer that a node without a listener never gets.
    let node = "-noinput -sname rabbit@localhost -dist_listen false -erl_epmd_port 1";
    // Words are split at white space, so the name of the file is an atom: control.erl in the current folder.
    let control = "-eval {ok,_}=file:script('control.erl')";
    let settings: String = launch.settings.iter().map(|(name, term)| format!(" -rabbit {name} {term}")).collect();
    format!("{node} +S 2:2 {control}{settings}")
}

pub(super) fn log_tail(folder: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(folder.join("log"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut tail = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut tail)?;
        Ok(tail)
    };
    read().map(|tail| String::from_utf8_lossy(&tail).into_owned()).unwrap_or_default()
}
