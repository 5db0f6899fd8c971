//! A whole system in one thread, with deaths, repetitions and disorder: to be tested, and to test what is built on it.
//!
//! The nodes, the runner, the transport, the query node's decisions and the results store are those of a real cluster. Simulated
//! are what is between them: clients and gateways' sessions, calls, time, disks, and the broker's connection, which
//! [`coffee_mom::faults`] lets go wrong. Who acts when, who dies before or behind which of its operations, what comes
//! twice, late or in another order is drawn from a seed, and who is asked to stop, or loses what it had kept; the same seed
//! gives the same run. Each job's answer has to be that of the run in which nothing goes wrong, results that can't be had for an
//! operator's panic included, or a failure that names the lost disk; each run has to end, and nothing of a job may be left on
//! disks, in queues, unacked, or in nodes.
//!
//! Not simulated: full queues, a query node that does not answer, disks that are full, other gateways' sessions taking over at
//! the query node. Real processes and brokers are for those.
//!
//! [`testkit`](crate::testkit) runs simulations of a plan under many placements.
//!
//! ```
//! # use std::error::Error;
//! # use coffee_core::{operator::Count, plan::{PlanBuilder, Topology}};
//! use coffee_nodes::{job::Job, simulation::Simulation};
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let builder = PlanBuilder::<()>::new();
//! let (source, numbers) = builder.rows::<u64>("numbers");
//! numbers.key(|n| n % 3).aggregate("count", |_| Count).sink("counts");
//! let topology = Topology::of(builder.build()?)?;
//!
//! // Chunks of two bytes: each has two of these rows.
//! let job = Job::new(&topology, &())?.rows(&source, [1_u64, 2, 3, 4, 5]).chunk_bytes(2);
//! let simulation = Simulation::new(&[job])?;
//! for seed in 0..20 {
//!     simulation.run(seed)?;
//! }
//! # Ok(())
//! # }
//! ```

mod choices;
mod client;
mod disk;
mod fate;
mod process;
mod query;
mod shared;
mod submitted;
#[cfg(test)]
mod tests;
mod world;

pub use client::Answer;
pub use fate::Last;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::{node::Node, plan::Topology};

use self::{
    choices::{Choices, simplify},
    process::Kind,
    submitted::Submitted,
    world::{Ran, Setup, run},
};
use crate::job::{Job, JobError};

/// How long it is tried to make a failing run simpler.
const SIMPLER: Duration = Duration::from_secs(20);

/// Puts a fault into a node, to see whether it is found.
type Sabotage = fn(Kind, Box<dyn Node>) -> Box<dyn Node>;

/// A system and the jobs that its clients submit. Runs are independent: any number of threads may make them.
pub struct Simulation {
    topology: Arc<Topology>,
    jobs: Vec<Arc<Submitted>>,
    reference: Vec<Answer>,
    sabotage: Option<Sabotage>,
}

/// A run that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong.
    pub what: String,
    /// The choices by which the run is made [again](Simulation::again).
    pub choices: Vec<u32>,
    /// The operation that was planned to be a process's last.
    pub last: Option<Last>,
    /// What happened before, as far as it is known.
    pub notes: Vec<String>,
    /// The wrong answer; `None` where something else is wrong.
    pub answer: Option<Box<WrongAnswer>>,
}

/// An answer that is not that of the run in which nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongAnswer {
    /// Which job's, counted from 0.
    pub job: usize,
    /// What it got.
    pub answer: Answer,
}

/// Why jobs can't be simulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// There is no job.
    #[error("there is no job to simulate")]
    NoJob,
    /// Jobs of several topologies: a system has one.
    #[error("the jobs are not all of one topology")]
    Topologies,
    /// A job can't be run, or its data not be sent more than once.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Something goes wrong without any fault.
    #[error("without any fault: {0}")]
    Broken(#[from] Box<Broken>),
}

/// What is wrong with a run.
struct Wrong {
    what: String,
    answer: Option<Box<WrongAnswer>>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Wrong { what, answer: None }
    }
}

impl Wrong {
    fn after(self, choices: Vec<u32>, last: Option<Last>, notes: Vec<String>) -> Broken {
        Broken { what: self.what, choices, last, notes, answer: self.answer }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after choices {:?}", self.what, self.choices)?;
        self.last.map_or(Ok(()), |last| write!(f, " and {last:?}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

impl std::error::Error for Broken {}

impl Simulation {
    /// Runs the jobs, which are all of one topology, once with nothing going wrong: what they answer then is what they have
    /// to answer always. Their data is held in memory, in chunks of the jobs' own sizes, which may be as small as a row.
    ///
    /// # Errors
    /// Where not even that goes well.
    pub fn new(jobs: &[Job<'_>]) -> Result<Self, SimulationError> {
        let topology = jobs.first().ok_or(SimulationError::NoJob)?.topology().clone();
        if jobs.iter().any(|job| job.topology().version() != topology.version()) {
            return Err(SimulationError::Topologies);
        }
        let jobs = jobs.iter().map(|job| Submitted::of(job).map(Arc::new)).collect::<Result<_, _>>()?;
        let mut simulation = Simulation { topology, jobs, reference: Vec::new(), sabotage: None };
        let ran = simulation.ran(Choices::again(Vec::new()), None, true);
        match ran.answers {
            Ok(answers) => simulation.reference = answers,
            Err(what) => return Err(Box::new(Wrong::from(what).after(ran.choices, None, ran.notes)).into()),
        }
        Ok(simulation)
    }

    /// Lets the client of a job, counted from 0, cancel it at any moment, in runs in which there is chance: it is answered or
    /// not, and nothing of it is left either way.
    #[must_use]
    pub fn may_be_cancelled(mut self, job: usize) -> Self {
        if let Some(job) = self.jobs.get_mut(job) {
            Arc::make_mut(job).may_be_cancelled = true;
        }
        self
    }

    /// What each job answers.
    pub fn reference(&self) -> &[Answer] {
        &self.reference
    }

    /// A run that a seed decides.
    ///
    /// # Errors
    /// Where it goes wrong: made as simple as it can be, and told in full.
    pub fn run(&self, seed: u64) -> Result<(), Broken> {
        let ran = self.ran(Choices::of_seed(seed), None, false);
        let Err(wrong) = self.verdict(&ran) else { return Ok(()) };
        let until = Instant::now() + SIMPLER;
        let fails = |choices: &[u32]| (Instant::now() < until).then(|| self.again(choices, false).is_err());
        let simplest = simplify(&ran.choices, fails);
        self.again(&simplest, true)?;
        // It went wrong once, and can't be told better than that.
        Err(wrong.after(ran.choices, None, Vec::new()))
    }

    /// The run that these choices make, told in full where `notes` are wanted.
    ///
    /// # Errors
    /// Where it goes wrong.
    pub fn again(&self, choices: &[u32], notes: bool) -> Result<(), Broken> {
        let ran = self.ran(Choices::again(choices.to_vec()), None, notes);
        let verdict = self.verdict(&ran);
        verdict.map_err(|wrong| wrong.after(choices.to_vec(), None, ran.notes))
    }

    /// Runs with one death and no other fault, for each operation that there is, before and behind it. Returns how many
    /// runs that took.
    ///
    /// # Errors
    /// The first that goes wrong.
    pub fn run_all_deaths(&self) -> Result<u64, Broken> {
        let mut operation = 0;
        loop {
            for done in [false, true] {
                let last = Some(Last { operation, done });
                let ran = self.ran(Choices::again(Vec::new()), last, false);
                if let Err(wrong) = self.verdict(&ran) {
                    let notes = self.ran(Choices::again(Vec::new()), last, true).notes;
                    return Err(wrong.after(Vec::new(), last, notes));
                }
                if operation >= ran.operations {
                    return Ok(2 * operation + 1);
                }
            }
            operation += 1;
        }
    }

    fn ran(&self, choices: Choices, last: Option<Last>, notes: bool) -> Ran {
        let Simulation { topology, jobs, sabotage, .. } = self;
        run(Setup { topology, jobs, sabotage: *sabotage }, choices, last, notes)
    }

    fn verdict(&self, ran: &Ran) -> Result<(), Wrong> {
        let answers = ran.answers.as_ref().map_err(Clone::clone)?;
        for (number, ((answer, right), job)) in answers.iter().zip(&self.reference).zip(&self.jobs).enumerate() {
            let cancelled = *answer == Answer::Cancelled && job.may_be_cancelled;
            // Part of it is gone for good, and that is said.
            let lost = ran.lost_disks && matches!(answer, Answer::Failed(why) if why.contains("has lost the store"));
            if answer != right && !cancelled && !lost {
                let what = format!("job {number} is answered by {answer:?}, not by {right:?}");
                let wrong = WrongAnswer { job: number, answer: answer.clone() };
                return Err(Wrong { what, answer: Some(Box::new(wrong)) });
            }
        }
        Ok(())
    }
}
