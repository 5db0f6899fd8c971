//! A small plan, and jobs for it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use coffee_core::{
    frame::Sinks,
    operator::{Count, GroupBy},
    plan::{Placement, PlanBuilder, Topology},
};

use super::{
    desk::{Desk, Kept},
    effects::{Change, Effects},
    options::QueryOptions,
    rules::Rules,
};
use crate::job::{FileManifest, JobSpec, Manifest, TableManifest};

/// Counts numbers and words, in one stage of so many shards, besides the sinks.
pub(super) fn topology(shards: u16) -> Arc<Topology> {
    let builder = PlanBuilder::<u8>::new();
    let (_, numbers) = builder.rows::<u64>("numbers");
    numbers.aggregate("count-numbers", |_| GroupBy::new(|n: &u64| Some(n % 10), Count)).sink("numbers-counted");
    let (_, words) = builder.rows::<u64>("words");
    words.aggregate("count-words", |_| GroupBy::new(|n: &u64| Some(n % 10), Count)).sink("words-counted");
    let plan = Arc::new(builder.build().unwrap());
    let mut placement = Placement::of(&plan);
    placement.set_shards(None, shards).unwrap();
    Arc::new(Topology::new(plan, &placement).unwrap())
}

/// A job for all results, with a file of so many bytes.
pub(super) fn spec(bytes: u64) -> JobSpec {
    let file = FileManifest { name: "a.csv".into(), bytes, ends: 1, header: b"n".to_vec() };
    let table = |name: &str| TableManifest { name: name.into(), files: vec![file.clone()] };
    let manifest = Manifest { chunk_bytes: 1 << 20, tables: vec![table("numbers"), table("words")] };
    JobSpec { parameters: vec![3], sinks: Sinks::ALL, strict: false, manifest }
}

/// Small limits: 2 jobs run, 2 wait, 8 are known; 10 s for a client, two hours for one on which nothing goes on, 100 s for an ended job; parameter 0 is refused.
pub(super) fn options(state: impl Into<PathBuf>) -> QueryOptions {
    QueryOptions::new(state)
        .max_running(2)
        .max_waiting(2)
        .max_known(8)
        .client_timeout(Duration::from_secs(10))
        .progress_timeout(Duration::from_secs(7200))
        .keep(Duration::from_secs(100))
        .check(|parameters| if parameters == [0] { Err("zero of what?".into()) } else { Ok(()) })
}

pub(super) fn rules(shards: u16) -> Rules {
    Rules::new(topology(shards), options("nowhere"))
}

/// Keeps what a store would.
pub(super) fn keep(kept: &mut Kept, desk: &Desk, effects: &Effects) {
    for (number, change) in &effects.changes {
        assert_eq!(*change == Change::Minted, desk.record(*number).is_some() && !kept.jobs.contains_key(number));
    }
    kept.apply(desk, &effects.changes);
}
