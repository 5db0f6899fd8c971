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
//! ```
//! # use std::{error::Error, sync::Arc};
//! # use coffee_core::{operator::{Count, GroupBy}, plan::{Placement, PlanBuilder, Topology}};
//! use coffee_nodes::simulation::{SimulatedJob, Simulation};
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let builder = PlanBuilder::<()>::new();
//! let (_, words) = builder.rows::<u64>("numbers");
//! words.aggregate("count", |_| GroupBy::new(|n: &u64| Some(n % 3), Count)).sink("counts");
//! let plan = Arc::new(builder.build()?);
//! let topology = Arc::new(Topology::new(plan.clone(), &Placement::of(&plan))?);
//!
//! let job = SimulatedJob::new(&topology, &())?.rows("numbers", &[1_u64, 2, 3, 4, 5], 2)?;
//! let simulation = Simulation::new(topology, vec![job])?;
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
mod job;
mod process;
mod query;
mod shared;
#[cfg(test)]
mod tests;
mod world;

pub use client::Answer;
pub use fate::Last;
pub use job::SimulatedJob;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::{node::Node, plan::Topology};

use self::{
    choices::{Choices, simplify},
    process::Kind,
    world::{Ran, Setup, run},
};

/// How long it is tried to make a failing run simpler.
const SIMPLER: Duration = Duration::from_secs(20);

/// Puts a fault into a node, to see whether it is found.
type Sabotage = fn(Kind, Box<dyn Node>) -> Box<dyn Node>;

/// A system and the jobs that its clients submit. Runs are independent: any number of threads may make them.
pub struct Simulation {
    topology: Arc<Topology>,
    jobs: Vec<SimulatedJob>,
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
    /// Runs the jobs once with nothing going wrong: what they answer then is what they have to answer always.
    ///
    /// # Errors
    /// Where not even that goes well.
    pub fn new(topology: Arc<Topology>, jobs: Vec<SimulatedJob>) -> Result<Self, Broken> {
        let mut simulation = Simulation { topology, jobs, reference: Vec::new(), sabotage: None };
        let ran = simulation.ran(Choices::again(Vec::new()), None, true);
        match ran.answers {
            Ok(answers) => simulation.reference = answers,
            Err(what) => return Err(Broken { what, choices: ran.choices, last: None, notes: ran.notes }),
        }
        Ok(simulation)
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
        let Err(what) = self.verdict(&ran) else { return Ok(()) };
        let until = Instant::now() + SIMPLER;
        let fails = |choices: &[u32]| (Instant::now() < until).then(|| self.again(choices, false).is_err());
        let simplest = simplify(&ran.choices, fails);
        self.again(&simplest, true)?;
        // It went wrong once, and can't be told better than that.
        Err(Broken { what, choices: ran.choices, last: None, notes: Vec::new() })
    }

    /// The run that these choices make, told in full where `notes` are wanted.
    ///
    /// # Errors
    /// Where it goes wrong.
    pub fn again(&self, choices: &[u32], notes: bool) -> Result<(), Broken> {
        let ran = self.ran(Choices::again(choices.to_vec()), None, notes);
        let verdict = self.verdict(&ran);
        verdict.map_err(|what| Broken { what, choices: choices.to_vec(), last: None, notes: ran.notes })
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
                if let Err(what) = self.verdict(&ran) {
                    let notes = self.ran(Choices::again(Vec::new()), last, true).notes;
                    return Err(Broken { what, choices: Vec::new(), last, notes });
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

    /// What is wrong with a run.
    fn verdict(&self, ran: &Ran) -> Result<(), String> {
        let answers = ran.answers.as_ref().map_err(Clone::clone)?;
        for (number, (answer, right)) in answers.iter().zip(&self.reference).enumerate() {
            let cancelled = *answer == Answer::Cancelled && self.jobs[number].may_be_cancelled;
            // Part of it is gone for good, and that is said.
            let lost = ran.lost_disks && matches!(answer, Answer::Failed(why) if why.contains("has lost the store"));
            if answer != right && !cancelled && !lost {
                return Err(format!("job {number} is answered by {answer:?}, not by {right:?}"));
            }
        }
        Ok(())
    }
}
