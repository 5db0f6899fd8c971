//! Answers, and in what they differ.

use std::{collections::BTreeMap, fmt::Debug};

use coffee_core::{
    codec,
    exec::{REJECTED, RejectedRow},
    operator::Row,
    plan::{Plan, SinkId},
};

use crate::{
    embedded::{Outcome, Report},
    simulation,
};

/// What a job is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// By name, encoded; `None` where a result can't be had.
    results: BTreeMap<String, Option<Vec<u8>>>,
    report: Report,
}

impl Answer {
    /// What the embedded engine answers.
    pub fn embedded(outcome: &Outcome) -> Self {
        let results = outcome.results.iter().map(|(name, rows)| (name.to_owned(), Some(rows.to_vec())));
        Answer { results: results.collect(), report: outcome.report.clone() }
    }

    /// What a simulated system answers, or why it does not.
    pub fn simulated(plan: &Plan, answer: &simulation::Answer) -> Result<Self, String> {
        match answer {
            simulation::Answer::Done { rows, counts } => {
                Ok(Answer { results: rows.iter().cloned().collect(), report: Report::new(plan, counts) })
            }
            simulation::Answer::Failed(reason) => Err(format!("the job fails: {reason}")),
            simulation::Answer::Cancelled => Err("the job is cancelled".to_owned()),
        }
    }
}

/// What is known of the results: their types, and the rows that are expected.
#[derive(Default)]
pub(super) struct Expected(BTreeMap<String, Known>);

/// In what encoded rows differ from those that are expected.
type Against = Box<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

/// What is known of one result.
struct Known {
    against: Against,
    /// In what rows differ from others.
    between: fn(&[u8], &[u8]) -> Option<String>,
}

impl Expected {
    /// Expects these rows, in any order.
    pub fn rows<R: Row + Ord + Debug>(&mut self, sink: &SinkId<R>, rows: impl IntoIterator<Item = R>) {
        let mut right: Vec<R> = rows.into_iter().collect();
        right.sort();
        let against = Box::new(move |found: &[u8]| difference(&decode::<R>(found), &right));
        self.0.insert(sink.name().to_owned(), Known { against, between: between::<R> });
    }

    /// In what an answer is not the expected one.
    pub fn against(&self, answer: &Answer) -> Option<String> {
        self.0.iter().find_map(|(name, known)| {
            let what = match answer.results.get(name) {
                Some(Some(rows)) => (known.against)(rows),
                Some(None) => Some("it can't be had".to_owned()),
                None => Some("the job does not ask for it".to_owned()),
            };
            what.map(|what| format!("result {name:?} is not as expected: {what}"))
        })
    }

    /// In what an answer differs from the right one.
    pub fn between(&self, answer: &Answer, right: &Answer) -> Option<String> {
        let of_rows = right.results.iter().find_map(|(name, right)| {
            let what = match (answer.results.get(name), right) {
                (Some(Some(found)), Some(right)) => self.rows_between(name, found, right),
                (Some(None) | None, None) => None,
                _ => Some("it can't be had".to_owned()),
            };
            what.map(|what| format!("result {name:?} is not that of the first case: {what}"))
        });
        of_rows.or_else(|| {
            let mut pairs = answer.report.operators.iter().zip(&right.report.operators);
            let (found, right) = pairs.find(|(found, right)| found != right)?;
            Some(format!("operator {:?} counts {:?}, not {:?} as in the first case", found.0, found.1, right.1))
        })
    }

    fn rows_between(&self, name: &str, found: &[u8], right: &[u8]) -> Option<String> {
        let at = (0..found.len().max(right.len())).find(|at| found.get(*at) != right.get(*at))?;
        let by_row = match name {
            REJECTED => between::<RejectedRow>(found, right),
            _ => self.0.get(name).and_then(|known| (known.between)(found, right)),
        };
        let by_byte = || format!("of {} bytes, not {}, it differs from byte {at} on", found.len(), right.len());
        Some(by_row.unwrap_or_else(by_byte))
    }
}

fn between<R: Row + PartialEq + Debug>(found: &[u8], right: &[u8]) -> Option<String> {
    difference(&decode::<R>(found), &decode::<R>(right))
}

fn decode<R: Row>(mut bytes: &[u8]) -> Vec<R> {
    let rows = std::iter::from_fn(|| (!bytes.is_empty()).then(|| codec::decode(&mut bytes).ok()).flatten());
    rows.collect()
}

fn difference<R: PartialEq + Debug>(found: &[R], right: &[R]) -> Option<String> {
    let at = (0..found.len().max(right.len())).find(|at| found.get(*at) != right.get(*at))?;
    let row = at + 1;
    Some(match (found.get(at), right.get(at)) {
        (Some(found), Some(right)) => format!("row {row} is {found:?}, not {right:?}"),
        (Some(found), None) => format!("row {row} is {found:?}, and there should be none"),
        (None, Some(right)) => format!("there is no row {row}, which should be {right:?}"),
        (None, None) => return None,
    })
}
