//! The game store's queries: exact under any placement, and under deaths, repetitions and disorder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../examples/game_reviews/data.rs"]
mod data;
#[path = "../examples/game_reviews/operators.rs"]
mod operators;
#[path = "../examples/game_reviews/plain.rs"]
mod plain;
#[path = "../examples/game_reviews/plan.rs"]
mod plan;
#[path = "../examples/game_reviews/records.rs"]
mod records;

use std::sync::Arc;

use coffee::{
    core::{
        codec,
        operator::{Row, laws},
        plan::{Placement, SinkId, Topology},
        rejection::Line,
        value::Text,
    },
    nodes::{
        input::Table,
        job::Job,
        simulation::{Answer, Simulation},
    },
};

use self::{
    data::{Data, SENTENCES},
    operators::{AtOrAbove, Counted, First, NearestRank, is_english},
    plan::{Asked, Sinks, plan},
    records::{Answers, AppId, Mapped, ReviewId},
};

/// A topology under a placement of so many shards and replicas, fused or apart.
fn topology(apart: bool, shards: u16, replicas: u16) -> (Arc<Topology>, Sinks) {
    let (plan, sinks) = plan().unwrap();
    let mut placement = if apart { Placement::apart(&plan) } else { Placement::of(&plan) };
    placement.set_shards(None, shards).unwrap();
    placement.set_replicas(None, replicas).unwrap();
    (Arc::new(Topology::new(Arc::new(plan), &placement).unwrap()), sinks)
}

fn asked(seed: u64) -> Asked {
    let mut random = fastrand::Rng::with_seed(seed);
    Asked {
        years: (random.u16(2005..2015), random.u16(2015..2025)),
        most_played: random.u16(1..20),
        most_liked: random.u16(1..20),
        more_than: random.u64(0..10),
        percentile: random.u8(1..=100),
    }
}

#[test]
fn it_agrees_with_plain_loops_under_any_placement() {
    let placements = [(false, 1, 1), (false, 3, 1), (true, 1, 1), (true, 2, 2)].map(|(a, s, r)| topology(a, s, r));
    for seed in 0..12 {
        let (data, asked) = (Data::of_seed(seed, 10 + 5 * seed, 150 * seed), asked(seed));
        let folder = tempfile::tempdir().unwrap();
        data.write(folder.path()).unwrap();
        let expected = plain::answers(&data, &asked).unwrap();
        for (topology, sinks) in &placements {
            let job = Job::new(topology, &asked).unwrap().chunk_bytes(1000);
            let job = ["games", "reviews"]
                .into_iter()
                .fold(job, |job, table| job.table(Table::open(folder.path(), table).unwrap()));
            let outcome = job.run_embedded().unwrap();
            assert_eq!(sinks.answers(&outcome).unwrap(), expected, "seed {seed}, {:?}", topology.stages().len());
        }
    }
}

/// The client's job over the data, few lines a chunk, with what it must be answered.
fn simulated(seed: u64, topology: &Arc<Topology>, (games, reviews): (u64, u64)) -> (Job<'static>, Answers) {
    let mut data = Data::of_seed(seed, games, reviews);
    // Text is one file.
    let (header, _) = data.reviews[0].split_once('\n').unwrap();
    let rest = data.reviews.iter().flat_map(|file| file.lines().skip(1)).map(|line| format!("\n{line}"));
    data.reviews = vec![header.to_owned() + &rest.collect::<String>()];
    let job = Job::new(topology, &asked(seed)).unwrap().chunk_bytes(300);
    let job = job.text("games", data.games[0].clone()).text("reviews", data.reviews[0].clone());
    (job, plain::answers(&data, &asked(seed)).unwrap())
}

/// The answers of a simulated client.
fn answers(sinks: &Sinks, answer: &Answer) -> Answers {
    let Answer::Done { rows, counts } = answer else { panic!("{answer:?}") };
    fn of<R: Row>(rows: &[(String, Option<Vec<u8>>)], sink: &SinkId<R>) -> Vec<R> {
        let (_, encoded) = rows.iter().find(|(name, _)| name == sink.name()).unwrap();
        let mut encoded = encoded.as_deref().unwrap();
        std::iter::from_fn(|| (!encoded.is_empty()).then(|| codec::decode(&mut encoded).unwrap())).collect()
    }
    Answers {
        platforms: of(rows, &sinks.platforms),
        most_played: of(rows, &sinks.most_played),
        most_liked: of(rows, &sinks.most_liked),
        criticised: of(rows, &sinks.criticised),
        most_disliked: of(rows, &sinks.most_disliked),
        rejected: counts.iter().map(|count| count.rejected).sum(),
    }
}

#[test]
fn no_death_repetition_or_order_shows() {
    for seed in 0..40 {
        let (topology, sinks) = topology(seed % 2 == 0, 1 + seed as u16 % 3, 2);
        let (jobs, expected): (Vec<_>, Vec<_>) =
            (0..2).map(|client| simulated(2 * seed + client, &topology, (12, 40))).unzip();
        let simulation = Simulation::new(&jobs).unwrap();
        let found: Vec<_> = simulation.reference().iter().map(|answer| answers(&sinks, answer)).collect();
        assert_eq!(found, expected, "seed {seed}");
        simulation.run(seed).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
}

#[test]
fn no_death_at_any_operation_shows() {
    for apart in [false, true] {
        let (topology, _) = topology(apart, if apart { 1 } else { 2 }, 1);
        let (job, _) = simulated(1, &topology, (6, 10));
        let simulation = Simulation::new(&[job]).unwrap();
        let runs = simulation.run_all_deaths().unwrap_or_else(|broken| panic!("{broken}"));
        assert!(runs > 300, "{runs} runs");
    }
}

#[test]
fn english_is_told_from_other_languages() {
    for (language, sentences) in SENTENCES.iter().enumerate() {
        for one in *sentences {
            for other in *sentences {
                assert_eq!(is_english(&format!("{one} {other}")), language == 0, "{one} {other}");
            }
            assert_eq!(is_english(one), language == 0, "{one}");
        }
    }
}

#[test]
fn its_own_operators_keep_the_laws() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (cut, swap, percentile) = (random.usize(..50), random.usize(..50), random.u8(1..=100));
        let counted: Vec<Counted> =
            (0..random.u64(..50)).map(|app| ((AppId(app), Text::from("x")), random.u64(1..9))).collect();
        laws::aggregator(&NearestRank { percentile }, &counted, cut, swap).unwrap();
        laws::joiner(&AtOrAbove, &[random.u64(..9)], &counted).unwrap();
        let review = |number| Mapped {
            id: ReviewId(Line { file: random.u32(..3), number }),
            app: AppId(random.u64(..3)),
            name: Text::default(),
            action: true,
            indie: true,
            positive: true,
            text: Text::default(),
        };
        let reviews: Vec<Mapped> = (0..40).map(review).collect();
        let by_app = coffee::prelude::GroupBy::new(|review: &Mapped| Some(review.app), First);
        laws::aggregator(&by_app, &reviews, cut, swap).unwrap();
    }
}
