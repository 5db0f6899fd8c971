//! Puts a plan under a placement: finds each operator's stage, connects them, opens ports where rows cross between
//! stages, and lays out what each stage sends and receives.

use std::sync::Arc;

use super::{
    HeadInfo, Placement, PlacementError, Plan, Role, Stage, Topology,
    topology::{Instance, Link, PortInfo},
};
use crate::{
    exec::{EMITTED_BYTES, EMITTED_ROWS, Place},
    frame::{FORMAT, Port},
    hash,
};

impl Topology {
    /// Puts a plan under a placement.
    ///
    /// # Errors
    /// Where the placement leaves out or repeats an operator, or cuts where it can't be cut.
    pub fn new(plan: impl Into<Arc<Plan>>, placement: &Placement) -> Result<Self, PlacementError> {
        let plan = plan.into();
        let instances = place(&plan, placement)?;
        let links = connect(&plan, &instances)?;
        let mut topology = Topology { plan, instances, links, ports: Vec::new(), stages: Vec::new(), version: 0 };
        topology.open_ports()?;
        topology.stages = topology.lay_out(placement)?;
        topology.refuse_cycles()?;
        topology.version = topology.fingerprint(placement);
        Ok(topology)
    }

    /// Puts a plan under the placement that is computed for it: [`Placement::of`].
    ///
    /// # Errors
    /// Where its names are such that stages can't be told apart.
    pub fn of(plan: impl Into<Arc<Plan>>) -> Result<Arc<Self>, PlacementError> {
        let plan = plan.into();
        let placement = Placement::of(&plan);
        Self::new(plan, &placement).map(Arc::new)
    }

    /// The ports: chunks in, then between stages in plan order, then results out.
    fn open_ports(&mut self) -> Result<(), PlacementError> {
        let info = |from, to, input, rejects| PortInfo { from, to, input, rejects, first_slot: 0 };
        let by_place = |place| (0..self.instances.len()).filter(|at| self.place(*at) == place).collect::<Vec<_>>();
        let (sources, sinks) = (by_place(Place::Source), by_place(Place::Sink));
        self.ports.extend(sources.into_iter().map(|source| info(None, Some(source), 0, false)));
        for link in &mut self.links {
            let (Some(from), Some(to)) = (self.instances.get(link.from), self.instances.get(link.to)) else { continue };
            let op = &self.plan.ops[to.op];
            let inside = from.stage == to.stage;
            if inside && op.operator.place() != Place::Stateless {
                return Err(PlacementError::FedByOwnStage(op.name.clone()));
            }
            if !inside {
                link.port = Some(Port(self.ports.len() as u16));
                self.ports.push(info(Some(link.from), Some(link.to), link.input, link.rejects));
            }
        }
        self.ports.extend(sinks.into_iter().map(|sink| info(Some(sink), None, 0, false)));
        Ok(())
    }

    fn lay_out(&mut self, placement: &Placement) -> Result<Vec<Stage>, PlacementError> {
        let mut stages = Vec::new();
        for (at, placed) in placement.stages.iter().enumerate() {
            let heads = self.heads(at);
            let stateful = |head: &HeadInfo| matches!(self.place(head.instance), Place::Stateful | Place::Sink);
            let role = match heads.iter().filter(|head| stateful(head)).count() {
                0 => Role::Stateless { replicas: placed.replicas.unwrap_or(1) },
                all if all == heads.len() => Role::Stateful { shards: placed.shards.unwrap_or(1) },
                _ => return Err(PlacementError::Mixed(placed.name.clone())),
            };
            let sources = heads.iter().all(|head| self.place(head.instance) == Place::Source);
            let wrong = |what| Err(PlacementError::Stage { stage: placed.name.clone(), what });
            match role {
                _ if placed.hosted && !sources => {
                    return wrong("no place where chunks come in, so it can't be hosted there");
                }
                Role::Stateless { .. } if placed.shards.is_some() => {
                    return wrong("shards, but no state to spread over them");
                }
                Role::Stateful { .. } if placed.replicas.is_some() => {
                    return wrong("replicas, but state that is in one place only");
                }
                Role::Stateful { shards }
                    if shards > 1 && heads.iter().any(|head| self.place(head.instance) == Place::Sink) =>
                {
                    return wrong("shards, but results that are put in order in one place");
                }
                _ => {}
            }
            stages.push(Stage {
                name: placed.name.clone(),
                role,
                hosted: placed.hosted,
                combine: placed.combine,
                heads,
                slots: 0,
            });
        }
        let shards: Vec<u16> =
            stages.iter().map(|stage| if let Role::Stateful { shards } = stage.role { shards } else { 1 }).collect();
        for port in &mut self.ports {
            let Some(from) = port.from.and_then(|from| self.instances.get(from)) else { continue };
            let to = port.to.and_then(|to| self.instances.get(to)).and_then(|to| shards.get(to.stage));
            if let Some(stage) = stages.get_mut(from.stage) {
                port.first_slot = stage.slots;
                stage.slots += usize::from(to.copied().unwrap_or(1));
            }
        }
        Ok(stages)
    }

    /// Queues are bounded, so stages that feed each other in a circle could wait for each other for good.
    fn refuse_cycles(&self) -> Result<(), PlacementError> {
        let stage =
            |instance: Option<usize>| instance.and_then(|at| self.instances.get(at)).map(|instance| instance.stage);
        let edges: Vec<(usize, usize)> =
            self.ports.iter().filter_map(|port| Some((stage(port.from)?, stage(port.to)?))).collect();
        // Stages that nothing left feeds are taken away, until none is left, or only circles and what they feed.
        let mut left: Vec<usize> = (0..self.stages.len()).collect();
        loop {
            let fed: Vec<usize> = edges.iter().filter(|(from, _)| left.contains(from)).map(|(_, to)| *to).collect();
            let before = left.len();
            left.retain(|at| fed.contains(at));
            match left.first().and_then(|at| self.stages.get(*at)) {
                Some(stage) if left.len() == before => return Err(PlacementError::Circle(stage.name.clone())),
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// The instances of a stage that are fed from outside it.
    fn heads(&self, stage: usize) -> Vec<HeadInfo> {
        let of_stage = |at: &usize| self.instances[*at].stage == stage;
        let inputs = |at: usize| {
            let entering = self.ports.iter().enumerate().filter(move |(_, port)| port.to == Some(at));
            entering.map(|(port, _)| Port(port as u16)).collect::<Vec<_>>()
        };
        (0..self.instances.len())
            .filter(of_stage)
            .map(|at| (at, inputs(at)))
            .filter(|(_, inputs)| !inputs.is_empty())
            .map(|(at, inputs)| {
                let mut outputs = Vec::new();
                self.collect_outputs(at, &mut outputs);
                outputs.sort_unstable();
                HeadInfo { instance: at, inputs, outputs }
            })
            .collect()
    }

    fn collect_outputs(&self, instance: usize, outputs: &mut Vec<Port>) {
        for link in self.links.iter().filter(|link| link.from == instance) {
            match link.port {
                Some(port) => outputs.push(port),
                None => self.collect_outputs(link.to, outputs),
            }
        }
        let leaving =
            self.ports.iter().enumerate().filter(|(_, port)| port.from == Some(instance) && port.to.is_none());
        outputs.extend(leaving.map(|(at, _)| Port(at as u16)));
    }

    /// All that the meaning and the bytes of a frame depend on.
    fn fingerprint(&self, placement: &Placement) -> u64 {
        let plan: Vec<_> = self.plan.ops.iter().map(|op| (&op.name, &op.inputs)).collect();
        let stages: Vec<_> = self
            .stages
            .iter()
            .zip(&placement.stages)
            .map(|(stage, placed)| (&stage.name, &placed.operators, stage.combine, self.slots_of(stage)))
            .collect();
        let text = format!("{FORMAT} {} {EMITTED_ROWS} {EMITTED_BYTES} {plan:?} {stages:?}", env!("CARGO_PKG_VERSION"));
        hash::fnv1a(text.as_bytes())
    }

    /// Replicas don't change a frame, shards do.
    fn slots_of(&self, stage: &Stage) -> Option<u16> {
        if let Role::Stateful { shards } = stage.role { Some(shards) } else { None }
    }
}

/// Finds each operator's stage.
fn place(plan: &Plan, placement: &Placement) -> Result<Vec<Instance>, PlacementError> {
    const PARTIAL: &str = ":partial";
    let mut stages: Vec<[Option<usize>; 2]> = vec![[None, None]; plan.ops.len()];
    for (at, stage) in placement.stages.iter().enumerate() {
        for name in &stage.operators {
            let unknown = || PlacementError::UnknownOperator { stage: stage.name.clone(), operator: name.clone() };
            let (base, partial) = name.strip_suffix(PARTIAL).map_or((name.as_str(), false), |base| (base, true));
            let op = plan.ops.iter().position(|op| op.name == base).ok_or_else(unknown)?;
            if partial && !plan.ops[op].operator.hides_order() {
                return Err(unknown());
            }
            if stages[op][usize::from(partial)].replace(at).is_some() {
                return Err(PlacementError::PlacedTwice(name.clone()));
            }
        }
    }
    let mut instances = Vec::new();
    for (op, [whole, partial]) in stages.into_iter().enumerate() {
        instances.extend(partial.map(|stage| Instance { op, partial: true, stage }));
        let stage = whole.ok_or_else(|| PlacementError::NotPlaced(plan.ops[op].name.clone()))?;
        instances.push(Instance { op, partial: false, stage });
    }
    Ok(instances)
}

/// Connects the instances as the plan says, partial ones ahead of their whole.
fn connect(plan: &Plan, instances: &[Instance]) -> Result<Vec<Link>, PlacementError> {
    let find = |op, partial| instances.iter().position(|instance| instance.op == op && instance.partial == partial);
    let mut links = Vec::new();
    for (op, planned) in plan.ops.iter().enumerate() {
        for (input, from) in planned.inputs.iter().enumerate() {
            let missing = || PlacementError::NotPlaced(planned.name.clone());
            let (from, to) = (find(*from, false).ok_or_else(missing)?, find(op, false).ok_or_else(missing)?);
            let rejects = op + 1 == plan.ops.len(); // the sink for rejected rows is the last operator
            let mut link = |from, to| links.push(Link { from, to, input, port: None, rejects });
            match find(op, true) {
                Some(partial) => {
                    link(from, partial);
                    link(partial, to);
                }
                None => link(from, to),
            }
        }
    }
    Ok(links)
}
