//! One run of a simulated system: who does what when is a matter of choice.

use std::{
    cell::RefCell,
    fmt::Write,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::plan::{Target, Topology};
use coffee_mom::{Broker, ConsumerOptions, MemoryBroker};
use crossbeam_channel::{Receiver, unbounded};

use super::{
    Sabotage,
    choices::Choices,
    client::{Answer, Client},
    fate::Last,
    process::{self, Process, Site},
    query::QueryDesk,
    shared::Shared,
    submitted::Submitted,
};
use crate::{
    cluster::{QueryError, QueryReply, QueryRequest},
    job::JobState,
    results::{News, ResultsStore},
    runner::{Links, RunnerError, Turn},
};

/// Gateways.
const ENTRIES: usize = 2;

/// A run that takes so many steps does not end.
const MOST_STEPS: usize = 20_000;

/// Steps between two ticks of the query node.
const TICK: usize = 50;

/// Turns that a process takes in a row at most.
const TURNS: usize = 4;

/// Results are kept until the run is over.
const KEEP: Duration = Duration::from_secs(3600);

/// Queues are not bounded here: one thread can't wait for itself.
const QUEUE_FRAMES: usize = 1 << 20;

/// What a run is of.
#[derive(Clone, Copy)]
pub(super) struct Setup<'a> {
    pub topology: &'a Arc<Topology>,
    pub jobs: &'a [Arc<Submitted>],
    pub sabotage: Option<Sabotage>,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Ran {
    /// What each client got, or what went wrong.
    pub answers: Result<Vec<Answer>, String>,
    /// Whether a process came back without what it had kept.
    pub lost_disks: bool,
    pub choices: Vec<u32>,
    pub operations: u64,
    pub notes: Vec<String>,
}

/// Runs a system to its end.
pub(super) fn run(setup: Setup<'_>, choices: Choices, planned: Option<Last>, notes: bool) -> Ran {
    let shared = Rc::new(Shared::new(choices, planned, notes));
    let answers = World::new(setup, &shared).and_then(World::run);
    let (operations, notes, lost_disks) = (shared.fate.operations(), shared.notes(), shared.lost_disks());
    let choices = Rc::into_inner(shared).map(Shared::made).unwrap_or_default();
    Ran { answers, lost_disks, choices, operations, notes }
}

struct World {
    site: Site,
    processes: Vec<Process>,
    news: Receiver<News>,
    /// Whose turn it is, of the processes and then the clients.
    next: usize,
    steps: usize,
    /// Dead letters that have come.
    letters: usize,
}

impl World {
    fn new(setup: Setup<'_>, shared: &Rc<Shared>) -> Result<Self, String> {
        let Setup { topology, jobs, sabotage } = setup;
        let broker = Arc::new(MemoryBroker::new());
        let links = Links::declare(&*broker, topology, "simulated", QUEUE_FRAMES).map_err(|error| error.to_string())?;
        let query = Rc::new(QueryDesk::new(shared, topology).map_err(|error| error.to_string())?);
        let results = ResultsStore::in_memory(topology.clone(), KEEP).map_err(|error| error.to_string())?;
        let results = Arc::new(results);
        let client = |job| Client::new(shared, &query, &results, topology, job);
        let clients = Rc::new(RefCell::new(jobs.iter().enumerate().map(client).collect()));
        let (news, told) = unbounded();
        let site = Site {
            shared: shared.clone(),
            topology: topology.clone(),
            broker,
            links,
            query,
            results,
            news,
            clients,
            sabotage,
        };
        Ok(World { processes: process::all(topology, ENTRIES), site, news: told, next: 0, steps: 0, letters: 0 })
    }

    fn run(mut self) -> Result<Vec<Answer>, String> {
        while self.steps < MOST_STEPS {
            self.step()?;
            if self.is_over() {
                self.check_nothing_is_left()?;
                let mut clients = self.site.clients.borrow_mut();
                let answers: Vec<Answer> = clients.iter_mut().filter_map(|client| client.answer.take()).collect();
                if answers.iter().any(Answer::lacks_results) && self.letters == 0 {
                    return Err("results can't be had, and nobody is told why".to_owned());
                }
                return Ok(answers);
            }
        }
        Err(format!("it does not end: {}", self.describe()))
    }

    /// Somebody does something.
    fn step(&mut self) -> Result<(), String> {
        let actors = self.processes.len() + self.site.clients.borrow().len();
        let actor = (self.next + self.site.shared.below(actors)) % actors;
        self.next = (actor + 1) % actors;
        self.steps += 1;
        if self.steps.is_multiple_of(TICK) {
            self.site.query.tick();
            self.sweep()?;
        }
        self.tell();
        match actor.checked_sub(self.processes.len()) {
            None => self.act(actor)?,
            Some(client) => self.client(client)?,
        }
        self.announce()
    }

    /// A process starts, or works.
    fn act(&mut self, at: usize) -> Result<(), String> {
        let World { site, processes, .. } = self;
        let shared = site.shared.clone();
        let process = &mut processes[at];
        if !process.is_alive() {
            // Some come late.
            if shared.once_in(3) {
                return Ok(());
            }
            shared.note(|| format!("{} starts", process.name));
            let started = process.start(site);
            return ended(&shared, process, started.map(|()| Turn::Worked));
        }
        shared.doom();
        if shared.once_in(40) {
            process.refresh(site)?;
        }
        if shared.once_in(400) {
            process.ask_to_stop();
        }
        for _ in 0..=shared.below(TURNS) {
            let turned = process.turn();
            let idle = matches!(turned, Ok(Turn::Idle));
            ended(&shared, process, turned)?;
            if idle || !process.is_alive() {
                break;
            }
        }
        Ok(())
    }

    fn client(&mut self, at: usize) -> Result<(), String> {
        let gateways: Vec<_> = self.processes.iter().filter_map(Process::gateway).collect();
        self.site.clients.borrow_mut().get_mut(at).map_or(Ok(()), |client| client.turn(&gateways))
    }

    /// What the query node tells to all reaches some.
    fn tell(&mut self) {
        let told: Vec<_> = self.site.query.told.borrow().try_iter().collect();
        for told in told {
            for process in &self.processes {
                if !self.site.shared.once_in(8) {
                    process.hear(&told);
                }
            }
        }
    }

    /// What the results node has to tell reaches the query node.
    fn announce(&mut self) -> Result<(), String> {
        let World { site, news, .. } = self;
        if news.try_iter().count() == 0 {
            return Ok(());
        }
        for job in site.results.untold().map_err(|error| error.to_string())? {
            let without = site.results.without(job).map_err(|error| error.to_string())?;
            let kept = match site.query.call(QueryRequest::Complete { job, without }) {
                Ok(QueryReply::State(JobState::Done)) => site.results.told(job),
                Ok(QueryReply::State(_)) | Err(QueryError::UnknownJob(_) | QueryError::Ended(_)) => {
                    site.results.discard(job)
                }
                other => return Err(format!("told of job {job}, the query node answered {other:?}")),
            };
            kept.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The results node drops what came of jobs after they had ended.
    fn sweep(&mut self) -> Result<(), String> {
        let Site { results, query, .. } = &self.site;
        for job in results.incomplete().map_err(|error| error.to_string())? {
            if query.state(job)?.is_ended() {
                results.discard_incomplete(job).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.site.clients.borrow().iter().all(|client| client.answer.is_some()) && self.site.query.is_closed()
    }

    /// Nothing of a job outlasts it.
    fn check_nothing_is_left(&mut self) -> Result<(), String> {
        self.settle()?;
        let mut left = String::new();
        for process in &mut self.processes {
            if !process.disk.is_empty() {
                let _ = write!(left, " records of {};", process.name);
            }
            if process.jobs() > 0 {
                let _ = write!(left, " {} jobs in {};", process.jobs(), process.name);
            }
            process.kill(); // so that what it has not acked waits
        }
        for job in self.site.results.incomplete().map_err(|error| error.to_string())? {
            let _ = write!(left, " results of job {job};");
        }
        self.letters = self.take_letters()?;
        for (queue, messages) in self.site.links.waiting(&*self.site.broker) {
            let _ = write!(left, " {messages} messages in {queue};");
        }
        if left.is_empty() { Ok(()) } else { Err(format!("something is left:{left}")) }
    }

    /// What people find of what was given up.
    fn take_letters(&self) -> Result<usize, String> {
        let Site { broker, links, .. } = &self.site;
        let Some(queue) = links.queue(Target::DeadLetters) else { return Ok(0) };
        let deadline = Instant::now() + KEEP;
        let consumer = broker.consumer(queue, ConsumerOptions::default(), deadline);
        let mut consumer = consumer.map_err(|error| error.to_string())?;
        let mut letters = 0;
        while let Ok(delivery) = consumer.deliveries().try_recv() {
            consumer.ack(delivery.tag).map_err(|error| error.to_string())?;
            letters += 1;
        }
        Ok(letters)
    }

    /// Lets everybody hear that the jobs have ended, and drop what is still under way.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            for process in &mut self.processes {
                if !process.is_alive() {
                    let started = process.start(&self.site);
                    ended(&self.site.shared, process, started.map(|()| Turn::Worked))?;
                }
                process.refresh(&self.site)?;
                while process.is_alive() {
                    let turned = process.turn();
                    let idle = matches!(turned, Ok(Turn::Idle));
                    ended(&self.site.shared, process, turned)?;
                    if idle {
                        break;
                    }
                }
            }
        }
        self.announce()?;
        self.sweep()
    }

    fn describe(&self) -> String {
        let clients: Vec<String> = self.site.clients.borrow().iter().map(Client::describe).collect();
        let waiting: Vec<String> = self
            .site
            .links
            .waiting(&*self.site.broker)
            .into_iter()
            .map(|(queue, messages)| format!("{messages} in {queue}"))
            .collect();
        format!("{}; waiting: {}", clients.join("; "), waiting.join(", "))
    }
}

/// Takes what came of a process's turn: what was its last, or is an error.
fn ended(shared: &Shared, process: &mut Process, turned: Result<Turn, RunnerError>) -> Result<(), String> {
    if shared.fate.take_death() {
        shared.note(|| format!("{} dies", process.name));
        process.kill();
        if shared.loses_disks() && process.lose_disk() {
            shared.note(|| format!("{} has lost what it had kept", process.name));
            shared.lose_disk();
        }
        return Ok(());
    }
    match turned {
        Ok(Turn::Over) if process.is_stopping() => {
            shared.note(|| format!("{} has stopped", process.name));
            process.kill();
            Ok(())
        }
        Ok(Turn::Over) => Err(format!("{} ended by itself", process.name)),
        Ok(_) => Ok(()),
        // It would end, and be started again.
        Err(RunnerError::Transport(error)) => {
            shared.note(|| format!("{} ends: {error}", process.name));
            process.kill();
            Ok(())
        }
        Err(error) => Err(format!("{} failed: {error}", process.name)),
    }
}
