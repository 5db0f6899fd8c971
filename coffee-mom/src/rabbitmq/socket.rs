//! The socket below amiquip: connecting by a deadline, the switch that kills it, and the stream
//! that amiquip's I/O thread gets. No AMQP here, and no encryption of its own: that is `tls`. What
//! has to be changed in AMQP's bytes on their way is in `login` and `contents` for those that go out, and
//! below `frames` for those that come.

mod contents;
mod fields;
mod frames;
mod login;
mod nesting;
mod parts;
mod text;

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use mio::{Evented, Poll, PollOpt, Ready, Token};
use socket2::{SockRef, TcpKeepalive};

use super::config::Host;
use super::failure::Failure;
use super::flow::Flow;
use super::tls::TlsStream;

use contents::{Contents, Next};
use frames::Frames;
pub(super) use login::Login;

/// When a silent connection is probed for the first time, and how often after. Heartbeats are
/// faster; this is for a broker that wants none. There is no bound on how long sent data may stay
/// unread (TCP_USER_TIMEOUT): a broker under a memory alarm takes nothing for hours, rightly.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Connects to one of the host's addresses, each of which gets an equal part of the time that is
/// left. The socket blocks, and sends without delay.
///
/// Blocks until `deadline` at most.
pub(super) fn connect(host: &Host, deadline: Instant) -> Result<TcpStream, Failure> {
    let addresses = resolve(host, deadline)?;
    let mut failure = Failure::UnknownHost;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Deadline);
        }
        let shares = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, left / shares).and_then(prepared) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = Failure::connecting(&error),
        }
    }
    Err(failure)
}

fn prepared(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    Ok(socket)
}

/// The system resolves names for as long as it likes, so it does on a thread of its own. One that
/// takes until the deadline is left alone: it can't be interrupted, and ends when the system does.
fn resolve(host: &Host, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    let (answer, answered) = bounded(1);
    let question = (host.name.clone(), host.port);
    let resolver = thread::Builder::new().name("coffee-resolve".into());
    let thread = resolver.spawn(move || {
        // Nobody listens any more after the deadline.
        let _ = answer.send(question.to_socket_addrs().map(Vec::from_iter));
    });
    let thread = thread.map_err(|error| Failure::System(error.kind()))?;
    match answered.recv_deadline(deadline) {
        Err(RecvTimeoutError::Timeout) => Err(Failure::Deadline),
        answer => {
            let _ = thread.join();
            answer.ok().and_then(Result::ok).ok_or(Failure::UnknownHost)
        }
    }
}

/// A connected socket that never blocks. Clones are the same socket.
#[derive(Debug, Clone)]
pub(super) struct Socket(Arc<mio::net::TcpStream>);

impl Socket {
    pub(super) fn new(socket: TcpStream) -> io::Result<Self> {
        mio::net::TcpStream::from_stream(socket).map(|socket| Self(Arc::new(socket)))
    }

    pub(super) fn kill_switch(&self) -> KillSwitch {
        KillSwitch(self.clone())
    }
}

impl Evented for Socket {
    fn register(&self, poll: &Poll, token: Token, interest: Ready, opts: PollOpt) -> io::Result<()> {
        self.0.register(poll, token, interest, opts)
    }

    fn reregister(&self, poll: &Poll, token: Token, interest: Ready, opts: PollOpt) -> io::Result<()> {
        self.0.reregister(poll, token, interest, opts)
    }

    fn deregister(&self, poll: &Poll) -> io::Result<()> {
        self.0.deregister(poll)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends a connection from any thread.
#[derive(Debug, Clone)]
pub(super) struct KillSwitch(Socket);

impl KillSwitch {
    /// Ends it both ways: the I/O thread sees the end of the stream, ends, and every call that waits
    /// for it returns. Does not block. Killing again does nothing.
    pub(super) fn kill(&self) {
        // Fails only if it is not connected any more, which is what is wanted.
        let _ = (self.0).0.shutdown(Shutdown::Both);
    }
}

/// What amiquip's I/O thread owns. It counts for [`Flow`], and when it is dropped, at the end of
/// that thread, the connection is ended and the receivers of `alive` are disconnected.
#[derive(Debug)]
pub(super) struct Stream {
    transport: Transport,
    socket: Socket,
    flow: Arc<Flow>,
    frames: Frames,
    login: Login,
    contents: Contents,
    _alive: Sender<Infallible>,
}

#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }
}

impl Stream {
    /// A stream that logs in by `login`, and whose frames have `max_frame` bytes at most, or as many as
    /// RabbitMQ likes if it is 0.
    pub(super) fn new(
        transport: Transport,
        socket: Socket,
        flow: Arc<Flow>,
        login: Login,
        max_frame: u32,
        alive: Sender<Infallible>,
    ) -> Self {
        let (frames, contents) = (Frames::new(max_frame), Contents::default());
        Self { transport, socket, flow, frames, login, contents, _alive: alive }
    }

    /// Writes what has to come before the bytes that amiquip offers, and returns the first of those,
    /// which may be written then.
    fn fill<'a>(&mut self, offered: &'a [u8]) -> io::Result<&'a [u8]> {
        loop {
            match self.contents.next(offered) {
                Next::Offered(count) => return Ok(offered.get(..count).unwrap_or(offered)),
                Next::Missing(missing) => match self.transport.write(missing)? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => self.contents.filled(written),
                },
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The kill switches keep the socket open, so dropping alone would not end the connection.
        self.socket.kill_switch().kill();
        self.flow.close();
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.transport {
            Transport::Plain(socket) => socket.read(buffer),
            Transport::Tls(stream) => stream.read(buffer),
        }?;
        self.frames.pass(&mut buffer[..read])?;
        Ok(read)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = self.fill(bytes)?;
        let revealed = self.login.reveal(now);
        let written = self.transport.write(&revealed)?;
        self.login.written(written);
        self.contents.written(written);
        // amiquip offers all that it has each time.
        self.flow.written(written, bytes.len() - written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Readiness is that of the socket: `tls` says why that is enough.
impl Evented for Stream {
    fn register(&self, poll: &Poll, token: Token, interest: Ready, opts: PollOpt) -> io::Result<()> {
        self.socket.register(poll, token, interest, opts)
    }

    fn reregister(&self, poll: &Poll, token: Token, interest: Ready, opts: PollOpt) -> io::Result<()> {
        self.socket.reregister(poll, token, interest, opts)
    }

    fn deregister(&self, poll: &Poll) -> io::Result<()> {
        self.socket.deregister(poll)
    }
}

impl amiquip::IoStream for Stream {}
