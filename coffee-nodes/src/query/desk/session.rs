//! How a job comes in and its data is kept track of: begin, attach, renew.

use coffee_core::frame::JobId;

use super::{Desk, Entry, Now};
use crate::{
    access::Caller,
    cluster::{Attached, Control, QueryError},
    job::{JobSpec, JobState, Mark},
    query::{
        effects::Effects,
        record::{Minted, Outdated, Progress},
    },
};

impl Desk {
    /// Mints a job, one a request, and admits it if there is room.
    pub(super) fn begin(
        &mut self,
        caller: Caller,
        request: u128,
        spec: JobSpec,
        now: Now,
        effects: &mut Effects,
    ) -> Result<JobId, QueryError> {
        let minted = Minted { caller, request, topology: self.rules.version(), at_ms: now.unix_ms, spec };
        if let Some(number) = self.requests.get(&minted.key()).copied() {
            let job = self.id(number);
            refuse_other(job, &self.entry(job)?.minted, &minted.spec)?;
            return Ok(job);
        }
        // Who may have no more jobs is not worth the work of a look at one.
        self.check_room(&minted.caller)?;
        let size = self.rules.check(&minted)?;
        if !self.make_room(&minted.caller.owner, size, effects) {
            return Err(QueryError::Busy);
        }
        let request = minted.key();
        let progress = Progress::new(minted.spec.manifest.tables.len());
        self.highest += 1;
        let number = self.highest;
        self.requests.insert(request, number);
        self.jobs.insert(number, Entry::new(minted, progress, now, self.hearing.so_far(now.instant)));
        effects.minted(number);
        effects.tell.push(Control::Minted(self.id(number)));
        effects.happened.push((self.id(number), "is accepted".to_owned()));
        self.admit(effects);
        Ok(self.id(number))
    }

    /// Makes a caller with data the one session of its job, and gives it all the time that a client may be idle; one without
    /// only learns what there is. An operator learns of another's job, and does not send its data: what its owner sent would
    /// count no more.
    pub(super) fn attach(
        &mut self,
        caller: &Caller,
        job: JobId,
        session: u128,
        spec: Option<&JobSpec>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Attached, QueryError> {
        let heard = self.hearing.so_far(now.instant);
        self.seen(caller, job)?;
        let entry = self.served(job)?;
        if let Some(spec) = spec {
            refuse_other(job, &entry.minted, spec)?;
            if !entry.progress.has_ended() {
                if entry.minted.caller.owner != caller.owner {
                    return Err(QueryError::Denied(job));
                }
                let new = entry.progress.attach(session).map_err(|Outdated| QueryError::Superseded)?;
                entry.renewed = heard;
                if new {
                    effects.moved(job.number);
                    effects.tell.push(Control::Attached { job, epoch: entry.progress.epoch });
                }
            }
        }
        let (head, spec, progress) = (entry.minted.head(job), entry.minted.spec.clone(), entry.progress.clone());
        let own = entry.minted.caller.owner == caller.owner;
        let state = self.state_of(job.number, &progress.phase);
        Ok(Attached { head, spec, own, epoch: progress.epoch, marks: progress.marks, state })
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
}

fn refuse_other(job: JobId, minted: &Minted, spec: &JobSpec) -> Result<(), QueryError> {
    minted.difference(spec).map_or(Ok(()), |difference| Err(QueryError::Differs(job, difference)))
}
