//! Which metrics there are.

use std::{fmt, time::Duration};

use crate::statistics::{Latencies, LoopStatistics, NodeKind, NodeStatistics};

/// A metric: its name, what it says, and where that stands.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, by Prometheus' conventions.
    pub name: &'static str,
    /// What it says, in a line.
    pub help: &'static str,
    pub(super) source: Source,
}

impl Metric {
    /// Its type, as Prometheus calls it: `counter`, `gauge` or `histogram`.
    pub fn kind(&self) -> &'static str {
        match self.source {
            Source::Histogram(_) => "histogram",
            _ if self.name.ends_with("_total") => "counter",
            _ => "gauge",
        }
    }
}

/// Where it stands in a process's statistics. The text has one sample of it for each process, or for each of its loops.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// That it is there, and what for.
    Role,
    /// A process's, where it has one.
    Node(fn(&NodeStatistics) -> Option<Value>),
    /// A loop's.
    Loop(fn(&LoopStatistics) -> u64),
    /// A loop's times.
    Histogram(fn(&LoopStatistics) -> &Latencies),
}

/// A sample's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Count(u64),
    /// A time, in seconds.
    Time(Duration),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => count.fmt(f),
            Value::Time(time) => time.as_secs_f64().fmt(f),
        }
    }
}

const fn node(name: &'static str, help: &'static str, of: fn(&NodeStatistics) -> Option<Value>) -> Metric {
    Metric { name, help, source: Source::Node(of) }
}

const fn each_loop(name: &'static str, help: &'static str, of: fn(&LoopStatistics) -> u64) -> Metric {
    Metric { name, help, source: Source::Loop(of) }
}

const fn histogram(name: &'static str, help: &'static str, of: fn(&LoopStatistics) -> &Latencies) -> Metric {
    Metric { name, help, source: Source::Histogram(of) }
}

fn count(count: u64) -> Option<Value> {
    Some(Value::Count(count))
}

fn millis(millis: u64) -> Option<Value> {
    Some(Value::Time(Duration::from_millis(millis)))
}

/// All metrics, in the order in which the page has them. All count from the process's start, but for the restarts before it.
pub const METRICS: &[Metric] = &[
    Metric { name: "coffee_node_info", help: "1, with the node's role", source: Source::Role },
    node("coffee_uptime_seconds", "Time since the process's start", |node| millis(node.uptime_ms)),
    node("coffee_restarts_total", "Times that coffee up started the node again", |node| {
        node.identity.restarts.and_then(|restarts| count(restarts.into()))
    }),
    node("coffee_leader", "1 if the monitor leads, 0 if not", |node| {
        (node.identity.kind == NodeKind::Monitor).then_some(Value::Count(node.leads.into()))
    }),
    node("process_resident_memory_bytes", "Resident memory", |node| count(node.memory)),
    node("process_cpu_seconds_total", "Processor time of all threads", |node| millis(node.cpu_ms)),
    node("coffee_messages_published_total", "Messages published", |node| count(node.broker.published)),
    node("coffee_messages_unconfirmed", "Messages that wait for the broker's confirm", |node| {
        count(node.broker.unconfirmed)
    }),
    node("coffee_messages_replayed_total", "Messages published again after a link was lost", |node| {
        count(node.broker.replayed)
    }),
    node("coffee_messages_delivered_total", "Messages that the broker delivered", |node| count(node.broker.delivered)),
    node("coffee_messages_redelivered_total", "Deliveries that may have come before", |node| {
        count(node.broker.redelivered)
    }),
    node("coffee_reconnects_total", "Links to the broker that came back", |node| count(node.broker.reconnects)),
    each_loop("coffee_frames_in_total", "Frames that came", |it| it.frames_in),
    each_loop("coffee_bytes_in_total", "Bytes of frames that came", |it| it.bytes_in),
    each_loop("coffee_batches_in_total", "Batches that came", |it| it.work.batches),
    each_loop("coffee_rows_in_total", "Rows that came, or were read of a client's chunks", |it| it.work.rows),
    each_loop("coffee_frames_out_total", "Frames that were sent", |it| it.frames_out),
    each_loop("coffee_bytes_out_total", "Bytes of frames that were sent", |it| it.bytes_out),
    each_loop("coffee_parts_out_total", "Parts that were sent, one a batch, port and shard", |it| it.work.parts),
    each_loop("coffee_rows_out_total", "Rows that were sent", |it| it.work.passed),
    each_loop("coffee_frames_in_hand", "The node's lag: frames that came and are not acked", |it| it.in_hand),
    each_loop("coffee_dead_letters_total", "Dead letters that were written", |it| it.dead_letters),
    histogram("coffee_step_seconds", "From a frame's arrival until the loop is free again", |it| &it.step),
    histogram("coffee_confirm_seconds", "From a frame's publish until the loop sees its confirm", |it| &it.confirm),
    histogram("coffee_commit_seconds", "Commits of a shard's state", |it| &it.commit),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_of_prometheus() {
        let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        let of_name = |c: char| c.is_ascii_lowercase() || c == '_';
        for Metric { name, help, .. } in METRICS {
            assert!(name.starts_with("coffee_") || name.starts_with("process_"), "{name}");
            assert!(name.chars().all(of_name) && !help.contains(['\n', '\\', '|']), "{name}");
        }
    }
}
