//! One gateway after the other, with pauses, for as long as there is hope.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::{ClientError, ClientOptions};
use crate::Stop;

/// The longest pause after a first failure, and after many.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// The attempts of one call.
pub(super) struct Tries<'a> {
    pub options: &'a ClientOptions,
    pub stop: &'a Stop,
    gateway: &'a str,
    failures: usize,
    /// Whether any gateway has ever answered.
    reached: bool,
    /// Whether it was said that a gateway is waited for.
    told: bool,
    /// The longest that the next pause can be.
    ceiling: Duration,
    /// Gives up then, if it gets nowhere.
    deadline: Instant,
}

impl<'a> Tries<'a> {
    /// Begins with the first gateway.
    pub fn new(options: &'a ClientOptions, stop: &'a Stop) -> Result<Self, ClientError> {
        let gateway = options.gateways.first().ok_or(ClientError::NoGateway)?;
        let deadline = Instant::now() + options.first;
        Ok(Tries { options, stop, gateway, failures: 0, reached: false, told: false, ceiling: PAUSES.0, deadline })
    }

    /// The one to try.
    pub fn gateway(&self) -> &'a str {
        self.gateway
    }

    /// How long a gateway may take for what it says next. Before any has greeted it is so short that one that takes
    /// connections and says nothing leaves time for each of the others, and for itself again.
    pub fn patience(&self) -> Duration {
        let ClientOptions { patience, first, gateways, .. } = self.options;
        if self.reached { *patience } else { first.div_f64(gateways.len() as f64 + 1.0).min(*patience) }
    }

    /// A gateway has answered, whatever it will say: they are there.
    pub fn reached(&mut self) {
        if !std::mem::replace(&mut self.reached, true) {
            self.deadline = Instant::now() + self.options.limit;
        }
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
            self.told = false;
            self.deadline = Instant::now() + self.options.limit;
        }
        let pause = self.ceiling.mul_f64(fastrand::f64());
        if !self.is_hopeful(&error) || Instant::now() + pause > self.deadline {
            return Err(self.give_up(error));
        }
        self.tell(&error);
        if self.stop.receiver().recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return Err(ClientError::Interrupted);
        }
        self.ceiling = (2 * self.ceiling).min(PAUSES.1);
        self.failures += 1;
        let turn = self.failures % self.options.gateways.len().max(1);
        self.gateway = self.options.gateways.get(turn).map_or(self.gateway, String::as_str);
        Ok(())
    }

    /// Whether the next gateway, or the same one later, may do better. Who trusts none at first has each of them tried once.
    fn is_hopeful(&self, error: &ClientError) -> bool {
        let others = self.failures + 1 < self.options.gateways.len();
        error.is_passing() || (error.is_distrust() && (self.reached || others))
    }

    /// Says once that it is waited, however many attempts that takes.
    fn tell(&mut self, error: &ClientError) {
        if std::mem::replace(&mut self.told, true) {
            return log::debug!("gateway {}: {error}; trying again", self.gateway);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        log::warn!("gateway {}: {error}; trying again for up to {:.0} s", self.gateway, left.as_secs_f64());
    }

    /// Names the gateway, where the error is about it.
    fn give_up(&self, error: ClientError) -> ClientError {
        if error.is_passing() || matches!(error, ClientError::Wire(_)) {
            return ClientError::Gateway { gateway: self.gateway.to_owned(), error: Box::new(error) };
        }
        error
    }
}
