//! Tells something to all who listen at a fanout exchange. Nobody depends on what is told: who misses it finds out by asking.

use std::time::{Duration, Instant};

use coffee_core::codec;
use coffee_mom::{Broker, Message, Name, Producer, ProducerOptions, Route, RoutingKey, Settled};
use crossbeam_channel::Receiver;
use serde::Serialize;

use super::{ListenError, listener::declare_fanout};

/// Tells things. One owner.
pub(crate) struct Teller {
    producer: Box<dyn Producer>,
    route: Route,
}

impl Teller {
    /// Declares the exchange, and tells there.
    pub fn new(broker: &dyn Broker, exchange: &Name) -> Result<Self, ListenError> {
        declare_fanout(broker, exchange)?;
        // Nobody may be there to listen, and nobody who is not there is to hear it later.
        let producer = broker.producer(ProducerOptions::default().mandatory(false).persistent(false))?;
        Ok(Teller { producer, route: Route::exchange(exchange, RoutingKey::default()) })
    }

    /// Tells something, or drops it where the broker does not take it within `patience`, or nobody takes what has
    /// [settled](Self::settled).
    pub fn tell(&mut self, what: &(impl Serialize + std::fmt::Debug), patience: Duration) {
        let mut body = Vec::new();
        if let Err(error) = codec::encode(what, &mut body) {
            return log::error!("{what:?} is not told: {error}");
        }
        if let Err(error) = self.producer.publish(&self.route, Message::new(body), Instant::now() + patience) {
            log::debug!("{what:?} is not told: {error}");
        }
    }

    /// What became of what was told: to be taken out by whoever waits for other things, who may look whether it was refused. Disconnected
    /// where the broker is closed.
    pub fn settled(&self) -> &Receiver<Settled> {
        self.producer.settled()
    }
}
