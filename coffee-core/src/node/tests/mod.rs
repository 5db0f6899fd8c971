//! A whole topology in one thread over a network that reorders and repeats: the answer must not show it.

mod network;
mod poison;
mod stories;

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    codec,
    frame::{ChunkMeta, FrameWriter, JobHead, PartMeta, Sinks},
    plan::Topology,
};
use network::Network;
use poison::{Asked, DEADLY, Name, Poison, Sale, expected, placement, plan};

fn chunks<R: serde::Serialize>(
    topology: &Topology,
    head: &JobHead,
    source: &str,
    rows: &[R],
    size: usize,
) -> Vec<Bytes> {
    let source = topology.sources().into_iter().find(|info| info.name == source).unwrap();
    let mut frames = Vec::new();
    for (seq, rows) in (0..).zip(rows.chunks(size)) {
        let mut frame = FrameWriter::new(head, Vec::new()).unwrap();
        let meta = PartMeta::Rows { port: source.port, stream: source.stream, seq, rows: 0, counts: vec![] };
        let part = frame.open(&meta).unwrap();
        rows.iter().for_each(|row| codec::encode(row, frame.payload()).unwrap());
        ChunkMeta { file: 0, first_line: seq * size as u64, header: &[] }.append(frame.payload()).unwrap();
        frame.close(part);
        frames.push(frame.finish().into());
    }
    let mut end = FrameWriter::new(head, Vec::new()).unwrap();
    let batches = frames.len() as u64;
    end.part(&PartMeta::End { port: source.port, stream: source.stream, batches, counts: vec![], failed: None }, &[])
        .unwrap();
    frames.push(end.finish().into());
    frames
}

fn head(topology: &Topology, sinks: Sinks, asked: Asked) -> JobHead {
    let mut parameters = Vec::new();
    codec::encode(&asked, &mut parameters).unwrap();
    JobHead { job: JobId { cluster: 7, number: 1 }, topology: topology.version(), sinks, strict: false, parameters }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_answer_shows_no_order_repetition_death_replica_or_shard(
        sales in prop::collection::vec((0..12u8, 0..50u32), 0..120),
        names in prop::collection::vec((0..12u8, "[a-z]{0,3}"), 0..20),
        (staged, combine, shards, replicas) in any::<(bool, bool)>().prop_flat_map(|(s, c)| (Just(s), Just(c), 1..4u16, 1..4u16)),
        (size, asked, seed) in (1..40usize, (0..50u32, 1..6u8, Just(Poison::Nowhere)), any::<u64>()),
        deaths in prop_oneof![Just(0), 8..60usize],
    ) {
        let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(staged, shards, replicas, combine)).unwrap());
        let head = head(&topology, Sinks::ALL, asked);
        let names: Vec<Name> = names.into_iter().zip(0..).map(|((key, name), at)| (key, at, name)).collect();
        let mut frames = chunks(&topology, &head, "sales", &sales, size);
        frames.extend(chunks(&topology, &head, "names", &names, size));
        let mut network = Network::new(&topology, seed, deaths);
        network.run(frames);
        let (large, named) = expected(&sales, &names, asked);
        prop_assert_eq!(network.rows::<(u32, u8)>("large-sales"), large.clone());
        prop_assert_eq!(network.rows::<(u64, String)>("best-names"), named);

        let count = |operator: &str| {
            let at = topology.plan().operators().position(|name| name == operator).unwrap() as u16;
            network.counts.get(&at).copied().unwrap_or_default()
        };
        let keys = sales.iter().map(|sale| sale.0).collect::<BTreeSet<_>>().len() as u64;
        prop_assert_eq!((count("sales").rows_in, count("sales").rows_out), (sales.len() as u64, sales.len() as u64));
        prop_assert_eq!((count("large").rows_in, count("large").rows_out), (sales.len() as u64, large.len() as u64));
        prop_assert_eq!((count("sums").rows_in, count("sums").rows_out), (sales.len() as u64, keys));
        prop_assert_eq!(count("best").rows_in, keys);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_depends_on_a_batch_that_an_operator_panics_at_fails_and_the_rest_is_exact(
        sales in prop::collection::vec((0..12u8, 0..50u32), 0..120),
        poison in prop_oneof![Just(Poison::Columns), Just(Poison::Sums), Just(Poison::Merge), Just(Poison::Best), Just(Poison::Named)],
        (staged, combine, shards, replicas) in (any::<bool>(), any::<bool>(), 1..4u16, 1..4u16),
        (size, least, seed) in (1..40usize, 0..50u32, any::<u64>()),
        deaths in prop_oneof![Just(0), 8..60usize],
    ) {
        let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(staged, shards, replicas, combine)).unwrap());
        let asked = (least, 6, poison);
        let head = head(&topology, Sinks::ALL, asked);
        let names: Vec<Name> = (0..12).map(|key| (key, u64::from(key), format!("name {key}"))).collect();
        let mut frames = chunks(&topology, &head, "sales", &sales, size);
        frames.extend(chunks(&topology, &head, "names", &names, size));
        let mut network = Network::new(&topology, seed, deaths);
        network.run(frames);

        let deadly = sales.iter().filter(|sale| sale.0 == DEADLY).count() > 0;
        let large_deadly = sales.iter().any(|sale| sale.0 == DEADLY && sale.1 >= least);
        // Where rows are combined, a chunk has one part of a key.
        let is_deadly = |sale: &Sale| sale.0 == DEADLY;
        let parts = if staged || combine {
            sales.chunks(size).filter(|chunk| chunk.iter().any(is_deadly)).count()
        } else {
            sales.iter().filter(|sale| is_deadly(sale)).count()
        };
        // What one stage does with a chunk fails as a whole.
        let (large_fails, best_fails) = match poison {
            Poison::Nowhere => (false, false),
            Poison::Columns => (large_deadly, large_deadly && !staged),
            Poison::Sums => (deadly, deadly),
            Poison::Merge => (false, parts > 1),
            Poison::Best | Poison::Named => (false, deadly),
        };
        let failed = |sink| network.results[&topology.port_of(sink).unwrap()].failed.is_some();
        prop_assert_eq!((failed("large-sales"), failed("best-names")), (large_fails, best_fails));
        prop_assert_eq!(network.lost.is_empty(), !large_fails && !best_fails);
        let (large, named) = expected(&sales, &names, asked);
        if !large_fails {
            prop_assert_eq!(network.rows::<(u32, u8)>("large-sales"), large);
        }
        if !best_fails {
            prop_assert_eq!(network.rows::<(u64, String)>("best-names"), named);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_depends_on_a_frame_that_is_given_up_fails_and_the_rest_is_exact(
        sales in prop::collection::vec((0..12u8, 0..50u32), 0..120),
        stage in prop_oneof![Just("read"), Just("map"), Just("sums"), Just("join")],
        (shards, replicas, size, seed) in (1..4u16, 1..4u16, 1..40usize, any::<u64>()),
        deaths in prop_oneof![Just(0), 8..60usize],
    ) {
        let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(true, shards, replicas, true)).unwrap());
        let asked = (25, 6, Poison::Nowhere);
        let head = head(&topology, Sinks::ALL, asked);
        let names: Vec<Name> = (0..12).map(|key| (key, u64::from(key), format!("name {key}"))).collect();
        let mut frames = chunks(&topology, &head, "sales", &sales, size);
        frames.extend(chunks(&topology, &head, "names", &names, size));
        let mut network = Network::new(&topology, seed, deaths);
        network.deadly = (0..).zip(topology.stages()).find(|(_, found)| found.name == stage).map(|(at, _)| at);
        network.run(frames);

        let fails = |sink: &str| network.results[&topology.port_of(sink).unwrap()].failed.is_some();
        let (large, named) = expected(&sales, &names, asked);
        let lost = !network.lost.is_empty();
        prop_assert!(lost || !fails("large-sales") && !fails("best-names"), "nothing fails unless people are told");
        match stage {
            "map" => prop_assert!(!fails("best-names")),
            // A repetition of what a shard has is not lost. A life that dies before its commit may have told in vain.
            "sums" | "join" => {
                prop_assert!(!fails("large-sales"));
                prop_assert!(fails("best-names") || !lost || deaths > 0);
            }
            _ => {}
        }
        if !fails("large-sales") {
            prop_assert_eq!(network.rows::<(u32, u8)>("large-sales"), large);
        }
        if !fails("best-names") {
            prop_assert_eq!(network.rows::<(u64, String)>("best-names"), named);
        }
    }
}
