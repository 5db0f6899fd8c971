//! Tries a plan of your own: whether its answer shows how it is placed, how its data is cut, what comes twice, late or in another
//! order, or who dies.
//!
//! A [`Trial`] runs one job by the embedded engine and as a [`Simulation`](crate::simulation), under placements that fuse the
//! plan and take it apart, with several shards and replicas, with and without combining, its data cut coarsely and finely. All
//! answers have to be the same, rejected rows and counts included, and where you give them, those that you expect. An operator that
//! breaks its laws, or a source that does not read each chunk by itself, shows sooner or later in a difference; the
//! [laws](coffee_core::operator::laws) name the operator, where this names the case.
//!
//! ```
//! use coffee_core::{operator::{AtLeast, Count}, plan::PlanBuilder};
//! use coffee_nodes::{job::Job, testkit::Trial};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = PlanBuilder::<u64>::new();
//! let (source, numbers) = builder.rows::<u64>("numbers");
//! let large = numbers.filter("large", |least| AtLeast::new(|n: &u64| *n, *least));
//! let counts = large.key(|n| n % 3).aggregate("count", |_| Count).sink("counts");
//!
//! let tried = Trial::new(builder.build()?)?
//!     .expect(&counts, [(2, 2), (1, 2), (0, 2)]) // as a plain program computes it
//!     .seeds(0..50)
//!     .deaths()
//!     .run(|topology| Ok(Job::new(topology, &3_u64)?.rows(&source, 1..=8_u64)))?;
//! assert_eq!(tried.seeds, 50);
//! # Ok(())
//! # }
//! ```
//!
//! What it costs is what is asked for: some dozens of runs of the job by each engine, one more a seed, and with
//! [`deaths`](Trial::deaths) two for each operation of a run under each kind of placement, which are some thousands; so give it some dozens of rows and not more than some thousands. How
//! far it is goes to the log. Rows and [text](crate::job::Job::text) are cut as finely as a case wants; a
//! [`Table`](crate::input::Table) is cut into chunks of 64 KiB at least, so give a trial the text of its files. A failure names the case, and what differs by row where the result's type is known, and how it is
//! made again: simulated runs are the same for the same seed, while embedded ones, on threads, may not fail each time.

mod answer;
mod case;
#[cfg(test)]
mod tests;
mod trial;

pub use case::Case;
pub use trial::{Trial, Tried};

use std::fmt;

use coffee_core::plan::PlacementError;

use crate::{
    embedded::EmbeddedError,
    job::JobError,
    simulation::{Broken, SimulationError},
};

/// What runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The [embedded](crate::embedded) engine.
    Embedded,
    /// A [simulation](crate::simulation) in which nothing goes wrong.
    Simulated,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Embedded => "embedded",
            Engine::Simulated => "simulated",
        })
    }
}

/// Why a plan does not stand its trial.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The plan's names are such that stages can't be told apart.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The job can't be made.
    #[error(transparent)]
    Job(#[from] JobError),
    /// There is no answer by the embedded engine.
    #[error("{case}, embedded: {error}")]
    Embedded {
        /// Where.
        case: Case,
        /// Why.
        #[source]
        error: Box<EmbeddedError>,
    },
    /// There is no answer of a simulated system in which nothing goes wrong.
    #[error("{case}, simulated: {error}")]
    Simulation {
        /// Where.
        case: Case,
        /// Why.
        #[source]
        error: Box<SimulationError>,
    },
    /// Another answer than the one that is expected, or than that of the first case.
    #[error("{case}, {engine}: {what}")]
    Differs {
        /// Where.
        case: Case,
        /// By which engine.
        engine: Engine,
        /// What differs, in words.
        what: String,
    },
    /// A simulated run with faults goes wrong.
    #[error("{case}, seed {seed}, which `.seeds({seed}..{seed} + 1)` runs again: {broken}")]
    Seed {
        /// Where.
        case: Case,
        /// By which seed.
        seed: u64,
        /// What happened. Its choices make the run [again](crate::simulation::Simulation::again), as simple as it could be made.
        broken: Box<Broken>,
    },
    /// A simulated run with one death goes wrong.
    #[error("{case}, by one death: {broken}")]
    Death {
        /// Where.
        case: Case,
        /// What happened.
        broken: Box<Broken>,
    },
}
