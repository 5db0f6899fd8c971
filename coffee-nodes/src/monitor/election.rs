//! Who leads: the Bully algorithm. The highest monitor that lives does.
//!
//! ```text
//!             nobody leads, or it is silent
//! Following ------------------------------> Asking those above --- no answer ---> Leading
//!     ^                                        | one answers           ^
//!     |                                        v                       | it does not lead: asks again
//!     `---------- one above leads ---------- Waiting ------------------'
//! ```

use std::time::Duration;

use super::MonitorId;

/// A leader that has not been heard for so long is dead: it says that it leads several times in that time.
const SILENT: Duration = Duration::from_secs(1);

/// How long those above have to answer.
const ANSWER: Duration = Duration::from_millis(300);

/// How long one that has answered has to lead.
const PATIENCE: Duration = Duration::from_millis(700);

/// What monitors say to each other about who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// To one above: is it there?
    Election,
    /// To one below, which has asked: yes.
    Answer,
    /// To all: the sender leads.
    Leading,
}

/// A word to another monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Say {
    /// To whom.
    pub to: MonitorId,
    /// What.
    pub vote: Vote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Following { leader: MonitorId, heard: Duration },
    Asking { until: Duration },
    Waiting { until: Duration },
    Leading,
}

/// One monitor's part in the election. Times count from any beginning, the same for one monitor.
#[derive(Debug)]
pub struct Election {
    me: MonitorId,
    all: MonitorId,
    role: Role,
    say: Vec<Say>,
}

impl Election {
    /// That of monitor `me` of so many in all. It asks at once who is there.
    pub fn new(me: MonitorId, all: MonitorId, now: Duration) -> Self {
        let mut election = Election { me, all, role: Role::Asking { until: now }, say: Vec::new() };
        election.ask(now);
        election
    }

    /// Who leads, as far as is known here.
    pub fn leader(&self) -> Option<MonitorId> {
        match self.role {
            Role::Following { leader, .. } => Some(leader),
            Role::Leading => Some(self.me),
            Role::Asking { .. } | Role::Waiting { .. } => None,
        }
    }

    /// Whether this one leads.
    pub fn leads(&self) -> bool {
        self.role == Role::Leading
    }

    /// What is to be said since the last call.
    pub fn said(&mut self) -> Vec<Say> {
        std::mem::take(&mut self.say)
    }

    /// Another monitor says something.
    pub fn hear(&mut self, from: MonitorId, vote: Vote, now: Duration) {
        if from == self.me || from >= self.all {
            return;
        }
        match vote {
            Vote::Election if from < self.me => {
                self.tell(from, Vote::Answer);
                if self.leads() {
                    self.tell(from, Vote::Leading);
                }
            }
            Vote::Answer if from > self.me => {
                if let Role::Asking { .. } = self.role {
                    self.role = Role::Waiting { until: now + PATIENCE };
                }
            }
            Vote::Leading if from > self.me => self.follow(from, now),
            // It does not know yet that this one is there.
            Vote::Leading if self.leads() => self.tell(from, Vote::Leading),
            Vote::Leading | Vote::Election | Vote::Answer => {}
        }
    }

    /// Time passes: to be called several times in the second after which a leader is silent.
    pub fn tick(&mut self, now: Duration) {
        match self.role {
            Role::Following { heard, .. } if now.saturating_sub(heard) > SILENT => self.ask(now),
            Role::Asking { until } if now >= until => self.lead(),
            Role::Waiting { until } if now >= until => self.ask(now),
            Role::Leading => self.lead(),
            Role::Following { .. } | Role::Asking { .. } | Role::Waiting { .. } => {}
        }
    }

    /// Follows one above. Of two that say that they lead the higher does.
    fn follow(&mut self, from: MonitorId, now: Duration) {
        match self.role {
            Role::Following { leader, .. } if from < leader => {}
            _ => self.role = Role::Following { leader: from, heard: now },
        }
    }

    fn ask(&mut self, now: Duration) {
        self.role = Role::Asking { until: now + ANSWER };
        for above in self.me.saturating_add(1)..self.all {
            self.tell(above, Vote::Election);
        }
        if self.me.saturating_add(1) >= self.all {
            self.lead();
        }
    }

    fn lead(&mut self) {
        self.role = Role::Leading;
        for other in (0..self.all).filter(|other| *other != self.me) {
            self.say.push(Say { to: other, vote: Vote::Leading });
        }
    }

    fn tell(&mut self, to: MonitorId, vote: Vote) {
        self.say.push(Say { to, vote });
    }
}
