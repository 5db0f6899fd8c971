//! How a job comes in and its data is kept track of: begin, attach, renew.

use coffee_core::frame::JobId;

use super::{Desk, Entry, Now};
use crate::{
    cluster::{Attached, Control, QueryError},
    job::{JobSpec, JobState, Mark},
    query::{
        effects::Effects,
        record::{Minted, Outdated, Phase, Progress},
        rules::MAX_SPECS,
    },
};

impl Desk {
    /// Mints a job, one a request, and admits it if there is room.
    pub(super) fn begin(
        &mut self,
        request: u128,
        spec: JobSpec,
        now: Now,
        effects: &mut Effects,
    ) -> Result<JobId, QueryError> {
        if let Some(number) = self.requests.get(&request).copied() {
            let job = self.id(number);
            refuse_other(job, &self.entry(job)?.minted, &spec)?;
            return Ok(job);
        }
        let minted = Minted { request, topology: self.rules.version(), at_ms: now.unix_ms, spec };
        let size = self.rules.check(&minted).map_err(QueryError::Invalid)?;
        let must_wait = self.count(&Phase::Running) >= self.rules.max_running;
        if must_wait && self.count(&Phase::Waiting) >= self.rules.max_waiting || !self.make_room(size, effects) {
            return Err(QueryError::Busy);
        }
        let progress = Progress::new(minted.spec.manifest.tables.len());
        self.highest += 1;
        let number = self.highest;
        self.requests.insert(request, number);
        self.jobs.insert(number, Entry::new(minted, progress, now, self.hearing.so_far(now.instant)));
        effects.minted(number);
        effects.tell.push(Control::Minted(self.id(number)));
        self.admit(effects);
        Ok(self.id(number))
    }

    /// Makes a caller with data the one session of its job, and gives it all the time that a client may be idle; one without
    /// only learns what there is.
    pub(super) fn attach(
        &mut self,
        job: JobId,
        session: u128,
        spec: Option<&JobSpec>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Attached, QueryError> {
        let heard = self.hearing.so_far(now.instant);
        let entry = self.served(job)?;
        if let Some(spec) = spec {
            refuse_other(job, &entry.minted, spec)?;
            if !entry.progress.has_ended() {
                let new = entry.progress.attach(session).map_err(|Outdated| QueryError::Superseded)?;
                entry.renewed = heard;
                if new {
                    effects.moved(job.number);
                    effects.tell.push(Control::Attached { job, epoch: entry.progress.epoch });
                }
            }
        }
        let (head, spec, progress) = (entry.minted.head(job), entry.minted.spec.clone(), entry.progress.clone());
        let state = self.state_of(job.number, &progress.phase);
        Ok(Attached { head, spec, epoch: progress.epoch, marks: progress.marks, state })
    }

    /// A session's client goes on, and is so far. Of a job that has ended meanwhile, that completes what is told of it.
    pub(super) fn renew(
        &mut self,
        job: JobId,
        epoch: u64,
        marks: &[Mark],
        now: Now,
        effects: &mut Effects,
    ) -> Result<JobState, QueryError> {
        let heard = self.hearing.so_far(now.instant);
        let entry = self.served(job)?;
        let is_newest = entry.progress.epoch == epoch;
        if !is_newest && !entry.progress.has_ended() {
            return Err(QueryError::Superseded);
        }
        entry.renewed = heard;
        if is_newest && entry.progress.advance(marks) {
            entry.course.moved(heard);
            effects.moved(job.number);
        }
        self.state(job)
    }

    /// Lets jobs run, in the order that they came, while there is room.
    pub(super) fn admit(&mut self, effects: &mut Effects) {
        let running = self.count(&Phase::Running);
        let waiting = self.jobs.iter().filter(|(_, entry)| self.waits(entry)).map(|(number, _)| *number);
        let next: Vec<u64> = waiting.take(self.rules.max_running.saturating_sub(running)).collect();
        for number in next {
            if let Some(entry) = self.jobs.get_mut(&number) {
                entry.progress.phase = Phase::Running;
                effects.moved(number);
                effects.tell.push(Control::Admitted(self.id(number)));
            }
        }
    }

    fn count(&self, phase: &Phase) -> usize {
        self.jobs.values().filter(|entry| entry.progress.phase == *phase).count()
    }

    /// Drops the oldest jobs that are of no more use until another of that size can be known; false where it can't.
    fn make_room(&mut self, size: usize, effects: &mut Effects) -> bool {
        loop {
            let known = self.jobs.values().fold(size, |sum, entry| sum.saturating_add(entry.size));
            if self.jobs.len() < self.rules.max_known && known <= MAX_SPECS {
                return true;
            }
            let Some(oldest) = self.jobs.iter().find(|(_, entry)| entry.progress.is_closed()) else { return false };
            self.forget(*oldest.0, effects);
        }
    }
}

fn refuse_other(job: JobId, minted: &Minted, spec: &JobSpec) -> Result<(), QueryError> {
    minted.difference(spec).map_or(Ok(()), |difference| Err(QueryError::Differs(job, difference)))
}
