//! All that one monitor decides: who leads and who is dead, by what it hears and the time.

use std::time::Duration;

use super::{Datagram, Election, Finding, MonitorId, Say, Vote, Watch};

/// A loop that has stood still for so many seconds is worth a line.
const STALLED: u32 = 10;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// To be said to another monitor.
    Tell(MonitorId, Datagram),
    /// To be said to the agent, if there is one.
    TellAgent(Datagram),
    /// A node that no agent has is silent.
    Silent(String),
}

/// A monitor without I/O and clock. Times count from any beginning, the same for one monitor.
#[derive(Debug)]
pub struct Member {
    me: MonitorId,
    election: Election,
    watch: Watch,
    /// Who led when it was last said.
    leader: Option<MonitorId>,
    acts: Vec<Act>,
}

impl Member {
    /// Monitor `me` of so many in all, which takes nodes for dead that were heard and are not for longer than `silence`.
    pub fn new(me: MonitorId, all: MonitorId, silence: Duration, now: Duration) -> Self {
        let (election, watch) = (Election::new(me, all, now), Watch::new(silence));
        Member { me, election, watch, leader: None, acts: Vec::new() }
    }

    /// Who leads, as far as is known here.
    pub fn leader(&self) -> Option<MonitorId> {
        self.election.leader()
    }

    /// Whether this one leads.
    pub fn leads(&self) -> bool {
        self.election.leads()
    }

    /// Hears anybody.
    pub fn hear(&mut self, datagram: &Datagram, now: Duration) {
        match datagram {
            Datagram::Beat(beat) => {
                if beat.stalled >= STALLED && self.election.leads() {
                    log::warn!("node {} has made no progress for {} s", beat.name, beat.stalled);
                }
                self.watch.beat(beat, now);
            }
            Datagram::Report(seats) => seats.iter().for_each(|seat| self.watch.seat(seat, now)),
            Datagram::Election(other) => self.election.hear(*other, Vote::Election, now),
            Datagram::Answer(other) => self.election.hear(*other, Vote::Answer, now),
            Datagram::Leading(other) => self.election.hear(*other, Vote::Leading, now),
            Datagram::Order(_) | Datagram::Question | Datagram::Status(_) => {} // for others
        }
    }

    /// When [`look`](Self::look) finds something new though nothing was heard.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        self.watch.due(now)
    }

    /// Looks who leads: to be called several times a second.
    pub fn tick(&mut self, now: Duration) {
        self.election.tick(now);
    }

    /// Does what a leader has to; nothing in any other.
    pub fn look(&mut self, now: Duration) {
        if !self.election.leads() {
            return;
        }
        self.acts.push(Act::TellAgent(Datagram::Leading(self.me)));
        self.acts.extend(self.watch.look(now).into_iter().map(|finding| match finding {
            Finding::Order(order) => Act::TellAgent(Datagram::Order(order)),
            Finding::Silent(node) => Act::Silent(node),
        }));
    }

    /// What is to be done since the last call.
    pub fn acts(&mut self) -> Vec<Act> {
        let me = self.me;
        self.acts.extend(self.election.said().into_iter().map(|Say { to, vote }| match vote {
            Vote::Election => Act::Tell(to, Datagram::Election(me)),
            Vote::Answer => Act::Tell(to, Datagram::Answer(me)),
            Vote::Leading => Act::Tell(to, Datagram::Leading(me)),
        }));
        let leader = self.election.leader();
        if leader.is_some() && std::mem::replace(&mut self.leader, leader) != leader {
            log::info!("monitor {} leads", leader.unwrap_or_default());
        }
        std::mem::take(&mut self.acts)
    }
}
