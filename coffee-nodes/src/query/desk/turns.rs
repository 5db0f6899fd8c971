//! Whose turn it is. Owners take turns, each with its jobs in the order that they came, so that one with many jobs that wait
//! holds up nobody; and one place is out of each client's reach, so that one whose jobs don't go on doesn't either.

use std::collections::HashMap;

use super::{Desk, Entry};
use crate::{
    access::{Caller, Owner, Role},
    cluster::Control,
    query::{effects::Effects, record::Phase},
};

impl Desk {
    /// Lets jobs run, in their turn, while there is room.
    pub(super) fn admit(&mut self, effects: &mut Effects) {
        while self.count(&Phase::Running) < self.rules.max_running {
            let may_run =
                |number: &u64| self.jobs.get(number).is_some_and(|entry| self.has_place(&entry.minted.caller));
            let Some(next) = self.turns().into_iter().find(may_run) else { return };
            let Some(entry) = self.jobs.get_mut(&next) else { return };
            entry.progress.phase = Phase::Running;
            effects.moved(next);
            effects.tell.push(Control::Admitted(self.id(next)));
            effects.happened.push((self.id(next), "is admitted: it runs".to_owned()));
        }
    }

    /// Whether another job of that caller would run at once.
    pub(super) fn would_run(&self, caller: &Caller) -> bool {
        self.count(&Phase::Running) < self.rules.max_running && self.has_place(caller)
    }

    /// How many jobs that wait have their turn before this one.
    pub(super) fn before(&self, number: u64) -> u32 {
        self.turns().into_iter().take_while(|other| *other != number).count() as u32
    }

    pub(super) fn count(&self, phase: &Phase) -> usize {
        self.jobs.values().filter(|entry| entry.progress.phase == *phase).count()
    }

    /// Whether a job of that caller may take one of the places that are free.
    fn has_place(&self, caller: &Caller) -> bool {
        let most = self.rules.max_running.saturating_sub(1).max(1);
        caller.role == Role::Operator || self.running().filter(|owner| **owner == caller.owner).count() < most
    }

    /// The owners of the jobs that run.
    fn running(&self) -> impl Iterator<Item = &Owner> {
        let running = self.jobs.values().filter(|entry| entry.progress.phase == Phase::Running);
        running.map(|entry| &entry.minted.caller.owner)
    }

    /// The jobs that wait to be served, in their turn: an owner's next job is behind those of others that have fewer.
    fn turns(&self) -> Vec<u64> {
        let mut owned: HashMap<&Owner, u64> = HashMap::new();
        self.running().for_each(|owner| *owned.entry(owner).or_default() += 1);
        let waiting = self.jobs.iter().filter(|(_, entry)| self.waits(entry));
        let mut turns: Vec<(u64, u64)> = waiting
            .map(|(number, entry)| {
                let before = owned.entry(&entry.minted.caller.owner).or_default();
                *before += 1;
                (*before, *number)
            })
            .collect();
        turns.sort_unstable();
        turns.into_iter().map(|(_, number)| number).collect()
    }

    fn waits(&self, entry: &Entry) -> bool {
        entry.progress.phase == Phase::Waiting && entry.minted.topology == self.rules.version()
    }
}
