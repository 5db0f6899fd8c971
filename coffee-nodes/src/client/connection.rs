//! A connection to a gateway that has said welcome.

use std::{
    convert::Infallible,
    net::ToSocketAddrs,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, select};

use super::{ClientError, tries::Tries};
use crate::wire::{self, Receiver, Sender, ToClient, ToGateway, WireError};

/// How long one address of a gateway is waited for at most, before the next is tried.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// What came where it does not belong.
pub(super) const OUT_OF_PLACE: ClientError = ClientError::Wire(WireError::Protocol("a message that is out of place"));

/// Both halves of the connection.
pub(super) struct Connection {
    pub sender: Sender,
    pub receiver: Receiver,
}

/// Opens a connection to the gateway in turn, says hello, and talks on it; it is closed when that returns, and ends when the
/// stop is triggered.
pub(super) fn with<T>(
    tries: &mut Tries<'_>,
    talk: impl FnOnce(Connection) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let (sender, receiver) = connect(tries)?;
    let stop = tries.stop;
    let breaker = sender.breaker();
    let (over, talking) = bounded::<Infallible>(0);
    thread::scope(|scope| {
        let watch = move || {
            select! {
                recv(stop.receiver()) -> _ => {}
                recv(talking) -> _ => {}
            }
            breaker.shutdown();
        };
        let watching = thread::Builder::new().name("client stopping".to_owned());
        watching.spawn_scoped(scope, watch).map_err(ClientError::Thread)?;
        let mut connection = Connection { sender, receiver };
        let said = connection.hello(tries).and_then(|()| talk(connection));
        drop(over);
        said
    })
}

/// Connects to the first of the gateway's addresses that answers.
fn connect(tries: &Tries<'_>) -> Result<(Sender, Receiver), ClientError> {
    let (gateway, tls, patience) = (tries.gateway(), tries.options.tls.as_ref(), tries.patience());
    let mut failed = ClientError::Address(std::io::ErrorKind::NotFound.into());
    for address in gateway.to_socket_addrs().map_err(ClientError::Address)? {
        let is_plain = tls.is_none() && !address.ip().to_canonical().is_loopback();
        if is_plain && tries.options.token.is_some() {
            return Err(ClientError::PlainToken(address));
        }
        // One for all of it: the connection, the TLS handshake, the greeting and the welcome.
        let deadline = Instant::now() + patience;
        match wire::connect(address, gateway, tls, CONNECT_WAIT.min(patience), patience) {
            Ok((mut sender, mut receiver)) => {
                sender.set_deadline(deadline);
                receiver.set_deadline(deadline);
                return Ok((sender, receiver));
            }
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

impl Connection {
    fn hello(&mut self, tries: &mut Tries<'_>) -> Result<(), ClientError> {
        wire::greet(&mut self.sender, &mut self.receiver)?;
        tries.reached();
        let hello = ToGateway::Hello { token: tries.options.token.clone() };
        self.ask(&hello, |answer| matches!(answer, ToClient::Welcome).then_some(()))?;
        self.sender.set_patience(tries.patience());
        self.receiver.set_patience(tries.patience());
        Ok(())
    }

    /// Says something and waits for the answer, which is the next message but pings.
    pub fn ask<T>(&mut self, request: &ToGateway, answer: impl Fn(ToClient) -> Option<T>) -> Result<T, ClientError> {
        self.sender.put(request)?;
        loop {
            self.sender.flush()?;
            match self.receiver.next()?.0 {
                ToClient::Ping => self.sender.put(&ToGateway::Pong)?,
                ToClient::Pong => {}
                ToClient::Refused { code, text } => return Err(ClientError::Refused { code, text }),
                other => return answer(other).ok_or(OUT_OF_PLACE),
            }
        }
    }
}
