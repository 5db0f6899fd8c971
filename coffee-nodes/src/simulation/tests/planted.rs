//! Faults that are put into the nodes on purpose: each has to be found.

use bytes::Bytes;
use coffee_core::{
    coverage::Coverage,
    frame::{FrameReader, FrameWriter, JobId, PartMeta},
    node::{Action, Event, Failure},
};

use super::{super::*, system};

/// How a fault shows that is put into the nodes, in some of the first runs.
fn found(sabotage: Sabotage) -> String {
    let shown = (0..200).find_map(|seed| {
        let simulation = Simulation { sabotage: Some(sabotage), ..system(seed) };
        let wrong = simulation.verdict(&simulation.ran(Choices::of_seed(seed), None, false)).err()?;
        Some(wrong.what)
    });
    shown.expect("the fault is found")
}

/// A node that goes wrong in what it asks for.
struct Saboteur<F> {
    node: Box<dyn Node>,
    spoil: F,
}

impl<F: FnMut(&Event, &mut Vec<Action>) + Send> Node for Saboteur<F> {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        let (before, copy) = (actions.len(), event.clone());
        let result = self.node.step(event, actions);
        let mut more = actions.split_off(before);
        (self.spoil)(&copy, &mut more);
        actions.extend(more);
        result
    }

    fn jobs(&self) -> usize {
        self.node.jobs()
    }

    fn emits(&self) -> Option<(JobId, u64)> {
        self.node.emits()
    }
}

#[test]
fn acking_before_the_commit_is_found() {
    let what = found(|kind, node| {
        if !matches!(kind, Kind::Shard(..)) {
            return node;
        }
        let spoil = |event: &Event, actions: &mut Vec<Action>| {
            actions.retain(|action| !matches!(action, Action::Ack(_)));
            if let Event::Delivery { tag, .. } = event {
                actions.insert(0, Action::Ack(*tag));
            }
        };
        Box::new(Saboteur { node, spoil })
    });
    assert!(what.contains("it does not end"), "{what}");
}

/// A frame's.
type Parts = Vec<(PartMeta, Vec<u8>)>;

/// Spoils the frames that a node publishes, part by part.
fn spoil_frames(node: Box<dyn Node>, spoil: fn(Parts) -> Parts) -> Box<dyn Node> {
    let spoil = move |_: &Event, actions: &mut Vec<Action>| {
        for action in actions {
            let Action::Publish { body, .. } = action else { continue };
            let mut reader = FrameReader::new(body).unwrap();
            let mut writer = FrameWriter::new(&reader.head().unwrap(), Vec::new()).unwrap();
            let mut parts = Vec::new();
            while let Some(part) = reader.part().unwrap() {
                parts.push((part.meta, part.payload.to_vec()));
            }
            spoil(parts).iter().for_each(|(meta, payload)| writer.part(meta, payload).unwrap());
            *body = Bytes::from(writer.finish());
        }
    };
    Box::new(Saboteur { node, spoil })
}

#[test]
fn a_dropped_segment_is_found() {
    let what = found(|kind, node| match kind {
        Kind::Entry => spoil_frames(node, |mut parts| {
            parts.retain(|(meta, _)| !matches!(meta, PartMeta::Rows { seq: 2, .. }));
            parts
        }),
        _ => node,
    });
    assert!(what.contains("it does not end"), "{what}");
}

#[test]
fn folding_two_batches_in_a_filter_is_found() {
    let what = found(|kind, node| match kind {
        Kind::Entry | Kind::Replica(_) => spoil_frames(node, |parts| {
            let mut folded = Parts::new();
            for (meta, payload) in parts {
                let before = folded.iter_mut().find(|(before, _)| same_stream(before, &meta));
                match (before, meta) {
                    (
                        Some((PartMeta::Rows { rows, .. }, all)),
                        PartMeta::Rows { port, stream, seq, rows: more, .. },
                    ) => {
                        *rows += more;
                        all.extend(payload);
                        let mut seqs = Coverage::default();
                        seqs.insert(seq);
                        folded.push((PartMeta::Empty { port, stream, seqs }, Vec::new()));
                    }
                    (_, meta) => folded.push((meta, payload)),
                }
            }
            folded
        }),
        _ => node,
    });
    assert!(what.contains("is answered by"), "{what}");
}

fn same_stream(one: &PartMeta, other: &PartMeta) -> bool {
    match (one, other) {
        (PartMeta::Rows { port, stream, .. }, PartMeta::Rows { port: p, stream: s, .. }) => (port, stream) == (p, s),
        _ => false,
    }
}

#[test]
fn what_is_never_acked_is_found() {
    let what = found(|kind, node| match kind {
        Kind::Shard(..) => {
            let spoil = |_: &Event, actions: &mut Vec<Action>| {
                actions.retain(|action| !matches!(action, Action::Ack(_)));
            };
            Box::new(Saboteur { node, spoil })
        }
        _ => node,
    });
    assert!(what.contains("messages in") || what.contains("it does not end"), "{what}");
}

/// A node that never forgets.
struct Deaf(Box<dyn Node>);

impl Node for Deaf {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        match event {
            Event::Forget(_) | Event::Release(_) => Ok(()),
            event => self.0.step(event, actions),
        }
    }

    fn jobs(&self) -> usize {
        self.0.jobs()
    }

    fn emits(&self) -> Option<(JobId, u64)> {
        self.0.emits()
    }
}

#[test]
fn what_is_never_forgotten_is_found() {
    let what = found(|_, node| Box::new(Deaf(node)));
    assert!(what.contains("jobs in"), "{what}");
}
