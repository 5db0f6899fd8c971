//! Drives a plan's nodes on the calling thread, without threads, broker and disk: so what is measured is their own work,
//! frames included. Nothing here measures.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use coffee::core::{
    exec::MemoryScratch,
    frame::{ChunkMeta, FrameReader, FrameWriter, JobHead, JobId, PartMeta, Sinks},
    node::{Action, EntryNode, Event, Node, ShardNode, Tag},
    plan::{Role, SourceInfo, Target, Topology},
    source::{Chunk, Rows, Source},
};

/// Rows of a chunk: about what 1 MiB of CSV has.
const CHUNK_ROWS: usize = 16 << 10;

/// Yields rows that lie in memory already. A chunk has no data; its first line says which rows are meant.
pub struct InMemory<R>(pub Arc<Vec<R>>);

impl<R: Clone + Send + Sync + 'static> Source for InMemory<R> {
    type Row = R;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, R>) {
        let start = chunk.first_line as usize;
        let end = (start + CHUNK_ROWS).min(self.0.len());
        self.0[start..end].iter().for_each(|row| rows.push(row.clone()));
    }
}

/// A plan's nodes, to be run on sources of this many rows each, in plan order.
pub struct Pump {
    topology: Arc<Topology>,
    frames: Vec<Bytes>,
}

impl Pump {
    pub fn new(topology: Topology, rows: &[usize]) -> Self {
        let job = JobId { cluster: 0, number: 1 };
        let head =
            JobHead { job, topology: topology.version(), sinks: Sinks::ALL, strict: false, parameters: Vec::new() };
        let sources = topology.sources();
        let frames = sources.iter().zip(rows).flat_map(|(source, rows)| frames(&head, source, *rows)).collect();
        Pump { topology: Arc::new(topology), frames }
    }

    /// Runs the whole job. Returns how many rows came out.
    pub fn run(&self) -> u64 {
        let mut entry = EntryNode::new(self.topology.clone());
        let mut shards = self.shards();
        let mut queue = VecDeque::new();
        let mut out = 0;
        for frame in &self.frames {
            step(&mut entry, delivery(frame), &mut queue);
            out += settle(&mut shards, &mut queue);
        }
        step(&mut entry, Event::Idle, &mut queue);
        loop {
            out += settle(&mut shards, &mut queue);
            shards.values_mut().for_each(|shard| step(shard, Event::Idle, &mut queue));
            if queue.is_empty() {
                return out;
            }
        }
    }

    /// Runs the node where chunks come in, alone. Returns how many bytes it publishes.
    pub fn run_entry(&self) -> usize {
        let mut entry = EntryNode::new(self.topology.clone());
        let mut queue = VecDeque::new();
        let mut bytes = 0;
        for frame in &self.frames {
            step(&mut entry, delivery(frame), &mut queue);
            bytes += queue.drain(..).map(|(_, body)| body.len()).sum::<usize>();
        }
        step(&mut entry, Event::Idle, &mut queue);
        bytes + queue.drain(..).map(|(_, body)| body.len()).sum::<usize>()
    }

    fn shards(&self) -> BTreeMap<Target, ShardNode> {
        let stages = (0..).zip(self.topology.stages());
        let targets = stages.flat_map(|(stage, placed)| {
            let shards = if let Role::Stateful { shards } = placed.role { shards } else { 0 };
            (0..shards).map(move |shard| (stage, shard))
        });
        let shard = |(stage, shard)| {
            let scratch = Box::new(|| Box::new(MemoryScratch::default()) as _);
            (Target::Stage { stage, shard }, ShardNode::new(self.topology.clone(), stage, shard, scratch))
        };
        targets.map(shard).collect()
    }
}

type Queue = VecDeque<(Target, Bytes)>;

/// Lets a node answer an event: what it publishes is confirmed at once, and what it commits is committed.
fn step(node: &mut dyn Node, event: Event, queue: &mut Queue) {
    let mut events = VecDeque::from([event]);
    let mut actions = Vec::new();
    while let Some(event) = events.pop_front().or_else(|| node.emits().map(|_| Event::Emit)) {
        node.step(event, &mut actions).expect("a plan without faults");
        for action in actions.drain(..) {
            match action {
                Action::Publish { id, to, body } => {
                    queue.push_back((to, body));
                    events.push_back(Event::Confirmed(id));
                }
                Action::Commit { group, .. } => events.push_back(Event::Committed(group)),
                Action::Ack(_) => {}
                Action::GiveUp { .. } => unreachable!("a plan without faults"),
            }
        }
    }
}

/// Delivers what is queued, and what comes of it. Returns how many rows went to the client.
fn settle(shards: &mut BTreeMap<Target, ShardNode>, queue: &mut Queue) -> u64 {
    let mut out = 0;
    while let Some((to, body)) = queue.pop_front() {
        match shards.get_mut(&to) {
            Some(shard) => step(shard, delivery(&body), queue),
            None => out += rows_of(&body),
        }
    }
    out
}

fn delivery(body: &Bytes) -> Event {
    Event::Delivery { tag: Tag(0), body: body.clone() }
}

fn rows_of(body: &[u8]) -> u64 {
    let mut reader = FrameReader::new(body).expect("a frame");
    let parts = std::iter::from_fn(|| reader.part().expect("a part"));
    parts.map(|part| if let PartMeta::Rows { rows, .. } = part.meta { rows.into() } else { 0 }).sum()
}

/// The frames of a source's chunks and of its end.
fn frames(head: &JobHead, source: &SourceInfo, rows: usize) -> Vec<Bytes> {
    let SourceInfo { port, stream, .. } = *source;
    let chunks = rows.div_ceil(CHUNK_ROWS);
    let frame = |meta: &PartMeta, payload: &[u8]| {
        let mut frame = FrameWriter::new(head, Vec::new()).expect("a head");
        frame.part(meta, payload).expect("a part");
        Bytes::from(frame.finish())
    };
    let chunk = |seq: usize| {
        let mut payload = Vec::new();
        let meta = ChunkMeta { file: 0, first_line: (seq * CHUNK_ROWS) as u64, header: &[] };
        meta.append(&mut payload).expect("a chunk");
        frame(&PartMeta::Rows { port, stream, seq: seq as u64, rows: 0, counts: Vec::new() }, &payload)
    };
    let end = PartMeta::End { port, stream, batches: chunks as u64, counts: Vec::new(), failed: None };
    (0..chunks).map(chunk).chain([frame(&end, &[])]).collect()
}
