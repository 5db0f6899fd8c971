//! Single stories of nodes: what they refuse, and when they emit.

use super::*;
use crate::{
    exec::{MemoryScratch, Scratch},
    frame::{FrameReader, Port},
};

#[test]
fn sinks_that_are_not_asked_for_cost_nothing() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 2, 1, true)).unwrap());
    let head = head(&topology, Sinks(1), (10, 2, Poison::Nowhere));
    let job = crate::plan::Job::new(&topology, &head).unwrap();
    let sources: Vec<String> = job.sources(&topology).into_iter().map(|source| source.name).collect();
    assert_eq!(sources, ["sales"], "names are only needed for the other sink");
    let mut network = Network::new(&topology, 3, 0);
    network.run(chunks(&topology, &head, "sales", &[(1u8, 9u32), (2, 10), (3, 11)], 2));
    assert_eq!(network.rows::<(u32, u8)>("large-sales"), [(10, 2), (11, 3)]);
    assert!(!network.results.contains_key(&topology.port_of("best-names").unwrap()));
}

#[test]
fn parts_that_no_sender_sends_are_refused() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let stream = topology.streams(topology.port(port).unwrap())[0];
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    let mut deliver = |meta: PartMeta| {
        let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
        frame.part(&meta, &[]).unwrap();
        node.step(Event::Delivery { tag: Tag(1), body: frame.finish().into() }, &mut Vec::new())
    };
    let last = PartMeta::Rows { port, stream, seq: u64::MAX, rows: 0, counts: vec![] };
    assert!(matches!(deliver(last).unwrap_err().error, NodeError::Decode(_)));
    let end = |batches| PartMeta::End { port, stream, batches, counts: vec![], failed: None };
    deliver(end(2)).unwrap();
    deliver(end(2)).unwrap();
    assert!(matches!(deliver(end(1)).unwrap_err().error, NodeError::Disagreement(_)));
}

#[test]
fn nothing_of_a_refused_frame_goes_out_later() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 2, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (0, 2, Poison::Nowhere));
    let mut frames = chunks(&topology, &head, "sales", &[(1u8, 1u32), (2, 2), (3, 3), (4, 4)], 1);
    // The second frame's part behind the first's, and cut off; and a chunk that ends within a row, in a frame of its own.
    let second = frames[1].clone();
    let parts = second.len() - FrameReader::new(&second).unwrap().head_bytes().len() - 5;
    let cut = [&frames[0][..], &second[second.len() - parts..second.len() - 1]].concat();
    let run = |bad: Option<Bytes>, frames: Vec<Bytes>| {
        let mut node = WorkerNode::new(topology.clone());
        let mut published: Vec<Bytes> = Vec::new();
        for (tag, body) in (1..).map(Tag).zip(frames) {
            for body in bad.iter().chain([&body]).cloned() {
                let mut actions = Vec::new();
                let refused = node.step(Event::Delivery { tag, body }, &mut actions).is_err();
                assert!(!refused || actions.is_empty());
            }
        }
        let mut actions = Vec::new();
        node.step(Event::Idle, &mut actions).unwrap();
        published.extend(actions.into_iter().filter_map(|action| match action {
            Action::Publish { body, .. } => Some(body),
            _ => None,
        }));
        published
    };
    frames.truncate(4);
    let rest = frames.split_off(2);
    let clean = run(None, rest.clone());
    assert!(!clean.is_empty());
    assert_eq!(run(Some(cut.into()), rest), clean);
}

#[test]
fn what_does_not_fit_is_refused_and_not_acked() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(true, 2, 1, true)).unwrap());
    let mut node = WorkerNode::new(topology.clone());
    let mut deliver = |body: Bytes| {
        let mut actions = Vec::new();
        let error = node.step(Event::Delivery { tag: Tag(1), body }, &mut actions).unwrap_err().error;
        assert!(actions.is_empty());
        error
    };
    let good = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let foreign = JobHead { topology: good.topology ^ 1, ..good.clone() };
    assert!(matches!(deliver(chunks(&topology, &foreign, "sales", &[(1u8, 1u32)], 1).remove(0)), NodeError::Topology));
    assert!(matches!(deliver(Bytes::from_static(b"garbage")), NodeError::Decode(_)));
    let short = JobHead { parameters: vec![], ..good };
    assert!(matches!(deliver(chunks(&topology, &short, "sales", &[(1u8, 1u32)], 1).remove(0)), NodeError::Decode(_)));
}

#[test]
fn who_is_said_to_emit_emits_and_nobody_else_in_the_same_step() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    for number in [1, 2] {
        let mut head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
        head.job.number = number;
        let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
        for stream in topology.streams(topology.port(port).unwrap()) {
            frame.part(&PartMeta::End { port, stream, batches: 0, counts: vec![], failed: None }, &[]).unwrap();
        }
        let record = Record::Frame { job: head.job, body: frame.finish().into() };
        node.step(Event::Restored(record), &mut Vec::new()).unwrap();
    }
    for number in [1, 2] {
        assert_eq!(node.emits().map(|(job, _)| job), Some(JobId { cluster: 7, number }));
        let mut actions = Vec::new();
        node.step(Event::Emit, &mut actions).unwrap();
        let [Action::Publish { id, body, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(FrameReader::new(body).unwrap().head().unwrap().job.number, number);
        node.step(Event::Confirmed(*id), &mut Vec::new()).unwrap();
    }
    assert_eq!(node.emits(), None);
}

#[test]
fn an_origin_that_fails_is_not_waited_for_whatever_its_lives_have_sent() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let stream = topology.streams_of(port)[0];
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    let mut deliver = |meta: PartMeta| {
        let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
        frame.part(&meta, &[]).unwrap();
        node.step(Event::Delivery { tag: Tag(1), body: frame.finish().into() }, &mut Vec::new()).unwrap();
    };
    // One life has sent three batches, the next has failed in the second, and one after it has not.
    (0..3).for_each(|seq| deliver(PartMeta::Rows { port, stream, seq, rows: 0, counts: vec![] }));
    let end = |batches, failed| PartMeta::End { port, stream, batches, counts: vec![], failed };
    deliver(end(1, Some(Loss { stream, seq: 1, reason: "on purpose".into() })));
    deliver(end(3, None));
    let mut actions = Vec::new();
    node.step(Event::Idle, &mut actions).unwrap();
    let [Action::Commit { group, .. }] = &actions[..] else { panic!("{actions:?}") };
    let mut emitted = Vec::new();
    node.step(Event::Committed(*group), &mut Vec::new()).unwrap();
    node.step(Event::Emit, &mut emitted).unwrap();
    let body = emitted.iter().find_map(|action| match action {
        Action::Publish { body, .. } => Some(body.clone()),
        _ => None,
    });
    let body = body.expect("it is complete");
    let part = FrameReader::new(&body).unwrap().part().unwrap().unwrap();
    assert!(matches!(part.meta, PartMeta::End { batches: 0, failed: Some(_), .. }), "{:?}", part.meta);
}

#[test]
fn nobody_emits_while_a_delivery_is_in_hand() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
    for stream in topology.streams(topology.port(port).unwrap()) {
        frame.part(&PartMeta::End { port, stream, batches: 0, counts: vec![], failed: None }, &[]).unwrap();
    }
    let body = Bytes::from(frame.finish());
    node.step(Event::Restored(Record::Frame { job: head.job, body: body.clone() }), &mut Vec::new()).unwrap();
    assert!(node.emits().is_some(), "as it is complete");
    // What an earlier life had not acked comes again: if its step counted as the emission's, no death in that ever would.
    node.step(Event::Delivery { tag: Tag(1), body }, &mut Vec::new()).unwrap();
    assert_eq!(node.emits(), None);
    let mut actions = Vec::new();
    node.step(Event::Idle, &mut actions).unwrap();
    let [Action::Commit { group, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(node.emits(), None);
    node.step(Event::Committed(*group), &mut Vec::new()).unwrap();
    assert!(node.emits().is_some());
}

/// What a node emits, each frame confirmed at once; it gives nothing up in that.
fn emission(node: &mut ShardNode) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while node.emits().is_some() {
        let mut actions = Vec::new();
        node.step(Event::Emit, &mut actions).unwrap();
        for action in actions {
            let Action::Publish { id, body, .. } = action else { panic!("{action:?}") };
            frames.push(body);
            node.step(Event::Confirmed(id), &mut Vec::new()).unwrap();
        }
    }
    frames
}

/// What the stage with this index gets of a job's sales, each batch in frames of its own.
fn arriving(topology: &Arc<Topology>, head: &JobHead, sales: &[Sale], size: usize, at: u16) -> Vec<Bytes> {
    let mut entry = EntryNode::new(topology.clone());
    let mut frames = Vec::new();
    for body in chunks(topology, head, "sales", sales, size) {
        let mut actions = Vec::new();
        entry.step(Event::Delivery { tag: Tag(1), body }, &mut actions).unwrap();
        entry.step(Event::Idle, &mut actions).unwrap();
        frames.extend(actions.into_iter().filter_map(|action| match action {
            Action::Publish { to: Target::Stage { stage, .. }, body, .. } if stage == at => Some(body),
            _ => None,
        }));
    }
    frames
}

#[test]
fn a_merge_that_fails_loses_its_own_batch_before_the_commit_and_nothing_of_another_job() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "state").unwrap();
    let new = || {
        let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
        ShardNode::new(topology.clone(), at, 0, scratch).giving_up()
    };
    let poisoned = head(&topology, Sinks::ALL, (0, 2, Poison::Merge));
    let mut sound = head(&topology, Sinks::ALL, (0, 2, Poison::Nowhere));
    sound.job.number = 2;
    // The third batch brings the second part of the key, the fourth one more.
    let sales = [(DEADLY, 1u32), (1, 2), (2, 3), (3, 4), (DEADLY, 5), (1, 6), (DEADLY, 7), (2, 8)];
    let both = [&poisoned, &sound].map(|head| arriving(&topology, head, &sales, 2, at));
    let [of_one, of_other] = &both;
    let mut node = new();
    let mut actions = Vec::new();
    for (tag, body) in (1..).map(Tag).zip(of_one.iter().zip(of_other).flat_map(|(one, other)| [one, other])) {
        node.step(Event::Delivery { tag, body: body.clone() }, &mut actions).unwrap();
    }
    let [Action::GiveUp { id, job, losses, body }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((*job, losses.len(), losses[0].seq), (poisoned.job, 1, 2));
    assert_eq!(body, &of_one[2]);

    let mut actions = Vec::new();
    node.step(Event::Idle, &mut actions).unwrap();
    assert!(actions.is_empty(), "people are to be told first: {actions:?}");
    node.step(Event::Confirmed(*id), &mut actions).unwrap();
    node.step(Event::Idle, &mut actions).unwrap();
    let [Action::Commit { group, records }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(records.len(), of_one.len() + of_other.len());
    node.step(Event::Committed(*group), &mut Vec::new()).unwrap();
    let emitted = emission(&mut node);
    let ends: Vec<_> = emitted.iter().flat_map(ends).collect();
    assert_eq!(ends, [(poisoned.job, Some(2)), (sound.job, None)]);

    let mut next = new();
    for record in records.iter().rev() {
        let mut actions = Vec::new();
        next.step(Event::Restored(record.clone()), &mut actions).unwrap();
        assert!(actions.is_empty(), "{actions:?}");
    }
    assert_eq!(emission(&mut next), emitted, "its next life decides alike");
}

/// The ends in a frame: of which job, and which batch they lack.
fn ends(body: &Bytes) -> Vec<(JobId, Option<u64>)> {
    let mut frame = FrameReader::new(body).unwrap();
    let job = frame.head().unwrap().job;
    let mut ends = Vec::new();
    while let Some(part) = frame.part().unwrap() {
        if let PartMeta::End { failed, .. } = part.meta {
            ends.push((job, failed.map(|loss| loss.seq)));
        }
    }
    ends
}
