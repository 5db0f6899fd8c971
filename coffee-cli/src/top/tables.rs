//! What an overview holds, as tables.

use coffee_nodes::{
    job::{ErrorReport, JobState, JobSummary},
    statistics::{JobView, NodeKind, NodeView, Overview, QueueView, StageWork},
};

use super::{
    numbers::{bytes, clock, short, span},
    table::{Column, Row, Table, Tone},
};
use crate::output::printable;

/// For so many milliseconds it is shown that a node was started again.
const BACK: u64 = 5_000;

/// The nodes.
pub fn nodes(overview: &Overview) -> Table {
    let columns = vec![
        Column::text("NODE", 0),
        Column::text("STATE", 1),
        Column::text("ROLE", 2),
        Column::number("ROWS/S", 3),
        Column::number("BYTES/S", 8),
        Column::number("IN HAND", 7),
        Column::number("MEMORY", 4),
        Column::number("CPU", 6),
        Column::number("COMMITS/S", 9),
        Column::number("RELINKS", 11),
        Column::number("RESTARTS", 5),
        Column::number("UPTIME", 10),
        Column::number("PID", 12),
    ];
    Table { columns, rows: overview.nodes.iter().map(node).collect() }
}

fn node(node: &NodeView) -> Row {
    let is_monitor = node.identity.kind == NodeKind::Monitor;
    // What a monitor does not do, and what is not known of the dead.
    let number = |known: bool, text: String| if known { text } else { "-".to_owned() };
    let works = node.alive && !is_monitor;
    let cells = vec![
        printable(node.name()),
        state(node),
        role(node).to_owned(),
        number(works, short(node.rows)),
        number(works, bytes(node.bytes)),
        number(works, node.in_hand.to_string()),
        number(node.alive, bytes(node.memory)),
        number(node.alive, format!("{}%", node.cpu / 10)),
        number(works, short(node.commits)),
        number(works, short(node.reconnects)),
        node.restarts.to_string(),
        number(node.alive, span(node.uptime_ms)),
        number(node.alive, node.identity.pid.to_string()),
    ];
    Row { cells, tone: if node.alive && !node.doubled { Tone::Plain } else { Tone::Bad } }
}

/// Most nodes that were killed are back before their silence is noticed.
fn state(node: &NodeView) -> String {
    if !node.alive {
        format!("DEAD {}", span(node.silent_ms))
    } else if node.doubled {
        "TWO of it".to_owned()
    } else if node.restarts > 0 && node.uptime_ms < BACK {
        format!("back {}", span(node.uptime_ms))
    } else {
        "alive".to_owned()
    }
}

fn role(node: &NodeView) -> &'static str {
    match node.identity.kind {
        NodeKind::Query => "query",
        NodeKind::Results => "results",
        NodeKind::Gateway => "gateway",
        NodeKind::Shard => "shard",
        NodeKind::Replica => "replica",
        NodeKind::Monitor if node.leads => "leader",
        NodeKind::Monitor => "monitor",
    }
}

/// The queues.
pub fn queues(overview: &Overview) -> Table {
    let columns = vec![
        Column::text("QUEUE", 0),
        Column::number("READY", 1),
        Column::number("UNACKED", 2),
        Column::number("IN/S", 3),
        Column::number("OUT/S", 4),
        Column::number("CONSUMERS", 5),
    ];
    let row = |queue: &QueueView| Row {
        cells: vec![
            printable(&queue.name),
            queue.ready.to_string(),
            queue.unacked.to_string(),
            short(queue.coming),
            short(queue.going),
            queue.consumers.to_string(),
        ],
        tone: if queue.consumers == 0 { Tone::Bad } else { Tone::Plain },
    };
    Table { columns, rows: overview.queues.iter().map(row).collect() }
}

/// The jobs, newest first.
pub fn jobs(overview: &Overview) -> Table {
    let columns = vec![
        Column::text("JOB", 0),
        Column::text("STATE", 1),
        Column::number("BEFORE IT", 2),
        Column::number("DATA", 4),
        Column::number("CHUNKS", 3),
        Column::number("ROWS READ", 5),
        Column::number("TIME", 6),
        Column::long("REASON", 7),
    ];
    let row = |job: &JobView| {
        let JobSummary { job: id, state, minted_ms, ended_ms, bytes: data, chunks, .. } = &job.summary;
        let (word, before, reason) = match state {
            JobState::Waiting { before } => ("waiting", before.to_string(), ""),
            JobState::Running if job.summary.uploaded => ("computing", "-".to_owned(), ""),
            JobState::Running => ("uploading", "-".to_owned(), ""),
            JobState::Done => ("done", "-".to_owned(), ""),
            JobState::Failed { reason } => ("failed", "-".to_owned(), reason.as_str()),
            JobState::Cancelled => ("cancelled", "-".to_owned(), ""),
        };
        // Readers are the first to count rows; later stages have those that were left.
        let read = job.stages.iter().map(|stage| stage.work.rows).max();
        let time = ended_ms.unwrap_or(overview.at_ms).saturating_sub(*minted_ms);
        let cells = vec![
            id.to_string(),
            word.to_owned(),
            before,
            bytes(*data),
            short(*chunks),
            read.map_or("-".to_owned(), short),
            span(time),
            printable(reason),
        ];
        let tone = match state {
            JobState::Failed { .. } => Tone::Bad,
            _ if state.is_ended() => Tone::Faint,
            _ => Tone::Plain,
        };
        Row { cells, tone }
    };
    Table { columns, rows: overview.jobs.iter().rev().map(row).collect() }
}

/// What the stages have done for a job.
pub fn stages(job: &JobView) -> Table {
    let columns = vec![
        Column::text("STAGE", 0),
        Column::number("BATCHES", 1),
        Column::number("ROWS", 2),
        Column::number("PARTS OUT", 3),
        Column::number("ROWS OUT", 4),
    ];
    let row = |StageWork { stage, work }: &StageWork| {
        let numbers = [work.batches, work.rows, work.parts, work.passed].map(short);
        Row { cells: [printable(stage)].into_iter().chain(numbers).collect(), tone: Tone::Plain }
    };
    Table { columns, rows: job.stages.iter().map(row).collect() }
}

/// The errors, newest first.
pub fn errors(overview: &Overview) -> Table {
    let columns =
        vec![Column::text("AT (UTC)", 1), Column::text("NODE", 2), Column::text("JOB", 3), Column::long("WHAT", 0)];
    let row = |error: &ErrorReport| Row {
        cells: vec![
            clock(error.at_ms),
            printable(&error.node),
            error.job.map_or("-".to_owned(), |job| job.to_string()),
            printable(&error.text),
        ],
        tone: Tone::Plain,
    };
    Table { columns, rows: overview.errors.iter().rev().map(row).collect() }
}

/// The cluster in a line.
pub fn summary(overview: &Overview) -> String {
    let alive = overview.nodes.iter().filter(|node| node.alive).count();
    let rows: u64 =
        overview.nodes.iter().filter(|node| node.identity.kind == NodeKind::Gateway).map(|node| node.rows).sum();
    let ready: u64 = overview.queues.iter().map(|queue| queue.ready).sum();
    let unacked: u64 = overview.queues.iter().map(|queue| queue.unacked).sum();
    let count = |is: fn(&JobState) -> bool| overview.jobs.iter().filter(|job| is(&job.summary.state)).count();
    let running = count(|state| *state == JobState::Running);
    let waiting = count(|state| matches!(state, JobState::Waiting { .. }));
    let left_out = match overview.left_out {
        0 => String::new(),
        count => format!("  {} more have no room here", short(count)),
    };
    format!(
        "{}  {}  nodes {alive}/{}  rows/s {}  ready {}  unacked {}  jobs {running} run, {waiting} wait{left_out}",
        clock(overview.at_ms),
        printable(&overview.gateway),
        overview.nodes.len(),
        short(rows),
        short(ready),
        short(unacked),
    )
}
