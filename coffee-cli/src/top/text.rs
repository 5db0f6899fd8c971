//! An overview as plain text, for scripts and for terminals that are none.

use coffee_nodes::statistics::Overview;

use super::{
    table::Table,
    tables::{errors, jobs, nodes, queues, stages, summary},
};
use crate::output::printable;

/// All of it: wide enough for every column.
pub fn text(overview: &Overview) -> String {
    let mut text = summary(overview) + "\n";
    if let Some(why) = &overview.stale {
        text += &format!("not all is known: {}\n", printable(why));
    }
    for table in [nodes(overview), queues(overview), jobs(overview)] {
        push(&mut text, &table);
    }
    for job in overview.jobs.iter().filter(|job| !job.stages.is_empty()) {
        text += &format!("\njob {}\n", job.summary.job);
        push_rows(&mut text, &stages(job));
    }
    if !overview.errors.is_empty() {
        push(&mut text, &errors(overview));
    }
    text
}

fn push(text: &mut String, table: &Table) {
    text.push('\n');
    push_rows(text, table);
}

fn push_rows(text: &mut String, table: &Table) {
    let fit = table.fit(usize::MAX / 2);
    *text += &(table.header(&fit) + "\n");
    for row in &table.rows {
        *text += &(table.row(&fit, row) + "\n");
    }
}
