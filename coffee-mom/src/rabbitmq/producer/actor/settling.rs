//! Telling how publishes ended: to the owner of the producer, to the gate, and to the counts.

use std::time::Duration;

use crossbeam_channel::Sender;

use crate::producer::{Outcome, PublishId, Settled};

use super::Actor;

/// Longest time between passing the gate and handing over.
const HAND_OVER: Duration = Duration::from_secs(1);

impl Actor {
    /// Settles what has ended, joined to ranges.
    pub(super) fn tell_ends(&mut self) {
        let (mut messages, mut bytes) = (0, 0);
        let (mut nacked, mut returned, mut dropped) = (0, 0, 0);
        let mut range: Option<Settled> = None;
        for end in self.ledger.take_ends() {
            messages += 1;
            bytes += end.bytes;
            let outcome = match end.outcome {
                Outcome::Returned if !self.mandatory => {
                    dropped += 1;
                    Outcome::Confirmed
                }
                outcome => outcome,
            };
            returned += u64::from(outcome == Outcome::Returned);
            nacked += u64::from(outcome == Outcome::Nacked);
            let id = PublishId(end.id);
            match &mut range {
                Some(range) if range.outcome == outcome && range.last.0 + 1 == end.id => range.last = id,
                range => {
                    let full = range.replace(Settled { first: id, last: id, outcome });
                    full.into_iter().for_each(|settled| tell(&self.settle, settled));
                }
            }
        }
        range.into_iter().for_each(|settled| tell(&self.settle, settled));
        if messages > 0 {
            // Suspects are sent before all others.
            self.suspects = self.suspects.saturating_sub(messages);
            self.gate.leave(messages, bytes);
            self.hub.count(|stats| {
                stats.settled += messages as u64;
                stats.nacked += nacked;
                stats.returned += returned;
                stats.dropped += dropped;
            });
        }
    }

    /// The end: what has no answer by now is unknown.
    pub(super) fn end_all(&mut self) {
        self.take_back();
        self.first.drain(..).for_each(|pending| self.ledger.sent(pending));
        self.end_unknown();
        // Who has passed the gate before it was closed hands over soon; a handle that is gone does not.
        while !self.gate.is_empty()
            && let Ok(pending) = self.intake.recv_timeout(HAND_OVER)
        {
            self.ledger.sent(pending);
            self.end_unknown();
        }
    }

    fn end_unknown(&mut self) {
        self.ledger.end(Outcome::Unknown, |_| true);
        self.tell_ends();
    }
}

fn tell(settle: &Sender<Settled>, settled: Settled) {
    // Full it is never, as publishing is refused before; without a receiver nobody wants to know.
    let _ = settle.try_send(settled);
}
