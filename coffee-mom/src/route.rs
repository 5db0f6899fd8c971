//! Where a message is published to: an exchange and a key, or straight to a queue.

use std::fmt;
use std::sync::Arc;

use crate::name::{Name, RoutingKey};

/// Where a message is published to, and what its receiver sees of that.
///
/// Make it once and keep it: cloning shares it, and brokers remember by it where it leads.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Route(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    exchange: Option<Name>,
    key: RoutingKey,
}

impl Route {
    /// Straight to one queue, by its name.
    #[must_use]
    pub fn queue(queue: &Name) -> Self {
        Self(Arc::new(Parts { exchange: None, key: queue.clone().into() }))
    }

    /// To an exchange, which passes it on by its bindings.
    #[must_use]
    pub fn exchange(exchange: &Name, key: RoutingKey) -> Self {
        Self(Arc::new(Parts { exchange: Some(exchange.clone()), key }))
    }

    /// The exchange; none for a route straight to a queue.
    #[must_use]
    pub fn to_exchange(&self) -> Option<&Name> {
        self.0.exchange.as_ref()
    }

    /// The routing key; the queue's name for a route straight to a queue.
    #[must_use]
    pub fn key(&self) -> &RoutingKey {
        &self.0.key
    }

    /// Whether both are one shared value: true only if they are equal, and without comparing text.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.exchange {
            Some(exchange) => write!(f, "exchange {exchange}, key {:?}", self.0.key),
            None => write!(f, "queue {}", self.0.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_route_has_the_queue_as_key() {
        let name = Name::new("orders").unwrap();
        let route = Route::queue(&name);
        assert_eq!(route.to_exchange(), None);
        assert_eq!(route.key().as_str(), "orders");
        assert_eq!(route.to_string(), "queue orders");
    }

    #[test]
    fn clones_are_the_same_and_equals_need_not_be() {
        let name = Name::new("orders").unwrap();
        let route = Route::queue(&name);
        assert!(route.same(&route.clone()));
        assert!(!route.same(&Route::queue(&name)));
        assert_eq!(route, Route::queue(&name));
        assert_ne!(route, Route::exchange(&name, RoutingKey::new("orders").unwrap()));
    }
}
