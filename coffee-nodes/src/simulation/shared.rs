//! What all parts of a simulated system share: chance, fate, and the notes of what has happened.

use std::cell::{Cell, RefCell};

use super::{
    choices::Choices,
    fate::{Fate, Last},
};

/// Notes that are kept: the last ones tell why a run failed.
const NOTES: usize = 1000;

/// Deaths in one run.
const MOST_DEATHS: u32 = 12;

/// What all parts of a system share. One thread.
pub(super) struct Shared {
    choices: RefCell<Choices>,
    pub fate: Fate,
    deaths: Cell<u32>,
    /// One operation in so many is a process's last; 0: none.
    death_rate: Cell<usize>,
    notes: Option<RefCell<Vec<String>>>,
    /// Whether a process has lost what it had kept.
    lost_disks: Cell<bool>,
}

impl Shared {
    /// With chance, one planned death, and notes where they are wanted.
    pub fn new(choices: Choices, planned: Option<Last>, notes: bool) -> Self {
        let fate = Fate::default();
        fate.doom(planned);
        let (choices, notes) = (choices.into(), notes.then(RefCell::default));
        let (deaths, death_rate, lost_disks) = Default::default();
        let shared = Shared { choices, fate, deaths, death_rate, notes, lost_disks };
        // Some runs are without deaths, some full of them.
        shared.death_rate.set([0, 300, 80, 25][shared.below(4)]);
        shared
    }

    pub fn below(&self, limit: usize) -> usize {
        self.choices.borrow_mut().below(limit)
    }

    pub fn once_in(&self, times: usize) -> bool {
        self.choices.borrow_mut().once_in(times)
    }

    /// Whether somebody dies at this moment.
    pub fn dies_now(&self) -> bool {
        let dies = self.deaths.get() < MOST_DEATHS && self.once_in(self.death_rate.get());
        self.deaths.set(self.deaths.get() + u32::from(dies));
        dies
    }

    /// Dooms whoever acts next, now and then.
    pub fn doom(&self) {
        if self.dies_now() {
            let operation = self.fate.operations() + self.below(8) as u64;
            self.fate.doom(Some(Last { operation, done: self.once_in(2) }));
        }
    }

    /// Whether whoever has died loses what it had kept, too: in few runs, and there once, as its jobs then fail.
    pub fn loses_disks(&self) -> bool {
        !self.lost_disks.get() && self.once_in(40)
    }

    pub fn lose_disk(&self) {
        self.lost_disks.set(true);
    }

    pub fn lost_disks(&self) -> bool {
        self.lost_disks.get()
    }

    /// Notes what has happened.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(notes) = &self.notes {
            let mut notes = notes.borrow_mut();
            if notes.len() == NOTES {
                notes.remove(0);
            }
            notes.push(what());
        }
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.as_ref().map(|notes| notes.borrow().clone()).unwrap_or_default()
    }

    pub fn made(self) -> Vec<u32> {
        self.choices.into_inner().made()
    }
}
