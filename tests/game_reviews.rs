//! The game store's queries: exact under any placement, under deaths, repetitions and disorder, and as a cluster of processes
//! that are killed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../examples/game_reviews/data.rs"]
mod data;
#[path = "../examples/game_reviews/operators.rs"]
mod operators;
#[path = "../examples/game_reviews/plain.rs"]
mod plain;
#[path = "../examples/game_reviews/plan.rs"]
mod plan;
#[path = "../coffee-cli/tests/support/processes.rs"]
mod processes;
#[path = "../examples/game_reviews/records.rs"]
mod records;

use std::{path::Path, sync::Arc, thread, time::Instant};

use coffee::{
    core::{
        codec,
        operator::{Row, laws},
        plan::{Placement, SinkId, Topology},
        rejection::Line,
        value::Text,
    },
    mom::testing::proxy::Proxy,
    nodes::{
        Stop,
        client::{Client, ClientOptions},
        input::Table,
        job::Job,
        simulation::{Answer, Simulation},
    },
};

use self::{
    data::{Data, SENTENCES},
    operators::{AtOrAbove, Counted, First, NearestRank, is_english},
    plan::{Asked, Sinks, plan},
    processes::{Cluster, DEADLINE, broker, command, example},
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

/// The job of a client over the tables in a folder.
fn job(topology: &Arc<Topology>, asked: &Asked, folder: &Path) -> Job<'static> {
    let table = |name| Table::open(folder, name).unwrap();
    Job::new(topology, asked).unwrap().table(table("games")).table(table("reviews"))
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
            let outcome = job(topology, &asked, folder.path()).chunk_bytes(1000).run_embedded().unwrap();
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

#[test]
fn nodes_that_are_killed_while_clients_send_do_not_show() {
    let (broker, state) = (broker(), tempfile::tempdir().unwrap());
    let mut up = command(example("game_reviews"));
    up.args(["up", "--listen", "127.0.0.1:0", "--shards", "2", "--state"]).arg(state.path());
    up.env("COFFEE_BROKER", broker.url());
    let cluster = Cluster::start_by(up, state);
    let (topology, sinks) = topology(false, 2, 1);
    for seed in 0..3 {
        // One of each kind; of the workers one that has what clients send in hand.
        let mut doomed = ["gateway-0", "query-node", "results-node", ["level-1.0", "level-1.1"][seed as usize % 2]];
        fastrand::Rng::with_seed(seed).shuffle(&mut doomed);
        let (data, folder) = (Data::of_seed(seed, 200, 25_000), tempfile::tempdir().unwrap());
        data.write(folder.path()).unwrap();
        let proxy = Proxy::start(cluster.gateways.parse().unwrap()).unwrap();
        let client = Client::new(ClientOptions::new(vec![proxy.address().to_string()]));
        let asked: Vec<_> = (0..3).map(|number| asked(10 * seed + number)).collect();
        let jobs: Vec<_> = asked.iter().map(|asked| job(&topology, asked, folder.path()).chunk_bytes(70_000)).collect();
        let bytes: u64 = jobs.iter().map(Job::bytes).sum();
        let answers = thread::scope(|scope| {
            let (client, sinks) = (&client, &sinks);
            let run = |job| scope.spawn(move || sinks.answers(&client.run(job, &Stop::new()).unwrap()).unwrap());
            let clients: Vec<_> = jobs.iter().map(run).collect();
            for (part, node) in (1..).zip(doomed) {
                let sent = bytes * part / (doomed.len() as u64 + 1);
                assert!(proxy.wait_for_bytes_up(sent, Instant::now() + DEADLINE), "{node}");
                // It dies with what the nodes have in hand; the clients have more, and send it to the one in its place.
                proxy.pause();
                cluster.kill(node);
                proxy.resume();
            }
            clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        for (asked, answers) in asked.iter().zip(answers) {
            assert_eq!(answers, plain::answers(&data, asked).unwrap(), "seed {seed}");
        }
    }
    cluster.stop();
}
