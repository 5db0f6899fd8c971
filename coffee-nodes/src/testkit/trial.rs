//! A trial: one job in many cases.

use std::{collections::BTreeSet, fmt::Debug, num::NonZeroUsize, ops::Range, sync::Arc};

use coffee_core::{
    operator::Row,
    plan::{PlacementError, Plan, SinkId, Topology},
};

use super::{
    Case, Engine, TrialError,
    answer::{Answer, Expected},
    case::{Layout, layouts},
};
use crate::{
    embedded::Embedded,
    job::{Job, JobError, Place},
    simulation::{Broken, Simulation},
};

/// Into about so many chunks the largest table is cut.
const CHUNKS: [u32; 3] = [4, 1, 16];

/// Threads that read the data, so that chunks come in any order.
const READERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// A plan, what is expected of it, and what it is put through.
pub struct Trial {
    plan: Arc<Plan>,
    layouts: Vec<Arc<Layout>>,
    expected: Expected,
    seeds: Range<u64>,
    deaths: bool,
}

/// What a trial took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Cases, each run by the embedded engine and simulated without faults.
    pub cases: usize,
    /// Simulated runs with faults that a seed decides.
    pub seeds: u64,
    /// Simulated runs with one death.
    pub deaths: u64,
}

impl Trial {
    /// A trial without seeds and deaths: all cases, in which nothing goes wrong.
    ///
    /// # Errors
    /// Where the plan's names are such that stages can't be told apart.
    pub fn new(plan: impl Into<Arc<Plan>>) -> Result<Self, PlacementError> {
        let plan = plan.into();
        let (layouts, expected) = (layouts(&plan)?, Expected::default());
        Ok(Trial { plan, layouts, expected, seeds: 0..0, deaths: false })
    }

    /// Expects these rows of a result, in any order. Of results of which nothing is expected, all cases only have to agree.
    #[must_use]
    pub fn expect<R: Row + Ord + Debug>(mut self, sink: &SinkId<R>, rows: impl IntoIterator<Item = R>) -> Self {
        self.expected.rows(sink, rows);
        self
    }

    /// Adds a simulated run with faults for each of these seeds; they take turns among the cases.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Adds simulated runs with one death and no other fault, for each operation that there is, before and behind it; under one
    /// placement of each kind.
    #[must_use]
    pub fn deaths(mut self) -> Self {
        self.deaths = true;
        self
    }

    /// Tries the job that is made for each of the topologies, always the same one; how its data is cut is decided here. Takes
    /// as long as it takes.
    ///
    /// # Errors
    /// The first case in which the answer is another one, or there is none.
    pub fn run<'j>(&self, job: impl Fn(&Arc<Topology>) -> Result<Job<'j>, JobError>) -> Result<Tried, TrialError> {
        let cases = self.cases(&job)?;
        let made = |case: &Case| Ok::<_, TrialError>(job(case.topology())?.chunk_bytes(case.chunk_bytes));
        let mut right = None;
        for case in &cases {
            self.run_embedded(case, &made(case)?, &mut right)?;
        }
        log::info!("{} cases have one answer", cases.len());
        let mut tried = Tried { cases: cases.len(), ..Tried::default() };
        for (at, case) in (0..).zip(&cases) {
            let simulation = self.simulate(case, made(case)?, &mut right)?;
            tried.seeds += self.run_seeds(case, &simulation, at, cases.len() as u64)?;
            tried.deaths += self.run_deaths(case, &simulation)?;
            log::info!("{case}: simulated, case {} of {}", at + 1, cases.len());
        }
        Ok(tried)
    }

    /// The cases, which depend on the size of the data too: the most telling ones first.
    fn cases<'j>(&self, job: &impl Fn(&Arc<Topology>) -> Result<Job<'j>, JobError>) -> Result<Vec<Case>, TrialError> {
        let largest = self.layouts.first().map_or(Ok(0), |layout| largest_table(&job(&layout.topology)?))?;
        let mut seen = BTreeSet::new();
        let sizes = CHUNKS.map(|chunks| largest.div_ceil(chunks).max(1)).into_iter().filter(|size| seen.insert(*size));
        let of_size = |(at, chunk_bytes)| {
            let case = move |layout: &Arc<Layout>| {
                let deaths = at == 0 && layout.first_of_kind;
                Case { layout: layout.clone(), chunk_bytes, deaths }
            };
            self.layouts.iter().map(case)
        };
        Ok(sizes.enumerate().flat_map(of_size).collect())
    }

    fn run_embedded(&self, case: &Case, job: &Job<'_>, right: &mut Option<Answer>) -> Result<(), TrialError> {
        let outcome = Embedded::new().threads(READERS).run(job);
        let outcome = outcome.map_err(|error| TrialError::Embedded { case: case.clone(), error: Box::new(error) })?;
        self.compare(case, Engine::Embedded, Answer::embedded(&outcome), right)
    }

    fn simulate(&self, case: &Case, job: Job<'_>, right: &mut Option<Answer>) -> Result<Simulation, TrialError> {
        let simulation = Simulation::new(&[job]);
        let simulation =
            simulation.map_err(|error| TrialError::Simulation { case: case.clone(), error: Box::new(error) })?;
        if let [answer] = simulation.reference() {
            let differs = |what| TrialError::Differs { case: case.clone(), engine: Engine::Simulated, what };
            let answer = Answer::simulated(&self.plan, answer).map_err(differs)?;
            self.compare(case, Engine::Simulated, answer, right)?;
        }
        Ok(simulation)
    }

    /// The first answer is the right one, where it is as expected.
    fn compare(
        &self,
        case: &Case,
        engine: Engine,
        answer: Answer,
        right: &mut Option<Answer>,
    ) -> Result<(), TrialError> {
        let what = self.expected.against(&answer);
        let what = what.or_else(|| right.as_ref().and_then(|right| self.expected.between(&answer, right)));
        right.get_or_insert(answer);
        what.map_or(Ok(()), |what| Err(TrialError::Differs { case: case.clone(), engine, what }))
    }

    /// Runs the seeds whose turn is with the case of this number.
    fn run_seeds(&self, case: &Case, simulation: &Simulation, at: u64, cases: u64) -> Result<u64, TrialError> {
        let mut runs = 0;
        for seed in self.seeds.clone().filter(|seed| seed % cases == at) {
            runs += 1;
            simulation.run(seed).map_err(|broken| {
                let broken = Box::new(self.told(simulation, broken));
                TrialError::Seed { case: case.clone(), seed, broken }
            })?;
        }
        Ok(runs)
    }

    fn run_deaths(&self, case: &Case, simulation: &Simulation) -> Result<u64, TrialError> {
        if !self.deaths || !case.deaths {
            return Ok(0);
        }
        simulation.run_all_deaths().map_err(|broken| {
            let broken = Box::new(self.told(simulation, broken));
            TrialError::Death { case: case.clone(), broken }
        })
    }

    /// Tells a wrong answer by its rows.
    fn told(&self, simulation: &Simulation, mut broken: Broken) -> Broken {
        let answers = broken.answer.as_ref().zip(simulation.reference().first());
        let what = answers.and_then(|(wrong, right)| {
            let answer = match Answer::simulated(&self.plan, &wrong.answer) {
                Ok(answer) => answer,
                Err(what) => return Some(what),
            };
            self.expected.between(&answer, &Answer::simulated(&self.plan, right).ok()?)
        });
        if let Some(what) = what {
            broken.what = what;
        }
        broken
    }
}

/// How many bytes the job's largest table has, as its chunks hold it.
fn largest_table(job: &Job<'_>) -> Result<u32, JobError> {
    let mut largest = 0;
    let mut buffer = Vec::new();
    for (_, feed) in job.fed()? {
        let mut chunks = feed.chunks(job.most_chunk_bytes(), Place::default())?;
        let mut bytes = 0_usize;
        while chunks.fill(&mut buffer)?.is_some() {
            bytes += buffer.len();
            buffer.clear();
        }
        largest = largest.max(bytes);
    }
    Ok(u32::try_from(largest).unwrap_or(u32::MAX))
}
