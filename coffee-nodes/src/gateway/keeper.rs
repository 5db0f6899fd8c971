//! Keeps the sessions: hears what happens to their jobs, tells the query node how they are, and their clients what is done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::frame::JobId;
use crossbeam_channel::{Receiver, select};

use super::{calls::Calls, entry::Ended, lookout::Lookout, registry::Registry};
use crate::{
    Stop,
    cluster::{Control, Heard},
    wire::Refusal,
};

/// How long it waits before it looks which sessions have something to say.
const LOOK_AROUND: Duration = Duration::from_millis(500);

/// How often clients are told what is done for their jobs.
const TELL: Duration = Duration::from_secs(1);

/// What keeps the sessions. Clones share it.
#[derive(Clone)]
pub(super) struct Keeper {
    pub calls: Arc<Calls>,
    pub registry: Arc<Registry>,
    pub lookout: Arc<Lookout>,
    pub ended: Ended,
    /// Triggered once nothing is heard any more.
    pub lost: Stop,
}

impl Keeper {
    /// Takes in what was told to all.
    pub fn hear(&self, heard: Heard) {
        match heard {
            Heard::Told(Control::Attached { job, epoch }) => {
                self.registry.of(job).iter().for_each(|session| session.supersede(epoch));
            }
            Heard::Told(Control::Result { job, .. }) => self.registry.announce(job),
            Heard::Told(Control::Admitted(job)) => self.hurry(job),
            Heard::Told(Control::Ended(job)) => {
                self.ended.tell(job);
                self.hurry(job);
            }
            // Sessions ask by themselves, and so do those who wait for results.
            Heard::Told(Control::Minted(_)) | Heard::Missed => {}
            Heard::Lost => self.lost.trigger(),
        }
    }

    /// Makes the calls of all sessions, until asked to stop; then once more, for their last words.
    pub fn run(self, wake: &Receiver<()>, stop: &Stop) {
        let mut told = Instant::now();
        while !stop.is_triggered() {
            select! {
                recv(wake) -> _ => {}
                recv(stop.receiver()) -> _ => break,
                default(LOOK_AROUND) => {}
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                // Before the calls, which take long where nobody answers.
                self.registry.sweep().iter().for_each(|session| session.worked(&self.lookout.work(session.job())));
            }
            self.attend();
        }
        self.registry.sweep().iter().for_each(|session| session.hurry());
        self.attend();
    }

    fn hurry(&self, job: JobId) {
        self.registry.of(job).iter().for_each(|session| session.hurry());
        self.registry.announce(job);
        self.registry.wake();
    }

    /// Makes the calls that are due, unless the query node does not answer: the others' would take as long to fail.
    fn attend(&self) {
        for session in self.registry.sweep() {
            let Some(duty) = session.duty(Instant::now()) else { continue };
            let answer = self.calls.discharge(session.job(), &duty);
            let unreachable = answer.as_ref().is_err_and(|refused| refused.code == Refusal::Unavailable);
            if session.answered(duty, answer) {
                self.ended.tell(session.job());
            }
            if unreachable {
                return;
            }
        }
    }
}
