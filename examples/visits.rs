//! A pipeline of one's own: visits to a web site, the short ones dropped, summed up by page.
//!
//! It has its own record, its own filter and its own aggregator, and runs them on the embedded engine: the same nodes,
//! frames and queues as the coffee queries. The answer is compared with that of a plain loop.
//!
//! ```text
//! cargo run --release --example visits
//! ```

use std::{collections::BTreeMap, error::Error, sync::Arc};

use coffee::prelude::*;
use serde::{Deserialize, Serialize};

/// One visit to one page.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Visit {
    page: u32,
    visitor: u64,
    milliseconds: u32,
}

/// What can be chosen for each run.
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

fn main() -> Result<(), Box<dyn Error>> {
    let rows = visits(7, 1_000_000);
    let parameters = Parameters { least_milliseconds: 10_000 };

    // What is to be done: operators are made from the parameters of a run.
    let builder = PlanBuilder::<Parameters>::new();
    let (source, visits) = builder.rows::<Visit>("visits");
    let totals = visits
        .filter("engaged", |p| Engaged { least_milliseconds: p.least_milliseconds })
        .aggregate("by-page", |_| ByPage)
        .sink("totals");
    let plan = Arc::new(builder.build()?);

    // Where: by default filters run where rows come in. A TOML file says otherwise, by `Placement::parse`.
    let placement = Placement::of(&plan);
    let topology = Arc::new(Topology::new(plan, &placement)?);

    let outcome = Embedded::new(topology, &parameters)?.rows(&source, rows.iter().cloned()).run()?;
    let answer: Vec<PageTotal> = outcome.rows(&totals).collect();

    let mut expected: BTreeMap<u32, <ByPage as Aggregator>::Acc> = BTreeMap::new();
    for visit in rows.iter().filter(|visit| visit.milliseconds >= parameters.least_milliseconds) {
        ByPage.fold(expected.entry(visit.page).or_default(), visit);
    }
    let expected: Vec<PageTotal> = expected.into_iter().map(|(page, acc)| ByPage.finish(page, acc)).collect();
    assert_eq!(answer, expected);

    println!("{} of {} visits count", outcome.report.of("engaged").rows_out, rows.len());
    for total in answer.iter().take(3) {
        println!("page {:2}: {} visits, mean {} ms", total.page, total.visits, total.milliseconds / total.visits);
    }
    Ok(())
}
