//! What has been declared through a connection and still stands, to be declared again on a new link.

use std::collections::BTreeMap;

use crate::name::Name;
use crate::topology::{Binding, ExchangeSpec, QueueSpec};

/// The declarations by name, and the bindings in their order.
#[derive(Debug, Default)]
pub(super) struct Record {
    exchanges: BTreeMap<Name, ExchangeSpec>,
    queues: BTreeMap<Name, QueueSpec>,
    bindings: Vec<Bound>,
}

/// A binding of a queue to an exchange.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    pub(super) queue: Name,
    pub(super) exchange: Name,
    pub(super) binding: Binding,
}

impl Record {
    pub(super) fn add_exchange(&mut self, spec: &ExchangeSpec) {
        self.exchanges.insert(spec.name.clone(), spec.clone());
    }

    pub(super) fn add_queue(&mut self, name: &Name, spec: &QueueSpec) {
        self.queues.insert(name.clone(), spec.clone());
    }

    pub(super) fn add_binding(&mut self, bound: Bound) {
        if !self.bindings.contains(&bound) {
            self.bindings.push(bound);
        }
    }

    pub(super) fn remove_exchange(&mut self, name: &Name) {
        self.exchanges.remove(name);
        self.bindings.retain(|bound| bound.exchange != *name);
    }

    pub(super) fn remove_queue(&mut self, name: &Name) {
        self.queues.remove(name);
        self.bindings.retain(|bound| bound.queue != *name);
    }

    pub(super) fn remove_binding(&mut self, bound: &Bound) {
        self.bindings.retain(|known| known != bound);
    }

    pub(super) fn exchange(&self, name: &Name) -> Option<&ExchangeSpec> {
        self.exchanges.get(name)
    }

    pub(super) fn queue(&self, name: &Name) -> Option<&QueueSpec> {
        self.queues.get(name)
    }

    /// All that stands, to be walked through while the record is free for others.
    pub(super) fn all(&self) -> (Vec<ExchangeSpec>, Vec<(Name, QueueSpec)>, Vec<Bound>) {
        let queues = self.queues.iter().map(|(name, spec)| (name.clone(), spec.clone()));
        (self.exchanges.values().cloned().collect(), queues.collect(), self.bindings.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::ExchangeKind;

    #[test]
    fn what_is_deleted_takes_its_bindings_along() {
        let name = |text| Name::new(text).unwrap();
        let mut record = Record::default();
        record.add_exchange(&ExchangeSpec::new(name("x"), ExchangeKind::Fanout));
        record.add_exchange(&ExchangeSpec::new(name("y"), ExchangeKind::Fanout));
        for queue in ["a", "b"] {
            record.add_queue(&name(queue), &QueueSpec::named(name(queue)));
            for exchange in ["x", "y", "y"] {
                let bound = Bound { queue: name(queue), exchange: name(exchange), binding: Binding::default() };
                record.add_binding(bound);
            }
        }
        assert_eq!(record.all().2.len(), 4);
        record.remove_queue(&name("a"));
        record.remove_exchange(&name("x"));
        let (exchanges, queues, bindings) = record.all();
        assert_eq!((exchanges.len(), queues.len(), bindings.len()), (1, 1, 1));
        record.remove_binding(&bindings[0]);
        assert!(record.all().2.is_empty());
    }
}
