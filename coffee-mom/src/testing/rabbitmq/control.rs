//! Control calls: Erlang expressions that the broker's own machine evaluates, over a Unix socket.
//! No Erlang machine is started for them. The other side is `control.erl`.

use std::io::{self, Read, Write};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::TestBrokerError;

/// Longer answers are refused: a test asks for counts and names.
const MAX_ANSWER_BYTES: u32 = 16 << 20;

/// Where a broker takes control calls.
#[derive(Debug, Clone)]
pub(super) struct Control {
    socket: PathBuf,
}

impl Control {
    pub(super) fn of(folder: &Path) -> Self {
        Self { socket: folder.join("control.sock") }
    }

    /// Fails at once if no socket can have such a path: systems take about 100 bytes.
    pub(super) fn check(&self) -> Result<(), TestBrokerError> {
        let address = SocketAddr::from_pathname(&self.socket);
        address.map(drop).map_err(TestBrokerError::io("use the path of a broker's control socket"))
    }

    /// Opens a session. The broker lives for as long as there is one, and for its linger after that.
    pub(super) fn open(&self) -> Result<Session, TestBrokerError> {
        UnixStream::connect(&self.socket).map(Session).map_err(|_| TestBrokerError::Gone)
    }

    /// Evaluates an expression in a session of its own.
    pub(super) fn eval(&self, expression: &str, deadline: Instant) -> Result<String, TestBrokerError> {
        self.open()?.eval(expression, deadline)
    }
}

/// A session: a connection that keeps the broker alive, and a process in the broker.
#[derive(Debug)]
pub(super) struct Session(UnixStream);

impl Session {
    /// Evaluates an expression. After an error that is not [`TestBrokerError::Failed`] the session is of
    /// no further use, except that it still keeps the broker alive.
    pub(super) fn eval(&mut self, expression: &str, deadline: Instant) -> Result<String, TestBrokerError> {
        let answer = self.exchange(expression.trim_end(), deadline).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                TestBrokerError::Deadline { waiting_for: "the broker's answer to a control call" }
            }
            io::ErrorKind::InvalidData => TestBrokerError::Io { action: "read a control call's answer", source: error },
            _ => TestBrokerError::Gone,
        })?;
        let text = String::from_utf8_lossy(&answer);
        match text.strip_prefix('+') {
            Some(value) => Ok(value.to_owned()),
            None => Err(TestBrokerError::Failed { reason: text.trim_start_matches('-').to_owned() }),
        }
    }

    fn exchange(&mut self, expression: &str, deadline: Instant) -> io::Result<Vec<u8>> {
        let length = u32::try_from(expression.len() + 1).map_err(|_| io::ErrorKind::InvalidData)?;
        self.0.set_write_timeout(Some(time_until(deadline)))?;
        self.0.write_all(&[&length.to_be_bytes(), expression.as_bytes(), b"."].concat())?;

        let mut length = [0; 4];
        self.0.set_read_timeout(Some(time_until(deadline)))?;
        self.0.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_ANSWER_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length as usize];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// Never zero, which would mean no timeout.
fn time_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Text as an Erlang binary that holds exactly its bytes, whatever they are.
pub(super) fn binary(text: &str) -> String {
    let bytes: Vec<_> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}
