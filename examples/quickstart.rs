//! A pipeline of one's own: visits to a web site, the short ones dropped, summed up by page.
//!
//! It has its own record, its own filter and its own aggregator. They run on the engine in this process, and in a cluster
//! whose nodes meet at a broker, without a change. Both answers are compared with that of a plain loop.
//!
//! ```text
//! cargo run --release --example quickstart -- [URL]    the cluster's nodes are threads; memory: without a URL
//! cargo run --release --example quickstart -- up --broker amqp://guest:guest@localhost/    each node a process of its own
//! ```

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee::{cli::Application, mom, prelude::*};
use serde::{Deserialize, Serialize};

/// One visit to one page.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Visit {
    page: u32,
    visitor: u64,
    milliseconds: u32,
}

/// What can be chosen for each job.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Parameters {
    least_milliseconds: u32,
}

/// Keeps visits that lasted a while.
struct Engaged {
    least_milliseconds: u32,
}

impl Filter<Visit> for Engaged {
    fn keep(&self, visit: &Visit) -> bool {
        visit.milliseconds >= self.least_milliseconds
    }
}

/// A page and its figures. Sinks put their rows in ascending order: by page, as that is the first field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct PageTotal {
    page: u32,
    visits: u64,
    milliseconds: u64,
    /// The longest visit, and on a tie the highest visitor: so the answer does not depend on the order of arrival.
    longest: (u32, u64),
}

/// Sums up the visits to each page.
struct ByPage;

impl Aggregator for ByPage {
    type Row = Visit;
    type Key = u32;
    type Acc = (u64, u64, (u32, u64));
    type Out = PageTotal;

    fn key(&self, visit: &Visit) -> Option<u32> {
        Some(visit.page)
    }

    fn fold(&self, acc: &mut Self::Acc, visit: &Visit) {
        self.merge(acc, (1, visit.milliseconds.into(), (visit.milliseconds, visit.visitor)));
    }

    // Sums and maxima don't mind in which order and grouping parts are merged: that is the aggregator's law.
    fn merge(&self, acc: &mut Self::Acc, part: Self::Acc) {
        *acc = (acc.0 + part.0, acc.1 + part.1, acc.2.max(part.2));
    }

    fn finish(&self, page: u32, (visits, milliseconds, longest): Self::Acc) -> PageTotal {
        PageTotal { page, visits, milliseconds, longest }
    }
}

/// What is to be done, and the names of what goes in and comes out. Operators are made from the parameters of a job.
fn pipeline() -> Result<(Plan, SourceId<Visit>, SinkId<PageTotal>), PlanError> {
    let builder = PlanBuilder::<Parameters>::new();
    let (source, visits) = builder.rows::<Visit>("visits");
    let totals = visits
        .filter("engaged", |p| Engaged { least_milliseconds: p.least_milliseconds })
        .aggregate("by-page", |_| ByPage)
        .sink("totals");
    Ok((builder.build()?, source, totals))
}

/// The same visits for the same seed, by a linear congruential generator.
fn visits(seed: u64, count: usize) -> Vec<Visit> {
    let mut state = seed;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let visit = |_| Visit { page: draw(20) as u32, visitor: draw(5_000), milliseconds: draw(60_000) as u32 };
    (0..count).map(visit).collect()
}

/// The answer by a plain loop.
fn plainly(rows: &[Visit], least_milliseconds: u32) -> Vec<PageTotal> {
    let mut totals: BTreeMap<u32, <ByPage as Aggregator>::Acc> = BTreeMap::new();
    for visit in rows.iter().filter(|visit| visit.milliseconds >= least_milliseconds) {
        ByPage.fold(totals.entry(visit.page).or_default(), visit);
    }
    totals.into_iter().map(|(page, acc)| ByPage.finish(page, acc)).collect()
}

fn answer(url: &str) -> Result<(), Box<dyn Error>> {
    let rows = visits(7, 1_000_000);
    let parameters = Parameters { least_milliseconds: 10_000 };
    let expected = plainly(&rows, parameters.least_milliseconds);

    // Where it is done: by default filters run where rows come in. `Topology::new` takes a placement that says otherwise.
    let (plan, source, totals) = pipeline()?;
    let topology: Arc<Topology> = Topology::of(plan)?;
    let job = Job::new(&topology, &parameters)?.rows(&source, rows.iter().cloned());

    let outcome = job.run_embedded()?;
    assert_eq!(outcome.rows(&totals)?.collect::<Vec<_>>(), expected);
    println!("{} of {} visits count", outcome.report.of("engaged").rows_out, rows.len());
    for total in expected.iter().take(3) {
        println!("page {:2}: {} visits, mean {} ms", total.page, total.visits, total.milliseconds / total.visits);
    }

    let soon = Instant::now() + Duration::from_secs(60);
    let broker = mom::open(url, soon)?;
    let cluster = LocalCluster::start(&broker, &topology, LocalOptions::new("quickstart"))?;
    let outcome = cluster.client().run(&job, &Stop::new())?;
    assert_eq!(outcome.rows(&totals)?.collect::<Vec<_>>(), expected);
    println!("the same by a cluster at {}", url.split(':').next().unwrap_or_default());
    cluster.stop(soon)?;
    broker.close(soon)?;
    Ok(())
}

fn main() -> ExitCode {
    let first = env::args().nth(1).unwrap_or("memory:".to_owned());
    if !first.contains(':') {
        return Application::new("quickstart", || Ok(pipeline()?.0)).main();
    }
    match answer(&first) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}
