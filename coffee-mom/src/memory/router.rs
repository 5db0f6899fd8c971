//! A producer's memory of where its routes lead, so that publishing takes no lock but the queue's.

use std::collections::HashMap;
use std::sync::Arc;

use crate::message::Message;
use crate::producer::PublishError;
use crate::route::Route;

use super::core::Core;
use super::queue::Queue;
use super::registry::{Resolved, Targets};

/// Most routes kept; a producer with ever new keys starts over.
const MAX_ROUTES: usize = 1024;

/// Where routes lead, as of one version of the registry.
#[derive(Debug, Default)]
pub(super) struct Router {
    version: u64,
    last: Option<Last>,
    known: HashMap<Route, Targets>,
}

#[derive(Debug)]
struct Last {
    route: Route,
    resolved: Resolved,
}

impl Router {
    /// Where a message published to `route` goes now.
    pub(super) fn resolve(
        &mut self,
        core: &Core,
        route: &Route,
        message: &Message,
    ) -> Result<&[Arc<Queue>], PublishError> {
        let version = core.version();
        if version != self.version {
            *self = Self { version, ..Self::default() };
        }
        let again = matches!(&self.last, Some(l) if l.resolved.by_route && l.route.same(route));
        if !again {
            let resolved = self.look_up(core, route, message)?;
            self.last = Some(Last { route: route.clone(), resolved });
        }
        Ok(self.last.as_ref().map_or(&[], |last| &last.resolved.targets))
    }

    fn look_up(&mut self, core: &Core, route: &Route, message: &Message) -> Result<Resolved, PublishError> {
        if let Some(targets) = self.known.get(route) {
            return Ok(Resolved { targets: targets.clone(), by_route: true });
        }
        let resolved = core.read(|registry| registry.resolve(route, message))?;
        if resolved.by_route {
            if self.known.len() >= MAX_ROUTES {
                self.known.clear();
            }
            self.known.insert(route.clone(), resolved.targets.clone());
        }
        Ok(resolved)
    }
}
