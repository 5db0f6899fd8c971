//! A real rustls server on the loopback, and a poll loop that behaves as amiquip's.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mio::{Events, Poll, PollOpt, Ready, Token};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::*;
use crate::rabbitmq::failure::Retry;
use crate::rabbitmq::socket::Socket;
use crate::tls::{FileFault, Identity, TlsError, TlsServerConfig};

#[path = "../../../tests/support/certificates.rs"]
mod files;

use files::{Certificates, SERVER_NAME};

const TOTAL: usize = 6 << 20;

fn client(certificates: &Certificates) -> TlsConfig {
    TlsConfig::default().authority(&certificates.authority).server_name(SERVER_NAME)
}

fn identified_client(certificates: &Certificates) -> TlsConfig {
    client(certificates).identity(&certificates.client.certificate, &certificates.client.key)
}

fn server(files: &Certificates, wants_identity: bool) -> Arc<ServerConfig> {
    let config = TlsServerConfig::new(Identity::new(&files.server.certificate, &files.server.key));
    let config = if wants_identity { config.client_authority(&files.authority) } else { config };
    config.server().unwrap()
}

/// Sends back what it gets, in odd pieces, until the end or the first failure.
fn echo_server(config: Arc<ServerConfig>) -> (Host, JoinHandle<u64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = Host::new("127.0.0.1", listener.local_addr().unwrap().port());
    let thread = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        SockRef::from(&socket).set_recv_buffer_size(64 << 10).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut buffer = [0; 7919];
        let mut echoed = 0;
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..read]).and_then(|()| stream.flush()).is_err() {
                break;
            }
            echoed += read as u64;
        }
        echoed
    });
    (host, thread)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn connect(host: &Host, config: &TlsConfig) -> Result<(TlsStream<Socket>, Socket), Failure> {
    let mut tcp = TcpStream::connect((host.name.as_str(), host.port)).unwrap();
    SockRef::from(&tcp).set_send_buffer_size(16 << 10).unwrap();
    tcp.set_nodelay(true).unwrap();
    let session = handshake(&mut tcp, config, host, soon())?;
    let socket = Socket::new(tcp).unwrap();
    Ok((TlsStream::new(session, socket.clone()), socket))
}

/// What amiquip does with a stream, until as many bytes have come back as went out.
struct IoLoop {
    stream: TlsStream<Socket>,
    outbuf: Vec<u8>,
    /// To be put into the buffer, a piece each round, as if channels had asked for it.
    to_send: Vec<u8>,
    received: Vec<u8>,
    total: usize,
}

impl IoLoop {
    fn run(mut self, socket: &Socket) -> io::Result<Vec<u8>> {
        let (poll, mut events) = (Poll::new()?, Events::with_capacity(16));
        let reregister = |interest| poll.reregister(socket, Token(0), interest, PollOpt::edge());
        self.take_piece(1);
        poll.register(socket, Token(0), Ready::writable(), PollOpt::edge())?;
        for round in 0.. {
            if self.received.len() >= self.total {
                break;
            }
            let count = poll.poll(&mut events, Some(Duration::from_secs(10)))?;
            assert!(count > 0, "stuck with {} received and {} to write", self.received.len(), self.outbuf.len());
            let had_data = !self.outbuf.is_empty();
            for event in &events {
                if event.readiness().is_writable() {
                    self.write()?;
                }
                if event.readiness().is_readable() {
                    self.read()?;
                }
            }
            self.take_piece(round * 4099 % 300_007);
            if !self.outbuf.is_empty() {
                reregister(Ready::readable() | Ready::writable())?;
            } else if had_data {
                reregister(Ready::readable())?;
            }
        }
        Ok(self.received)
    }

    fn take_piece(&mut self, bytes: usize) {
        let bytes = bytes.max(1).min(self.to_send.len());
        self.outbuf.extend(self.to_send.drain(..bytes));
    }

    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.outbuf.len() {
            match self.stream.write(&self.outbuf[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.outbuf.drain(..written);
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 5003];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn echo(stream: TlsStream<Socket>, socket: &Socket, to_send: Vec<u8>) -> io::Result<Vec<u8>> {
    let total = to_send.len();
    IoLoop { stream, outbuf: Vec::new(), to_send, received: Vec::new(), total }.run(socket)
}

fn failure(config: &TlsConfig, certificates: &Certificates) -> Failure {
    let (host, server) = echo_server(server(certificates, false));
    let failure = connect(&host, config).err().unwrap();
    server.join().unwrap();
    failure
}

#[test]
fn megabytes_go_both_ways_in_odd_pieces() {
    let certificates = Certificates::new("both-ways");
    let (host, server) = echo_server(server(&certificates, true));
    let (stream, socket) = connect(&host, &identified_client(&certificates)).unwrap();
    let sent: Vec<u8> = (0..TOTAL).map(|index| ((index * 31) >> 5) as u8).collect();
    assert!(echo(stream, &socket, sent.clone()).unwrap() == sent);
    socket.kill_switch().kill();
    assert_eq!(server.join().unwrap(), TOTAL as u64);
}

#[test]
fn an_unknown_authority_is_refused() {
    let certificates = Certificates::new("authority");
    let others = Certificates::new("other-authority");
    let failure = failure(&client(&others), &certificates);
    assert!(matches!(&failure, Failure::Tls(rustls::Error::InvalidCertificate(_))), "{failure:?}");
    assert_eq!(failure.retry(), Retry::No);
}

#[test]
fn another_host_name_is_refused() {
    let certificates = Certificates::new("host-name");
    let failure = failure(&client(&certificates).server_name("other.test"), &certificates);
    assert!(matches!(&failure, Failure::Tls(rustls::Error::InvalidCertificate(_))), "{failure:?}");
}

#[test]
fn a_missing_client_certificate_is_a_refusal_when_it_shows() {
    let certificates = Certificates::new("client");
    let (host, server) = echo_server(server(&certificates, true));
    // In TLS 1.3 the client is done before the server has looked at its certificate.
    let (stream, socket) = connect(&host, &client(&certificates)).unwrap();
    let error = echo(stream, &socket, vec![0; 1 << 20]).unwrap_err();
    let failure = Failure::from(amiquip::Error::IoErrorWritingSocket { source: error });
    assert_eq!(failure, Failure::Tls(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)));
    assert_eq!(failure.retry(), Retry::No);
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let certificates = Certificates::new("files");
    let key = certificates.client.key.clone();
    let missing = certificates.missing();
    let (shown, absent) = (&certificates.client.certificate, FileFault::Unreadable(io::ErrorKind::NotFound));
    for (config, path, fault) in [
        (client(&certificates).authority(&missing), &missing, absent),
        (client(&certificates).authority(&key), &key, FileFault::Nothing),
        (client(&certificates).identity(shown, &missing), &missing, absent),
        (client(&certificates).identity(shown, shown), shown, FileFault::Nothing),
    ] {
        assert_eq!(failure(&config, &certificates), Failure::TlsConfig(TlsError::File { path: path.clone(), fault }));
    }
}

#[test]
fn a_peer_that_sends_byte_by_byte_does_not_stretch_the_deadline() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = Host::new("127.0.0.1", listener.local_addr().unwrap().port());
    let certificates = Certificates::new("trickle");
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let peer = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        // The header of a handshake record of 16 KiB, then its bytes.
        let mut bytes = [22, 3, 3, 64, 0, 2, 0, 63, 252].into_iter().chain(std::iter::repeat(0));
        while stopped.recv_timeout(Duration::from_millis(10)).is_err_and(|error| error.is_timeout()) {
            if socket.write_all(&[bytes.next().unwrap()]).is_err() {
                break;
            }
        }
    });
    let begun = Instant::now();
    let mut tcp = TcpStream::connect((host.name.as_str(), host.port)).unwrap();
    let deadline = begun + Duration::from_millis(200);
    assert_eq!(handshake(&mut tcp, &client(&certificates), &host, deadline).err(), Some(Failure::Deadline));
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop((stop, tcp));
    peer.join().unwrap();
}
