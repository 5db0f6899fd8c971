//! What is declared in one in-process broker: queues, exchanges, bindings. Says where a route leads.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::{AttachError, BindError, DeclareError, DeleteError};
use crate::message::{Message, check_headers};
use crate::name::Name;
use crate::producer::PublishError;
use crate::route::Route;
use crate::topology::{Binding, DeleteOptions, ExchangeKind, ExchangeSpec, QueueKind, QueueSpec};

use super::matching;
use super::queue::Queue;

/// Queues in the order of their ids, each once.
pub(super) type Targets = Arc<[Arc<Queue>]>;

#[derive(Debug)]
struct Exchange {
    spec: ExchangeSpec,
    bindings: Vec<(Binding, Arc<Queue>)>,
}

/// The declared things by name.
#[derive(Debug, Default)]
pub(super) struct Registry {
    queues: HashMap<Name, Arc<Queue>>,
    exchanges: HashMap<Name, Exchange>,
}

/// Where a route leads.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) targets: Targets,
    /// Whether that depends on the route alone, not on the message.
    pub(super) by_route: bool,
}

impl Registry {
    /// Declares a queue of that name; `id` is for a new one.
    pub(super) fn declare_queue(
        &mut self,
        name: Name,
        spec: &QueueSpec,
        connection: u64,
        id: u64,
    ) -> Result<(), DeclareError> {
        if let Some(queue) = self.queues.get(&name) {
            return match queue {
                queue if !queue.is_open_to(connection) => Err(DeclareError::Exclusive(name)),
                queue if queue.spec != *spec => Err(DeclareError::Conflict(name)),
                _ => Ok(()),
            };
        }
        if spec.kind == QueueKind::Quorum && (spec.exclusive || !spec.durable) {
            return Err(DeclareError::Quorum);
        }
        if spec.max_messages == 0 || spec.max_bytes == 0 {
            return Err(DeclareError::NoRoom);
        }
        let owner = spec.exclusive.then_some(connection);
        let queue = Queue::new(id, name.clone(), spec.clone(), owner);
        self.queues.insert(name, Arc::new(queue));
        Ok(())
    }

    pub(super) fn declare_exchange(&mut self, spec: &ExchangeSpec) -> Result<(), DeclareError> {
        match self.exchanges.get(&spec.name) {
            Some(exchange) if exchange.spec == *spec => Ok(()),
            Some(_) => Err(DeclareError::Conflict(spec.name.clone())),
            None if spec.name.is_reserved() => Err(DeclareError::Reserved(spec.name.clone())),
            None => {
                let exchange = Exchange { spec: spec.clone(), bindings: Vec::new() };
                self.exchanges.insert(spec.name.clone(), exchange);
                Ok(())
            }
        }
    }

    pub(super) fn bind(
        &mut self,
        queue: &Name,
        exchange: &Name,
        binding: &Binding,
        connection: u64,
    ) -> Result<(), BindError> {
        if let Binding::Headers(_, headers) = binding {
            check_headers(headers)?;
        }
        let queue = self.queue_to_bind(queue, connection)?;
        let found = self.exchanges.get_mut(exchange);
        let found = found.ok_or_else(|| BindError::UnknownExchange(exchange.clone()))?;
        if !matching::suits(found.spec.kind, binding) {
            return Err(BindError::Mismatch(exchange.clone()));
        }
        let bound = found.bindings.iter().any(|(b, q)| b == binding && q.id == queue.id);
        if !bound {
            found.bindings.push((binding.clone(), queue));
        }
        Ok(())
    }

    /// Takes a binding out, if it is there.
    pub(super) fn unbind(
        &mut self,
        queue: &Name,
        exchange: &Name,
        binding: &Binding,
        connection: u64,
    ) -> Result<(), BindError> {
        let queue = match self.queue_to_bind(queue, connection) {
            Err(BindError::UnknownQueue(_)) => return Ok(()),
            found => found?,
        };
        if let Some(found) = self.exchanges.get_mut(exchange) {
            found.bindings.retain(|(b, q)| b != binding || q.id != queue.id);
        }
        Ok(())
    }

    fn queue_to_bind(&self, name: &Name, connection: u64) -> Result<Arc<Queue>, BindError> {
        self.queue(name, connection).map_err(|error| match error {
            AttachError::Exclusive(name) => BindError::Exclusive(name),
            _ => BindError::UnknownQueue(name.clone()),
        })
    }

    /// Takes a queue out and ends what is in it.
    pub(super) fn delete_queue(
        &mut self,
        name: &Name,
        options: DeleteOptions,
        connection: u64,
    ) -> Result<(), DeleteError> {
        let Some(queue) = self.queues.get(name) else {
            return Ok(());
        };
        if !queue.is_open_to(connection) {
            return Err(DeleteError::Exclusive(name.clone()));
        }
        // What is looked at and what is deleted must be one state.
        queue.with(|state| {
            let status = state.status();
            if options.if_unused && status.consumers > 0 {
                return Err(DeleteError::InUse(name.clone()));
            }
            if options.if_empty && status.ready > 0 {
                return Err(DeleteError::NotEmpty(name.clone()));
            }
            state.delete();
            Ok(())
        })?;
        self.forget_queue(name);
        Ok(())
    }

    fn forget_queue(&mut self, name: &Name) -> Option<Arc<Queue>> {
        let queue = self.queues.remove(name)?;
        for exchange in self.exchanges.values_mut() {
            exchange.bindings.retain(|(_, bound)| bound.id != queue.id);
        }
        Some(queue)
    }

    pub(super) fn delete_exchange(&mut self, name: &Name) {
        self.exchanges.remove(name);
    }

    /// Takes out the queues that are exclusive to a connection, and ends them.
    pub(super) fn delete_owned(&mut self, connection: u64) {
        let owned = self.queues.values().filter(|queue| queue.owner == Some(connection));
        for name in owned.map(|queue| queue.name.clone()).collect::<Vec<_>>() {
            if let Some(queue) = self.forget_queue(&name) {
                queue.with(|state| state.detach_connection(connection));
                queue.with(|state| state.delete());
            }
        }
    }

    pub(super) fn all_queues(&self) -> Vec<Arc<Queue>> {
        self.queues.values().cloned().collect()
    }

    pub(super) fn queue(&self, name: &Name, connection: u64) -> Result<Arc<Queue>, AttachError> {
        match self.queues.get(name) {
            None => Err(AttachError::UnknownQueue(name.clone())),
            Some(queue) if !queue.is_open_to(connection) => Err(AttachError::Exclusive(name.clone())),
            Some(queue) => Ok(queue.clone()),
        }
    }

    /// Where a message published to `route` goes.
    pub(super) fn resolve(&self, route: &Route, message: &Message) -> Result<Resolved, PublishError> {
        let Some(name) = route.to_exchange() else {
            let queue = Name::new(route.key().as_str()).ok();
            let queue = queue.and_then(|name| self.queues.get(&name));
            return Ok(Resolved { targets: queue.cloned().into_iter().collect(), by_route: true });
        };
        let exchange = self.exchanges.get(name);
        let exchange = exchange.ok_or_else(|| PublishError::UnknownExchange(name.clone()))?;
        let kind = exchange.spec.kind;
        let matched =
            exchange.bindings.iter().filter(|(binding, _)| matching::matches(kind, binding, route.key(), message));
        let mut targets: Vec<_> = matched.map(|(_, queue)| queue.clone()).collect();
        targets.sort_by_key(|queue| queue.id);
        targets.dedup_by_key(|queue| queue.id);
        Ok(Resolved { targets: targets.into(), by_route: kind != ExchangeKind::Headers })
    }
}
