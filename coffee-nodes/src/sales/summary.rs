//! What is said at the end of a run.

use std::{path::PathBuf, time::Duration};

use coffee_core::plan::Plan;

use super::Times;
use crate::{embedded::Report, input::Table, statistics::LoopStatistics};

/// A run's figures.
#[derive(Clone, Debug)]
pub struct Summary {
    /// By table, in the plan's order.
    pub tables: Vec<TableSummary>,
    /// By operator, in the plan's order: the same under every placement.
    pub operators: Vec<OperatorSummary>,
    /// By result.
    pub results: Vec<ResultSummary>,
    /// The results that were asked for and can't be had.
    pub missing: Vec<MissingResult>,
    /// The list of rejected rows, where there are any.
    pub rejected_file: Option<PathBuf>,
    /// How many rejected rows that list leaves out.
    pub rejected_unlisted: u64,
    /// Bytes on disk that were read.
    pub bytes: u64,
    /// Wall time.
    pub elapsed: Duration,
    /// Where that went, of a submission.
    pub times: Option<Times>,
    /// By stage; none where nothing was heard of them.
    pub stages: Vec<StageSummary>,
}

/// A table's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSummary {
    /// The table.
    pub name: String,
    /// Rows read.
    pub rows: u64,
    /// Rows left out, as they can't be read or repeat a key.
    pub rejected: u64,
    /// Result rows that name a row that this table does not have.
    pub unmatched: u64,
}

/// An operator's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSummary {
    /// The operator.
    pub name: String,
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went out.
    pub rows_out: u64,
}

/// A stage's figures: other than all others they depend on the placement, and on chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSummary {
    /// The stage.
    pub name: String,
    /// Time of threads at work on it.
    pub busy: Duration,
}

/// A result, and its first rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultSummary {
    /// The result.
    pub name: String,
    /// Its columns.
    pub header: &'static [&'static str],
    /// Its first rows.
    pub shown: Vec<Vec<String>>,
    /// How many rows it has.
    pub rows: u64,
    /// Where it is.
    pub file: PathBuf,
}

/// A result that can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingResult {
    /// The result.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Summary {
    /// Which results can't be had, and why, in one line.
    pub(super) fn reasons(&self) -> String {
        let reasons: Vec<String> =
            self.missing.iter().map(|result| format!("{}: {}", result.name, result.reason)).collect();
        reasons.join("; ")
    }

    /// Rows read, of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Time of threads at work, of all stages.
    pub fn busy(&self) -> Duration {
        self.stages.iter().map(|stage| stage.busy).fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Rows read a second.
    pub fn rows_per_second(&self) -> f64 {
        self.rows() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Sums up by table what joins counted against it.
pub(super) fn tables(plan: &Plan, report: &Report, read: &[Table]) -> Vec<TableSummary> {
    let table = |table: &Table| {
        let name = table.name();
        let joins = report.operators.iter().filter(|(join, _)| plan.looked_up_by(join) == Some(name));
        let (repeated, unmatched) = joins.fold((0, 0), |(repeated, unmatched), (_, count)| {
            (repeated + count.rejected, unmatched + count.rows_in.saturating_sub(count.rows_out))
        });
        let read = report.of(name);
        TableSummary { name: name.to_owned(), rows: read.rows_in, rejected: read.rejected + repeated, unmatched }
    };
    read.iter().map(table).collect()
}

/// Sums up by stage what its loops did, in the order in which they began to be counted.
pub(super) fn stages(loops: &[LoopStatistics]) -> Vec<StageSummary> {
    let mut stages: Vec<StageSummary> = Vec::new();
    for LoopStatistics { stage, work, .. } in loops {
        match stages.iter_mut().find(|known| known.name == *stage) {
            Some(known) => known.busy = known.busy.saturating_add(work.busy()),
            None => stages.push(StageSummary { name: stage.clone(), busy: work.busy() }),
        }
    }
    stages
}

pub(super) fn operators(report: &Report) -> Vec<OperatorSummary> {
    let used = report.operators.iter().filter(|(_, count)| count.rows_in + count.rows_out > 0);
    used.map(|(name, count)| OperatorSummary { name: name.clone(), rows_in: count.rows_in, rows_out: count.rows_out })
        .collect()
}
