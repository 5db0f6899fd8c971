//! A store's games and reviews: five queries as one plan, asked by several clients at once, each with parameters of its own.
//!
//! The tables are folders of CSV files, made by a seed. Each client asks a cluster whose nodes are threads of this process and meet
//! at a broker, and the engine without a cluster; both answers are compared with those of plain loops.
//!
//! ```text
//! cargo run --release --example game_reviews -- [URL] [SEED]    memory: without a URL; amqp://guest:guest@localhost/ is a RabbitMQ
//! cargo run --release --example game_reviews -- up --broker amqp://guest:guest@localhost/    each node a process of its own
//! ```

mod data;
mod operators;
mod plain;
mod plan;
mod records;

use std::{
    env,
    error::Error,
    io,
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use coffee::{cli::Application, mom, nodes::input::Table, prelude::*};

use self::{data::Data, plan::Asked, records::Answers};

/// What the clients ask: games of the 2010s are the first one's.
static CLIENTS: [Asked; 3] = [
    Asked { years: (2010, 2019), most_played: 10, most_liked: 5, more_than: 15, percentile: 90 },
    Asked { years: (2015, 2024), most_played: 3, most_liked: 50, more_than: 0, percentile: 50 },
    Asked { years: (2005, 2009), most_played: 1, most_liked: 1, more_than: 1000, percentile: 100 },
];

/// Whatever goes wrong, on any thread.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let first = env::args().nth(1).unwrap_or("memory:".to_owned());
    if !first.contains(':') {
        return Application::new("game-reviews", || Ok(plan::plan()?.0)).main();
    }
    match demonstrate(&first) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("game_reviews: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has all clients answered, and compares.
fn demonstrate(url: &str) -> Result<(), Failure> {
    let seed = env::args().nth(2).map_or(Ok(7), |seed| seed.parse())?;
    let data = Data::of_seed(seed, 200, 6_000);
    let folder = tempfile::tempdir()?;
    data.write(folder.path())?;

    let answers = by_a_cluster(url, folder.path())?;
    for (asked, answer) in CLIENTS.iter().zip(&answers) {
        assert_eq!(*answer, plain::answers(&data, asked)?);
    }
    print(&CLIENTS[0], &answers[0]);
    Ok(())
}

/// What the clients get from a cluster at this broker, and have to get from the embedded engine.
fn by_a_cluster(url: &str, folder: &Path) -> Result<Vec<Answers>, Failure> {
    let soon = Instant::now() + Duration::from_secs(60);
    let (plan, sinks) = plan::plan()?;
    let topology = Topology::of(plan)?;
    let broker = mom::open(url, soon)?;
    let cluster = LocalCluster::start(&broker, &topology, LocalOptions::new("game-reviews"))?;
    let answers = all_at_once(|asked| {
        let job = job(&topology, asked, folder)?;
        let answers = sinks.answers(&cluster.client().run(&job, &Stop::new())?)?;
        assert_eq!(answers, sinks.answers(&job.run_embedded()?)?);
        Ok(answers)
    })?;
    cluster.stop(soon)?;
    broker.close(soon)?;
    Ok(answers)
}

/// The job of a client.
fn job(topology: &Arc<Topology>, asked: &Asked, folder: &Path) -> Result<Job<'static>, Failure> {
    let job = Job::new(topology, asked)?.chunk_bytes(1 << 17);
    Ok(job.table(Table::open(folder, "games")?).table(Table::open(folder, "reviews")?))
}

/// What each client gets, who are a thread each.
fn all_at_once(ask: impl Fn(&Asked) -> Result<Answers, Failure> + Sync) -> Result<Vec<Answers>, Failure> {
    thread::scope(|scope| {
        let client = |(number, asked)| {
            let ask = &ask;
            thread::Builder::new().name(format!("client-{number}")).spawn_scoped(scope, move || ask(asked))
        };
        let clients = CLIENTS.iter().enumerate().map(client).collect::<io::Result<Vec<_>>>()?;
        clients.into_iter().map(|client| client.join().map_err(|_| "a client panicked")?).collect()
    })
}

fn print(asked: &Asked, answers: &Answers) {
    println!("games by platform: {:?}; {} rows can't be read", answers.platforms, answers.rejected);
    let lists = [
        ("indie games played the longest, in minutes", &answers.most_played),
        ("indie games with most positive reviews", &answers.most_liked),
        ("action games with most negative reviews", &answers.most_disliked),
    ];
    for (title, games) in lists {
        println!("{title}");
        for game in games {
            println!("  {:6}  {} ({})", game.figure.0, game.name, game.app.0);
        }
    }
    println!("action games with more than {} negative reviews in English", asked.more_than);
    for game in &answers.criticised {
        let first = game.first.map(|review| review.to_string()).unwrap_or_default();
        println!("  {:6}  {} ({}), the first is {first}", game.negative.0, game.name, game.app.0);
    }
}
