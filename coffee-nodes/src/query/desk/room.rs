//! How many jobs there may be: that wait, of one client, and that are known at all.

use std::collections::HashMap;

use super::{Desk, Entry};
use crate::{
    access::{Caller, Owner, Role},
    cluster::QueryError,
    query::{effects::Effects, record::Phase, rules::MAX_SPECS},
};

impl Desk {
    /// Whether a caller may begin another job. What a shard still holds something of counts, though it has ended: it is of use
    /// to nobody, and can't make room.
    pub(super) fn check_room(&self, caller: &Caller) -> Result<(), QueryError> {
        let held = self.jobs.values().filter(|entry| !entry.progress.is_closed());
        let own = held.filter(|entry| entry.minted.caller.owner == caller.owner).count();
        if caller.role == Role::Client && own >= self.rules.jobs_per_client {
            return Err(QueryError::TooMany(own));
        }
        if !self.would_run(caller) && self.count(&Phase::Waiting) >= self.rules.max_waiting {
            return Err(QueryError::Busy);
        }
        Ok(())
    }

    /// Drops jobs that are of no more use until another of that owner and size can be known; false where it can't.
    pub(super) fn make_room(&mut self, owner: &Owner, size: usize, effects: &mut Effects) -> bool {
        loop {
            let known = self.jobs.values().fold(size, |sum, entry| sum.saturating_add(entry.size));
            let number_fits = self.jobs.len() < self.rules.max_known;
            if number_fits && known <= MAX_SPECS {
                return true;
            }
            let share = |size: usize| if number_fits { size } else { 1 };
            let Some(number) = self.least_missed(owner, share(size), |entry| share(entry.size)) else { return false };
            self.forget(number, effects);
        }
    }

    /// The oldest job that is of no more use, of the owner who takes the most. Never one of who takes less than the one who
    /// asks would then: so one with many jobs costs others none of theirs, also where its own can't go.
    fn least_missed(&self, asks: &Owner, more: usize, share: impl Fn(&Entry) -> usize) -> Option<u64> {
        let mut shares = HashMap::from([(asks, more)]);
        for entry in self.jobs.values() {
            *shares.entry(&entry.minted.caller.owner).or_default() += share(entry);
        }
        let share_of = |owner: &Owner| shares.get(owner).copied().unwrap_or_default();
        let least = share_of(asks);
        let closed = self.jobs.iter().filter(|(_, entry)| entry.progress.is_closed());
        let closed = closed.map(|(number, entry)| (*number, share_of(&entry.minted.caller.owner)));
        // Of equal ones the first: the oldest.
        closed.rev().filter(|(_, share)| *share >= least).max_by_key(|(_, share)| *share).map(|(number, _)| number)
    }
}
