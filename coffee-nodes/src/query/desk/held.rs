//! Which nodes their disks hold up: known from what they tell every few seconds, and not kept.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Desk, Now};
use crate::{
    job::ErrorReport,
    query::{effects::Effects, record::Phase},
};

/// For so long it is believed that a node is held, once it has said so. Three of its words may be missed.
const BELIEVED: Duration = Duration::from_secs(15);

/// The most nodes that are known to be held.
const NODES: usize = 4096;

/// The nodes that are held, by name, and when each was heard last.
#[derive(Debug, Default)]
pub(super) struct HeldNodes(BTreeMap<String, Instant>);

impl HeldNodes {
    /// Notes that a node is held; whether that is news.
    fn note(&mut self, node: &str, now: Instant) -> bool {
        self.0.retain(|_, heard| is_believed(*heard, now));
        let known = self.0.contains_key(node);
        if known || self.0.len() < NODES {
            self.0.insert(node.to_owned(), now);
        }
        !known
    }

    /// Notes that a node goes on; whether that is news.
    fn release(&mut self, node: &str) -> bool {
        self.0.remove(node).is_some()
    }
}

fn is_believed(heard: Instant, now: Instant) -> bool {
    now.saturating_duration_since(heard) < BELIEVED
}

impl Desk {
    /// Whether a node has said within 15 s that its disk holds it up: then jobs may not go on, through no fault of theirs.
    pub(super) fn is_held(&self, now: Now) -> bool {
        self.held.0.values().any(|heard| is_believed(*heard, now.instant))
    }

    /// A node is held, or goes on: its first and its last word are reported to the jobs that run.
    pub(super) fn hold(&mut self, node: &str, reason: Option<String>, now: Now, effects: &mut Effects) {
        let (news, text) = match reason {
            Some(reason) => {
                (self.held.note(node, now.instant), format!("held until its disk can be written to: {reason}"))
            }
            None => (self.held.release(node), "goes on".to_owned()),
        };
        if !news {
            return;
        }
        let running = self.jobs.iter().filter(|(_, entry)| entry.progress.phase == Phase::Running);
        let running: Vec<_> = running.map(|(number, _)| Some(self.id(*number))).collect();
        // With no job there is still the log.
        for job in if running.is_empty() { vec![None] } else { running } {
            let report = ErrorReport { at_ms: now.unix_ms, node: node.to_owned(), job, text: text.clone() };
            self.note(report, effects);
        }
    }
}
