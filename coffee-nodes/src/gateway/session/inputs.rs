//! What feeds the stages of a job: how many batches each chunk of a table makes where.
//!
//! Each chunk of a table is a batch, and every shard that is fed from it gets an answer to it, if an empty one. What other stages
//! emit is not foreseen, so of a stage that is fed from those it is not known how much comes.

use coffee_core::{
    frame::Port,
    plan::{Job, SourceInfo, Topology},
};

use crate::statistics::{FedWork, GATEWAY, MOST_STAGES, MOST_TABLES, StageWork, Work};

/// The stages of a job, in the order of the topology, without work.
pub(super) struct Inputs(Vec<FedWork>);

impl Inputs {
    /// Of a job that sends these sources' chunks.
    pub fn new(topology: &Topology, job: &Job, sources: &[SourceInfo]) -> Self {
        let ports = (0..=u16::MAX).map(Port).take_while(|port| !topology.streams_of(*port).is_empty());
        let ports: Vec<Port> = ports.filter(|port| job.uses(topology, *port)).collect();
        let mut stages = vec![fed(GATEWAY, vec![1; sources.len()])];
        for (at, stage) in (0..).zip(topology.stages()).filter(|(_, stage)| !stage.hosted) {
            let leads_here = |port: &&Port| topology.stage_of(**port) == Some(at);
            let inputs: Vec<Port> = ports.iter().filter(leads_here).copied().collect();
            if !inputs.is_empty() {
                stages.push(fed(
                    &stage.name,
                    chunks(topology, &inputs, sources, stage.queues().into()).unwrap_or_default(),
                ));
            }
        }
        Inputs(stages)
    }

    /// With this work, of all stages; nothing where nothing was heard of any.
    pub fn with(&self, work: &[StageWork]) -> Vec<FedWork> {
        if work.is_empty() {
            return Vec::new();
        }
        let done = |stage: &str| work.iter().find(|it| it.stage == stage).map(|it| it.work).unwrap_or_default();
        self.0.iter().take(MOST_STAGES).map(|input| FedWork { work: done(&input.stage), ..input.clone() }).collect()
    }
}

fn fed(stage: &str, chunks: Vec<u64>) -> FedWork {
    let chunks = if chunks.len() > MOST_TABLES { Vec::new() } else { chunks };
    FedWork { stage: stage.to_owned(), work: Work::default(), chunks }
}

/// By table, how many batches one of its chunks makes at these ports of a stage with so many queues; `None` where what comes is
/// not a table's.
fn chunks(topology: &Topology, inputs: &[Port], sources: &[SourceInfo], queues: u64) -> Option<Vec<u64>> {
    let mut chunks = vec![0; sources.len()];
    for stream in inputs.iter().flat_map(|port| topology.streams_of(*port)) {
        let table = sources.iter().position(|source| source.stream == stream)?;
        *chunks.get_mut(table)? += queues;
    }
    Some(chunks)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffee_core::{
        frame::{JobHead, JobId, Sinks},
        plan::Placement,
        sales::{Query, fused, sales_plan, staged},
    };

    use super::*;

    /// By stage, what each chunk of these tables makes there.
    fn chunks_of(placement: &Placement, tables: [&str; 2]) -> Vec<(String, Vec<u64>)> {
        let plan = Arc::new(sales_plan().unwrap().plan);
        let [from, to] = ["06:00:00", "23:00:00"].map(|time| time.parse().unwrap());
        let query = Query { years: vec![2024], from, to, min_amount: "75".parse().unwrap(), top: 3 };
        let parameters = plan.encode_parameters(&query).unwrap();
        let topology = Topology::new(plan, placement).unwrap();
        let job = JobId { cluster: 1, number: 1 };
        let head = JobHead { job, topology: topology.version(), sinks: Sinks::ALL, strict: false, parameters };
        let job = Job::new(&topology, &head).unwrap();
        let sources = job.sources(&topology);
        let at = tables.map(|table| sources.iter().position(|source| source.name == table).unwrap());
        let inputs = Inputs::new(&topology, &job, &sources);
        let chunks = |input: FedWork| at.iter().filter_map(|at| input.chunks.get(*at).copied()).collect();
        inputs.0.into_iter().map(|input| (input.stage.clone(), chunks(input))).collect()
    }

    fn at<'a>(inputs: &'a [(String, Vec<u64>)], stage: &str) -> &'a [u64] {
        &inputs.iter().find(|(name, _)| name == stage).unwrap().1
    }

    const TABLES: [&str; 2] = ["transactions", "transaction_items"];

    #[test]
    fn what_comes_to_a_stage_follows_from_the_tables_chunks() {
        let inputs = chunks_of(&fused().unwrap(), TABLES);
        assert_eq!(inputs[0], ("gateway".to_owned(), vec![1, 1]));
        assert!(inputs.iter().all(|(stage, _)| stage != "scan"), "it is hosted");
        // Two operators take transactions, one takes items, on two shards each.
        assert_eq!(at(&inputs, "groups"), [4, 2]);
        for fed_by_others in ["tops", "store-names", "names", "results"] {
            assert_eq!(at(&inputs, fed_by_others), [0; 0]);
        }
    }

    #[test]
    fn replicas_share_what_shards_all_get() {
        let inputs = chunks_of(&staged().unwrap(), TABLES);
        assert_eq!((at(&inputs, "filter-year"), at(&inputs, "filter-items-year")), (&[1, 0][..], &[0, 1][..]));
        assert_eq!((at(&inputs, "aggregate-tpv"), at(&inputs, "top-buyers")), (&[2, 0][..], &[][..]));
    }

    #[test]
    fn stages_without_work_are_told_only_beside_others() {
        let inputs = Inputs(vec![fed("gateway", vec![1]), fed("groups", vec![0; MOST_TABLES + 1])]);
        assert!(inputs.with(&[]).is_empty());
        let work = Work { batches: 3, ..Work::default() };
        let told = inputs.with(&[StageWork { stage: "groups".into(), work }, StageWork { stage: "no".into(), work }]);
        assert_eq!(told, [fed("gateway", vec![1]), FedWork { work, ..fed("groups", Vec::new()) }]);
    }
}
