//! Nodes of the coffee shops' plan, by frames of any parts: rows are decoded by the types of their ports, and computed with.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::frame::frame;
use crate::{
    codec,
    exec::MemoryScratch,
    frame::{FrameReader, FrameWriter, JobHead, JobId, MAX_FRAME, Sinks},
    node::{Action, Event, Node, Record, ShardNode, Tag, WorkerNode},
    plan::{Role, Topology},
    sales::{Query, fused, sales_plan, staged},
    value::{Money, TimeOfDay},
};

const JOB: JobId = JobId { cluster: 7, number: 1 };

/// What a node may do before it is asked to forget the job.
const MOST_ACTIONS: usize = 1000;

static TOPOLOGIES: LazyLock<[Arc<Topology>; 2]> = LazyLock::new(|| {
    [fused(), staged()]
        .map(|placement| Arc::new(Topology::new(sales_plan().unwrap().plan, &placement.unwrap()).unwrap()))
});

/// Which stage of which placement, then the parts of a frame.
pub fn node(bytes: &[u8]) {
    let Some((number, parts)) = bytes.split_first() else { return };
    let stages = || TOPOLOGIES.iter().flat_map(|topology| (0..topology.stages().len()).map(move |at| (topology, at)));
    let Some((topology, stage)) = stages().nth(usize::from(*number) % stages().count()) else { return };
    let body = Bytes::from([&head(topology)[..], parts].concat());
    match topology.stages().get(stage).map(|stage| stage.role) {
        Some(Role::Stateful { .. }) => {
            let shard = || {
                let scratch = Box::new(|| Box::new(MemoryScratch::default()) as _);
                ShardNode::new(topology.clone(), stage as u16, 0, scratch).giving_up()
            };
            let mut restored = shard();
            let record = Record::Frame { job: JOB, body: body.clone() };
            let _ = restored.step(Event::Restored(record), &mut Vec::new());
            run(restored, Event::Idle);
            run(shard(), Event::Delivery { tag: Tag(1), body });
        }
        _ => run(WorkerNode::new(topology.clone()).giving_up(), Event::Delivery { tag: Tag(1), body }),
    }
}

/// A frame without parts.
fn head(topology: &Topology) -> Vec<u8> {
    let day = |text: &str| text.parse::<TimeOfDay>().unwrap();
    let (from, to) = (day("06:00:00"), day("23:00:00"));
    let query = Query { years: vec![2024, 2025], from, to, min_amount: "75".parse::<Money>().unwrap(), top: 3 };
    let mut parameters = Vec::new();
    codec::encode(&query, &mut parameters).unwrap();
    let head = JobHead { job: JOB, topology: topology.version(), sinks: Sinks::ALL, strict: false, parameters };
    FrameWriter::new(&head, Vec::new()).unwrap().finish()
}

/// Does what the node asks for, as a driver would; what it publishes can be read, and it acks once at most.
fn run(mut node: impl Node, event: Event) {
    let mut events = vec![event];
    let (mut done, mut acked) = (0, 0);
    while let Some(event) = events.pop().or_else(|| node.emits().map(|_| Event::Emit)).filter(|_| done < MOST_ACTIONS) {
        let mut actions = Vec::new();
        if node.step(event, &mut actions).is_err() {
            break;
        }
        done += 1 + actions.len();
        for action in actions {
            match action {
                Action::Publish { id, body, .. } => {
                    assert!(body.len() <= MAX_FRAME && FrameReader::new(&body).is_ok());
                    frame(&body);
                    events.push(Event::Confirmed(id));
                }
                Action::GiveUp { id, .. } => events.push(Event::Confirmed(id)),
                Action::Commit { group, .. } => events.push(Event::Committed(group)),
                Action::Ack(_) => acked += 1,
            }
        }
        if events.is_empty() && done < 4 {
            events.push(Event::Idle);
        }
    }
    assert!(acked <= 1, "acked {acked} times");
    let _ = node.step(Event::Forget(JOB), &mut Vec::new());
}
