//! Knows how the cluster is, for clients that ask: hears what all processes say of themselves, and while somebody watches looks
//! once a second what is in the queues, and what the query node knows.
//!
//! Each gateway does so by itself, so the query node's death, too, can be seen at any.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::{
    frame::JobId,
    plan::{Target, Topology},
};
use coffee_mom::{Broker, Consumer, Name, Outcome, Settled};
use crossbeam_channel::{Receiver, Sender, never, select};
use parking_lot::{Condvar, Mutex};

use super::{calls::Calls, options::GatewayOptions, refused::Refused};
use crate::{
    Stop,
    access::Caller,
    cluster::{ListenError, Names, Teller, again, listen_to},
    job::{ErrorReport, JobSummary, now_ms},
    orders::{OBEYED_WITHIN, Order, OrderTo},
    runner::Links,
    statistics::{Board, JobView, MOST_JOBS, NodeStatistics, NodeView, Overview, QueueView, StageWork, Statistics},
    wire::Refusal,
};

/// How often it looks, and how long it takes for an answer.
const EVERY: Duration = Duration::from_secs(1);

/// Nobody watches who has not asked for so long.
const WATCHED: Duration = Duration::from_secs(5);

/// What was looked at so long ago is looked at again before it is told.
const FRESH: Duration = Duration::from_millis(2500);

/// How long whoever asks waits for that: less than clients wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is told where not even the gateway's own word comes back.
const DEAF: &str = "nothing is heard through the broker, so nodes may be alive that look dead";

/// What is known; shared by the threads that find out and those that tell.
pub(super) struct Lookout {
    gateway: String,
    broker: Arc<dyn Broker>,
    names: Names,
    /// This process's.
    own: Statistics,
    state: Mutex<State>,
    looked: Condvar,
    wake: Sender<()>,
}

#[derive(Default)]
struct State {
    board: Board,
    asked: Option<Instant>,
    found: Found,
    /// The gateway stops.
    over: bool,
}

/// What a look has found.
#[derive(Clone, Default)]
struct Found {
    at: Option<Instant>,
    queues: Vec<(QueueView, Instant)>,
    jobs: Vec<JobSummary>,
    errors: Vec<ErrorReport>,
    stale: Option<String>,
}

impl Found {
    fn is_fresh(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH)
    }
}

impl Lookout {
    /// Knows nothing yet. `wake` makes [`Looking::run`] look at once.
    pub fn new(options: &GatewayOptions, broker: &Arc<dyn Broker>, names: &Names, wake: Sender<()>) -> Self {
        let (gateway, own) = (options.name.clone(), options.statistics.clone());
        let (broker, names) = (broker.clone(), names.clone());
        Lookout { gateway, broker, names, own, state: Mutex::default(), looked: Condvar::new(), wake }
    }

    /// How the cluster is, at most some seconds ago. Waits a moment where nobody has watched so far.
    pub fn overview(&self) -> Overview {
        let (now, deadline) = (Instant::now(), Instant::now() + PATIENCE);
        let mut state = self.state.lock();
        state.asked = Some(now);
        while !state.found.is_fresh(now) {
            let _ = self.wake.try_send(()); // full: it is about to look
            if state.over || self.looked.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let State { board, found, .. } = &*state;
        let nodes = board.nodes(Instant::now());
        let stale = found.stale.clone().or_else(|| {
            let late = || (!found.is_fresh(now)).then_some("queues and jobs are being looked for");
            self.is_deaf(&nodes).then_some(DEAF).or_else(late).map(str::to_owned)
        });
        let job = |summary: &JobSummary| {
            // Of one that has ended, only some nodes may know yet.
            let stages = if summary.state.is_ended() { Vec::new() } else { board.work(summary.job) };
            JobView { summary: summary.clone(), stages }
        };
        let overview = Overview {
            at_ms: now_ms(),
            gateway: self.gateway.clone(),
            nodes,
            queues: found.queues.iter().map(|(queue, _)| queue.clone()).collect(),
            jobs: found.jobs.iter().map(job).collect(),
            errors: found.errors.clone(),
            stale,
            left_out: 0,
        };
        drop(state);
        overview.fit()
    }

    /// What is known to be done for a job: of this process, what it has counted by now.
    pub fn work(&self, job: JobId) -> Vec<StageWork> {
        let own = self.own.loops();
        self.state.lock().board.work_with(job, &self.gateway, &own)
    }

    /// Whether this process does not hear itself, which tells the others of itself as all do.
    fn is_deaf(&self, nodes: &[NodeView]) -> bool {
        !nodes.is_empty() && !nodes.iter().any(|node| node.alive && node.name() == self.gateway)
    }

    /// Nobody who asks waits any more.
    pub fn end(&self) {
        self.state.lock().over = true;
        self.looked.notify_all();
    }

    /// Tells a life of a node to do something. Ok: the broker has the order. What it takes later than an error was told goes with a
    /// link that comes back, and the node does not obey it any more.
    pub fn order(&self, node: &str, life: u64, order: Order) -> Result<(), Refused> {
        let nodes = self.state.lock().board.nodes(Instant::now());
        let invalid = |text: String| Err(Refused::new(Refusal::Invalid, text));
        let order = match nodes.iter().find(|known| known.name() == node) {
            None => return invalid(format!("{node:?} was not heard here")),
            Some(known) if !known.takes_orders() => return invalid(format!("{node} is a monitor: it takes no orders")),
            Some(known) if known.identity.life != life => return invalid(format!("{node} has been started again")),
            Some(known) if !known.alive => {
                return invalid(if self.is_deaf(&nodes) { DEAF.to_owned() } else { format!("{node} is not alive") });
            }
            Some(known) => OrderTo::new(known, order),
        };
        let unavailable = |error: ListenError| Refused::unavailable(error.to_string());
        let exchange = self.names.orders().map_err(|error| unavailable(error.into()))?;
        let mut teller = Teller::new(&*self.broker, &exchange).map_err(unavailable)?;
        teller.tell(&order, EVERY);
        match teller.settled().recv_timeout(EVERY) {
            Ok(Settled { outcome: Outcome::Confirmed, .. }) => Ok(()),
            _ => Err(Refused::unavailable(format!(
                "the broker may not have taken the order: it is obeyed within {} s, or never",
                OBEYED_WITHIN.as_secs()
            ))),
        }
    }

    /// Hears what all say of themselves, until asked to stop.
    pub fn hear(&self, monitors: Option<&Receiver<NodeStatistics>>, stop: &Stop) {
        let listen = || listen_to(&*self.broker, &self.names.statistics()?);
        let hear = |consumer| self.hear_by(consumer, monitors.unwrap_or(&never()), stop);
        again("the other nodes can't be heard", stop, listen, hear);
    }

    fn hear_by(&self, mut consumer: Box<dyn Consumer>, monitors: &Receiver<NodeStatistics>, stop: &Stop) {
        let mut of_monitors = monitors.clone();
        loop {
            select! {
                recv(consumer.deliveries()) -> delivery => {
                    let Ok(delivery) = delivery else { return }; // the queue or the broker is gone
                    if let Ok(said) = postcard::from_bytes(&delivery.message.body) {
                        self.note(said);
                    }
                    // Lost with its connection, the next word makes up for it.
                    let _ = consumer.ack(delivery.tag);
                }
                recv(of_monitors) -> said => match said {
                    Ok(said) => self.note(said),
                    Err(_) => of_monitors = never(),
                },
                recv(stop.receiver()) -> _ => return,
            }
        }
    }

    fn note(&self, said: NodeStatistics) {
        self.state.lock().board.note(said, Instant::now());
    }
}

/// What is looked at.
pub(super) struct Looking {
    pub lookout: Arc<Lookout>,
    pub links: Links,
    pub topology: Arc<Topology>,
    pub calls: Arc<Calls>,
}

impl Looking {
    /// Looks while somebody watches, until asked to stop.
    pub fn run(self, woken: &Receiver<()>, stop: &Stop) {
        while !stop.is_triggered() {
            select! {
                recv(woken) -> _ => {}
                recv(stop.receiver()) -> _ => return,
                default(EVERY) => {}
            }
            let state = self.lookout.state.lock();
            let watched = state.asked.is_some_and(|asked| asked.elapsed() < WATCHED);
            let found = watched.then(|| state.found.clone());
            drop(state);
            if let Some(mut found) = found {
                self.look(&mut found);
                self.lookout.state.lock().found = found;
                self.lookout.looked.notify_all();
            }
        }
    }

    /// What can't be found stays as it was, and that is told.
    fn look(&self, found: &mut Found) {
        found.stale = None;
        match self.queues(&found.queues) {
            Ok(queues) => found.queues = queues,
            Err(error) => found.stale = Some(format!("the broker does not tell of its queues: {error}")),
        }
        if let Err(refused) = self.ask_query_node(found) {
            found.stale = Some(refused);
        }
        found.at = Some(Instant::now());
    }

    fn ask_query_node(&self, found: &mut Found) -> Result<(), String> {
        // Whoever is shown it is an operator.
        let listed = self.calls.query(|query, _| query.list(&Caller::local(), Instant::now() + EVERY));
        let jobs = listed.map_err(|refused| refused.text)?;
        let living: HashSet<JobId> = jobs.iter().filter(|it| !it.state.is_ended()).map(|it| it.job).collect();
        self.lookout.state.lock().board.keep_jobs(|job| living.contains(&job));
        found.jobs = shown(jobs);
        let errors = self.calls.query(|query, _| query.errors(Instant::now() + EVERY));
        found.errors = errors.map_err(|refused| refused.text)?;
        Ok(())
    }

    fn queues(&self, before: &[(QueueView, Instant)]) -> Result<Vec<(QueueView, Instant)>, coffee_mom::AttachError> {
        let stages = (0..).zip(self.topology.stages());
        let mut queues = Vec::new();
        for (stage, info) in stages {
            for shard in 0..info.queues() {
                let Some(queue) = self.links.queue(Target::Stage { stage, shard }) else { continue };
                let name = format!("{}.{shard}", info.name);
                let last = before.iter().find(|(last, _)| last.name == name);
                queues.push(self.queue(queue, name, (&info.name, shard), last)?);
            }
        }
        Ok(queues)
    }

    fn queue(
        &self,
        queue: &Name,
        name: String,
        (stage, shard): (&str, u16),
        before: Option<&(QueueView, Instant)>,
    ) -> Result<(QueueView, Instant), coffee_mom::AttachError> {
        let status = self.lookout.broker.queue_status(queue, Instant::now() + EVERY)?;
        let now = Instant::now();
        let flow = self.lookout.state.lock().board.flow(stage, shard, now);
        let ready = status.ready as u64;
        let grown = before.map_or(0.0, |(before, at)| {
            (ready as f64 - before.ready as f64) / now.saturating_duration_since(*at).as_secs_f64().max(0.1)
        });
        // What has gone and not waited any more must have come.
        let coming = (flow.rate as f64 + grown).max(0.0) as u64;
        let consumers = status.consumers as u64;
        Ok((QueueView { name, ready, consumers, unacked: flow.in_hand, coming, going: flow.rate }, now))
    }
}

/// Those that have not ended, and then the newest of the others; oldest first.
fn shown(mut jobs: Vec<JobSummary>) -> Vec<JobSummary> {
    jobs.sort_by_key(|it| (!it.state.is_ended(), it.job.number));
    let mut shown = jobs.split_off(jobs.len().saturating_sub(MOST_JOBS));
    shown.sort_by_key(|it| it.job.number);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobState;

    #[test]
    fn jobs_that_live_are_shown_however_many_others_came_later() {
        let summary = |number: u64| JobSummary {
            job: JobId { cluster: 1, number },
            state: if number == 3 { JobState::Running } else { JobState::Done },
            minted_ms: 0,
            ended_ms: None,
            bytes: 0,
            chunks: 0,
            uploaded: true,
            without: Vec::new(),
            owner: None,
        };
        let all: Vec<JobSummary> = (0..300).map(summary).collect();
        let numbers: Vec<u64> = shown(all).iter().map(|it| it.job.number).collect();
        let newest = 300 - (MOST_JOBS as u64 - 1);
        assert_eq!(numbers, [3].into_iter().chain(newest..300).collect::<Vec<_>>());
    }
}
