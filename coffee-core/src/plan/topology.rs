//! A plan under a placement: stages, and the ports between them.

use std::sync::Arc;

use super::Plan;
use crate::{
    codec::DecodeError,
    exec::Place,
    frame::{Port, Stream},
};

/// An operator where it stands. A maximizer may stand twice: its partial instance ahead of itself.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub op: usize,
    pub partial: bool,
    pub stage: usize,
}

/// One end of a connection between instances, or the other end of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub from: usize,
    pub to: usize,
    pub input: usize,
    /// Set where rows cross between stages.
    pub port: Option<Port>,
    /// Whether it carries what was rejected.
    pub rejects: bool,
}

/// A connection across stages, or with the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortInfo {
    /// The sending instance; `None`: chunks from a client.
    pub from: Option<usize>,
    /// The receiving instance; `None`: results for a client.
    pub to: Option<usize>,
    pub input: usize,
    pub rejects: bool,
    /// Its first slot in the sending stage's outbox.
    pub first_slot: usize,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The queue of a stage's shard; shard 0 for a stateless stage.
    Stage {
        /// The stage's index.
        stage: u16,
        /// Which shard.
        shard: u16,
    },
    /// The client whose job it is.
    Client,
    /// Where people find what was given up.
    DeadLetters,
}

/// How a stage is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers batch by batch: so many replicas compete for one queue.
    Stateless {
        /// How many.
        replicas: u16,
    },
    /// Keeps state until its inputs end: so many shards, each with a queue of its own.
    Stateful {
        /// How many.
        shards: u16,
    },
}

/// An operator of a stage that is fed from outside the stage, and what depends on it within.
#[derive(Clone, Debug)]
pub struct HeadInfo {
    pub(crate) instance: usize,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

/// A node's share of the plan.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How it is multiplied.
    pub role: Role,
    /// Whether it runs where its chunks come in, without a queue.
    pub hosted: bool,
    pub(crate) combine: bool,
    pub(crate) heads: Vec<HeadInfo>,
    pub(crate) slots: usize,
}

impl Stage {
    /// How many queues it has: one a shard, one for all replicas, none where it is hosted.
    pub fn queues(&self) -> u16 {
        match self.role {
            _ if self.hosted => 0,
            Role::Stateless { .. } => 1,
            Role::Stateful { shards } => shards,
        }
    }
}

/// A source, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Its name.
    pub name: String,
    /// Where its chunks enter.
    pub port: Port,
    /// What its chunks are numbered in.
    pub stream: Stream,
    /// The stage that reads it.
    pub stage: u16,
}

/// A plan under a placement.
#[derive(Debug)]
pub struct Topology {
    pub(crate) plan: Arc<Plan>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) links: Vec<Link>,
    pub(crate) ports: Vec<PortInfo>,
    pub(super) stages: Vec<Stage>,
    pub(super) version: u64,
}

impl Topology {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The stages, in the placement's order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// A stage's name; empty where there is no such stage.
    pub fn stage_name(&self, stage: u16) -> &str {
        self.stages.get(usize::from(stage)).map(|stage| stage.name.as_str()).unwrap_or_default()
    }

    /// A number that two topologies share only if their frames mean the same (invariant 7).
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The sources, in plan order.
    pub fn sources(&self) -> Vec<SourceInfo> {
        let entering = |(at, port): (usize, &PortInfo)| {
            let to = port.to.filter(|_| port.from.is_none())?;
            let instance = self.instances.get(to)?;
            Some(SourceInfo {
                name: self.plan.ops.get(instance.op)?.name.clone(),
                port: Port(at as u16),
                stream: Stream { origin: to as u16, shard: 0 },
                stage: instance.stage as u16,
            })
        };
        self.ports.iter().enumerate().filter_map(entering).collect()
    }

    /// The stage that a port leads to; `None` for one to the client, or none at all.
    pub fn stage_of(&self, port: Port) -> Option<u16> {
        let to = self.port(port).ok()?.to?;
        Some(self.instances.get(to)?.stage as u16)
    }

    /// Whether a stage has sinks: its answers go to clients.
    pub fn has_sinks(&self, stage: u16) -> bool {
        let sends = |port: &PortInfo| {
            port.to.is_none()
                && port
                    .from
                    .and_then(|from| self.instances.get(from))
                    .is_some_and(|from| from.stage == usize::from(stage))
        };
        self.ports.iter().any(sends)
    }

    /// The port that carries a sink's result to the client.
    pub fn port_of(&self, sink: &str) -> Option<Port> {
        let ports = (0..self.ports.len()).map(|at| Port(at as u16));
        ports.into_iter().find(|port| self.sink_of(*port).is_ok_and(|name| name == sink))
    }

    /// The sink whose result a port carries to the client.
    ///
    /// # Errors
    /// Where it is no port to a client.
    pub fn sink_of(&self, port: Port) -> Result<&str, DecodeError> {
        let info = self.port(port)?;
        let sink = info.from.filter(|_| info.to.is_none()).and_then(|from| self.instances.get(from));
        let op =
            sink.and_then(|sink| self.plan.ops.get(sink.op)).ok_or(DecodeError::Unknown("a port to the client"))?;
        Ok(&op.name)
    }

    /// A stream for people: its origin, and which shard where that has several.
    pub fn name_of(&self, stream: Stream) -> String {
        let instance = self.instances.get(usize::from(stream.origin));
        let op = instance.and_then(|instance| self.plan.ops.get(instance.op));
        let (Some(instance), Some(op)) = (instance, op) else { return "an unknown stream".to_owned() };
        let partial = if instance.partial { ":partial" } else { "" };
        match self.shards(instance.stage) {
            1 => format!("{}{partial}", op.name),
            _ => format!("{}{partial}.{}", op.name, stream.shard),
        }
    }

    pub(crate) fn port(&self, port: Port) -> Result<&PortInfo, DecodeError> {
        self.ports.get(usize::from(port.0)).ok_or(DecodeError::Unknown("a port"))
    }

    pub(crate) fn place(&self, instance: usize) -> Place {
        let op = self.instances.get(instance).and_then(|instance| self.plan.ops.get(instance.op));
        op.map_or(Place::Stateless, |op| op.operator.place())
    }

    /// The streams that arrive at a port, in order; none where there is no such port.
    pub fn streams_of(&self, port: Port) -> Vec<Stream> {
        self.port(port).map(|info| self.streams(info)).unwrap_or_default()
    }

    /// The streams that arrive at a port: those of the origin upstream of it.
    pub(crate) fn streams(&self, port: &PortInfo) -> Vec<Stream> {
        let mut at = match (port.from, port.to) {
            (Some(from), _) => from,
            (None, Some(to)) => return vec![Stream { origin: to as u16, shard: 0 }],
            (None, None) => return Vec::new(),
        };
        // A stateless operator passes its input's stream on, so the origin lies further up.
        while self.place(at) == Place::Stateless {
            let Some(link) = self.links.iter().find(|link| link.to == at) else { break };
            at = link.from;
        }
        let shards = self.instances.get(at).map_or(1, |instance| self.shards(instance.stage));
        (0..shards).map(|shard| Stream { origin: at as u16, shard }).collect()
    }

    pub(crate) fn shards(&self, stage: usize) -> u16 {
        match self.stages.get(stage).map(|stage| stage.role) {
            Some(Role::Stateful { shards }) => shards,
            _ => 1,
        }
    }
}
