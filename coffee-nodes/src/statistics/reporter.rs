//! Says once a second what the process does, and soon after the end of a stream, to whoever listens at the statistics exchange.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_mom::{Broker, Outcome, Settled};
use crossbeam_channel::select;

use super::Sampler;
use crate::{
    Stop,
    cluster::{Names, Teller, again},
    threads::Threads,
};

/// How often it is said.
const EVERY: Duration = Duration::from_secs(1);

/// How long after the last time at least, also where something should be told soon.
const APART: Duration = Duration::from_millis(20);

/// How long the broker may take for it: what it does not take by then is dropped, as the next follows soon.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reports on a thread, `statistics`, until it is dropped.
#[derive(Debug)]
pub struct Reporter {
    _threads: Threads,
}

impl Reporter {
    /// Reports from now on. A broker that refuses is asked again.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(broker: &Arc<dyn Broker>, names: &Names, sampler: Sampler) -> io::Result<Self> {
        let reporting = Reporting { broker: broker.clone(), names: names.clone(), sampler };
        let threads = Threads::default();
        threads.start("statistics", move |stop| reporting.run(stop))?;
        Ok(Reporter { _threads: threads })
    }
}

/// The thread's own.
struct Reporting {
    broker: Arc<dyn Broker>,
    names: Names,
    sampler: Sampler,
}

impl Reporting {
    fn run(&self, stop: &Stop) {
        let teller = || Teller::new(&*self.broker, &self.names.statistics()?);
        again("nobody is told how the node is", stop, teller, |teller| self.report(teller, stop));
    }

    /// Until the broker is closed, or the exchange is gone.
    fn report(&self, mut teller: Teller, stop: &Stop) {
        let (mut due, mut told) = (Instant::now(), Instant::now());
        loop {
            select! {
                recv(teller.settled()) -> settled => match settled {
                    Ok(Settled { outcome: Outcome::Refused(_), .. }) | Err(_) => return,
                    Ok(_) => {}
                },
                recv(self.sampler.hurried()) -> _ => due = due.min(told + APART),
                recv(stop.receiver()) -> _ => return,
                default(due.saturating_duration_since(Instant::now())) => {
                    teller.tell(&self.sampler.sample(), PATIENCE);
                    told = Instant::now();
                    due = told + EVERY;
                }
            }
        }
    }
}
