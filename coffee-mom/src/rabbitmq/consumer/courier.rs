//! Makes deliveries of amiquip's: no byte of a body is copied, and what most messages have in common
//! is shared.

use std::mem;

use bytes::Bytes;

use crate::message::Message;
use crate::name::{Name, RoutingKey};
use crate::rabbitmq::convert;
use crate::rabbitmq::hub::Hub;
use crate::route::Route;

/// A delivery without its tag.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) message: Message,
    pub(super) route: Route,
    pub(super) redelivered: bool,
}

/// Converts and counts the deliveries of one consumer.
#[derive(Debug, Default)]
pub(super) struct Courier {
    /// The route of the last delivery, most often that of the next one too.
    route: Option<Route>,
    delivered: u64,
    redelivered: u64,
}

impl Courier {
    /// Takes out all but what the delivery is acked by. None: the broker can't mean it.
    pub(super) fn take(&mut self, delivery: &mut amiquip::Delivery) -> Option<Parcel> {
        let route = self.route(delivery)?;
        delivery.routing_key = String::new();
        delivery.exchange = String::new();
        let mut message = Message::new(Bytes::from(mem::take(&mut delivery.body)));
        let mut redelivered = delivery.redelivered;
        if has_properties(&delivery.properties) {
            let (properties, replayed) = convert::from_amqp(&mem::take(&mut delivery.properties));
            message = message.with(properties);
            redelivered |= replayed;
        }
        self.delivered += 1;
        self.redelivered += u64::from(redelivered);
        Some(Parcel { message, route, redelivered })
    }

    fn route(&mut self, delivery: &amiquip::Delivery) -> Option<Route> {
        if let Some(route) = &self.route
            && route.key().as_str() == delivery.routing_key
            && route.to_exchange().map_or("", Name::as_str) == delivery.exchange
        {
            return Some(route.clone());
        }
        let route = if delivery.exchange.is_empty() {
            Route::queue(&Name::new(&delivery.routing_key).ok()?)
        } else {
            Route::exchange(&Name::new(&delivery.exchange).ok()?, RoutingKey::new(&delivery.routing_key).ok()?)
        };
        Some(self.route.insert(route).clone())
    }

    /// Adds what has been delivered since the last time to the counts of the connection.
    pub(super) fn report(&mut self, hub: &Hub) {
        let (delivered, redelivered) = (mem::take(&mut self.delivered), mem::take(&mut self.redelivered));
        if delivered > 0 {
            hub.count(|stats| {
                stats.delivered += delivered;
                stats.redelivered += redelivered;
            });
        }
    }
}

/// Whether there is more than what a plain message has; converting costs more than all else.
fn has_properties(amqp: &amiquip::AmqpProperties) -> bool {
    amqp.headers().is_some()
        || amqp.message_id().is_some()
        || amqp.correlation_id().is_some()
        || amqp.reply_to().is_some()
        || amqp.content_type().is_some()
        || amqp.timestamp().is_some()
}
