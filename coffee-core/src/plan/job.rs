//! What one job uses of a topology, and its operators built for it.

use std::any::Any;

use super::{Role, SourceInfo, Topology, topology::HeadInfo};
use crate::{
    codec::DecodeError,
    exec::{AnyPush, Context, Edge, Head, Outbox, Place, Scratch, UNCOUNTED},
    frame::{JobHead, Port, Sinks},
};

/// One job's parameters, and the part of the plan that leads to the sinks that it asks for.
pub struct Job {
    parameters: Box<dyn Any + Send + Sync>,
    active: Vec<bool>,
    /// By operator: whether this join reports the duplicates of its table.
    reports: Vec<bool>,
}

impl Job {
    /// Decodes a job's parameters and finds what it needs.
    ///
    /// # Errors
    /// Where the parameters are not those of this plan.
    pub fn new(topology: &Topology, head: &JobHead) -> Result<Self, DecodeError> {
        let plan = &topology.plan;
        let parameters = (plan.decode_parameters)(&mut head.parameters.as_slice())?;
        let active = active(topology, head.sinks);
        let mut claimed = Vec::new();
        let mut reports = vec![false; plan.ops.len()];
        for (at, op) in plan.ops.iter().enumerate().filter(|(at, _)| active.get(*at) == Some(&true)) {
            if let Some(table) =
                op.inputs.get(1).and_then(|build| plan.source_of(*build)).filter(|table| !claimed.contains(table))
                && op.operator.place() == Place::Stateful
            {
                claimed.push(table);
                reports[at] = true;
            }
        }
        Ok(Job { parameters, active, reports })
    }

    /// Whether the job has anything to do with what goes through a port.
    pub fn uses(&self, topology: &Topology, port: Port) -> bool {
        let needed = |instance: Option<usize>| {
            instance.is_none_or(|at| {
                topology.instances.get(at).is_some_and(|instance| self.active.get(instance.op) == Some(&true))
            })
        };
        topology.port(port).is_ok_and(|port| needed(port.from) && needed(port.to))
    }

    /// The sources that the job needs, those first whose rows are only ever looked up: so probes rarely wait.
    pub fn sources(&self, topology: &Topology) -> Vec<SourceInfo> {
        let mut sources: Vec<SourceInfo> =
            topology.sources().into_iter().filter(|source| self.uses(topology, source.port)).collect();
        sources.sort_by_key(|source| !self.only_looked_up(topology, usize::from(source.stream.origin)));
        sources
    }

    fn only_looked_up(&self, topology: &Topology, instance: usize) -> bool {
        let mut links = topology.links.iter().filter(|link| link.from == instance && !link.rejects);
        links.all(|link| match topology.place(link.to) {
            Place::Stateless => self.only_looked_up(topology, link.to),
            _ => link.input > 0,
        })
    }

    /// An outbox for a stage.
    pub(crate) fn outbox(&self, topology: &Topology, stage: usize) -> Outbox {
        let (slots, emits) = topology
            .stages()
            .get(stage)
            .map_or((0, false), |stage| (stage.slots, matches!(stage.role, Role::Stateful { .. })));
        Outbox::new(slots, topology.plan.ops.len() as u16, emits)
    }

    /// Builds an operator of a stage with the chain behind it.
    pub(crate) fn head(
        &self,
        topology: &Topology,
        head: &HeadInfo,
        scratch: &dyn Fn() -> Box<dyn Scratch>,
    ) -> Option<Head> {
        let instance = topology.instances.get(head.instance)?;
        let operator = &topology.plan.ops.get(instance.op)?.operator;
        Some(
            operator.head(
                &self.context(topology, head.instance, scratch),
                self.followers(topology, head.instance, scratch),
            ),
        )
    }

    fn followers(&self, topology: &Topology, at: usize, scratch: &dyn Fn() -> Box<dyn Scratch>) -> Vec<AnyPush> {
        let inner = topology.links.iter().filter(|link| link.from == at && !link.rejects).filter_map(|link| {
            let op = topology.plan.ops.get(topology.instances.get(link.to)?.op)?;
            match link.port {
                Some(port) => self.uses(topology, port).then(|| self.edge(topology, port, scratch))?,
                None if self.active.get(topology.instances.get(link.to)?.op) == Some(&true) => {
                    let followers = self.followers(topology, link.to, scratch);
                    op.operator.link(&self.context(topology, link.to, scratch), followers)
                }
                None => None,
            }
        });
        let leaving = (0..topology.ports.len()).map(|port| Port(port as u16));
        let leaving =
            leaving.filter(|port| topology.port(*port).is_ok_and(|port| port.from == Some(at) && port.to.is_none()));
        inner.chain(leaving.filter_map(|port| self.edge(topology, port, scratch))).collect()
    }

    /// The sending side of a port. To the client, a sink encodes for itself.
    fn edge(&self, topology: &Topology, port: Port, scratch: &dyn Fn() -> Box<dyn Scratch>) -> Option<AnyPush> {
        let info = topology.port(port).ok()?;
        let from = topology.instances.get(info.from?)?;
        let to = topology.instances.get(info.to.or(info.from)?)?;
        let stage = topology.stages().get(from.stage)?;
        let shards = info.to.map_or(1, |_| topology.shards(to.stage));
        let edge = Edge { first_slot: info.first_slot, shards, combine: stage.combine, partial: to.partial };
        let mut context = self.context(topology, info.to.or(info.from)?, scratch);
        // Rows count once as an operator's input: where they first set out for it.
        context.index = if from.partial || info.to.is_none() { UNCOUNTED } else { to.op as u16 };
        Some(topology.plan.ops.get(to.op)?.operator.edge(&context, info.input, edge))
    }

    fn context<'a>(&'a self, topology: &Topology, at: usize, scratch: &'a dyn Fn() -> Box<dyn Scratch>) -> Context<'a> {
        let instance = topology.instances.get(at);
        let (op, partial) = instance.map_or((0, false), |instance| (instance.op, instance.partial));
        let reject = topology.ports.iter().find(|port| port.rejects && port.from == Some(at));
        Context {
            parameters: &*self.parameters,
            index: if partial { UNCOUNTED } else { op as u16 },
            rejects: reject.map(|port| port.first_slot),
            order_free: self.order_free(topology, at),
            reports: self.reports.get(op) == Some(&true),
            scratch,
        }
    }

    /// Whether everything that an instance emits goes into edges that combine and hide its order.
    fn order_free(&self, topology: &Topology, at: usize) -> bool {
        let stage = topology.instances.get(at).and_then(|instance| topology.stages().get(instance.stage));
        let Some(stage) = stage.filter(|stage| stage.combine) else { return false };
        let Some(head) = stage.heads.iter().find(|head| head.instance == at) else { return false };
        head.outputs.iter().filter(|port| self.uses(topology, **port)).all(|port| {
            let to = topology.port(*port).ok().and_then(|port| topology.instances.get(port.to?));
            to.and_then(|to| topology.plan.ops.get(to.op)).is_some_and(|op| op.operator.hides_order())
        })
    }
}

/// Which operators lead to a sink that is asked for; the sink for rejected rows always is, and asks for none.
fn active(topology: &Topology, sinks: Sinks) -> Vec<bool> {
    let plan = &topology.plan;
    let mut active = vec![false; plan.ops.len()];
    let mut wanted: Vec<usize> =
        plan.sinks.iter().enumerate().filter(|(index, _)| sinks.contains(*index)).map(|(_, op)| *op).collect();
    while let Some(op) = wanted.pop() {
        if let Some(seen) = active.get_mut(op).filter(|seen| !**seen) {
            *seen = true;
            wanted.extend(plan.ops.get(op).into_iter().flat_map(|op| &op.inputs));
        }
    }
    if let Some(rejected) = active.last_mut() {
        *rejected = true;
    }
    active
}
