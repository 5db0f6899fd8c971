//! One gateway after the other, with pauses, for as long as there is hope.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::{ClientError, ClientOptions};
use crate::Stop;

/// The longest pause after a first failure, and after many.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// The attempts of one call.
pub(super) struct Tries<'a> {
    options: &'a ClientOptions,
    stop: &'a Stop,
    gateway: &'a str,
    failures: usize,
    /// The longest that the next pause can be.
    ceiling: Duration,
    /// Gives up then, if it gets nowhere.
    deadline: Instant,
}

impl<'a> Tries<'a> {
    /// Begins with the first gateway.
    pub fn new(options: &'a ClientOptions, stop: &'a Stop) -> Result<Self, ClientError> {
        let gateway = options.gateways.first().ok_or(ClientError::NoGateway)?;
        let deadline = Instant::now() + options.limit;
        Ok(Tries { options, stop, gateway, failures: 0, ceiling: PAUSES.0, deadline })
    }

    /// The one to try.
    pub fn gateway(&self) -> &'a str {
        self.gateway
    }

    /// An attempt has failed, though it may have got on with the work before. Ok: after a pause, the next gateway is to be
    /// tried. The pause's length is drawn evenly up to a ceiling that doubles, so that clients which lost the same gateway
    /// don't come to the next one all at once.
    pub fn failed(&mut self, error: ClientError, got_on: bool) -> Result<(), ClientError> {
        if self.stop.is_triggered() {
            return Err(ClientError::Interrupted);
        }
        if got_on {
            self.ceiling = PAUSES.0;
            self.deadline = Instant::now() + self.options.limit;
        }
        let pause = self.ceiling.mul_f64(fastrand::f64());
        if !error.is_passing() || Instant::now() + pause > self.deadline {
            return Err(self.give_up(error));
        }
        log::warn!("gateway {}: {error}; trying again", self.gateway);
        if self.stop.receiver().recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return Err(ClientError::Interrupted);
        }
        self.ceiling = (2 * self.ceiling).min(PAUSES.1);
        self.failures += 1;
        let turn = self.failures % self.options.gateways.len().max(1);
        self.gateway = self.options.gateways.get(turn).map_or(self.gateway, String::as_str);
        Ok(())
    }

    /// Names the gateway, where the error is about it.
    fn give_up(&self, error: ClientError) -> ClientError {
        if error.is_passing() || matches!(error, ClientError::Wire(_)) {
            return ClientError::Gateway { gateway: self.gateway.to_owned(), error: Box::new(error) };
        }
        error
    }
}
