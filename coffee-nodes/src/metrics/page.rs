//! The text format 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::{
    METRICS, Metric,
    catalogue::{Source, Value},
};
use crate::statistics::{BOUNDS, Latencies, LoopStatistics, NodeKind, NodeStatistics};

/// What a process has done, as text. Its samples are labelled by the node and, where it has loops, by stage and shard: as many as
/// the cluster has of them, and never by job.
pub fn page(of: &NodeStatistics) -> String {
    let mut text = String::new();
    for metric in METRICS {
        // Writing to a string does not fail.
        let _ = write_metric(&mut text, metric, of);
    }
    text
}

fn write_metric(text: &mut String, metric: &Metric, of: &NodeStatistics) -> fmt::Result {
    let Metric { name, help, source } = metric;
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", metric.kind())?;
    let node = label("node", &of.identity.name);
    match source {
        Source::Role => writeln!(text, "{name}{{{node},{}}} 1", label("role", role(of.identity.kind))),
        Source::Node(value) => match value(of) {
            Some(value) => writeln!(text, "{name}{{{node}}} {value}"),
            None => Ok(()),
        },
        Source::Loop(value) => {
            of.loops.iter().try_for_each(|it| writeln!(text, "{name}{{{node},{}}} {}", of_loop(it), value(it)))
        }
        Source::Histogram(times) => of
            .loops
            .iter()
            .try_for_each(|it| write_histogram(text, name, &format!("{node},{}", of_loop(it)), times(it))),
    }
}

/// Its buckets, each with what those before it have.
fn write_histogram(text: &mut String, name: &str, labels: &str, times: &Latencies) -> fmt::Result {
    let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string()).chain(["+Inf".to_owned()]);
    let mut sum = 0_u64;
    for (bound, count) in bounds.zip(times.buckets) {
        sum = sum.saturating_add(count);
        writeln!(text, "{name}_bucket{{{labels},{}}} {sum}", label("le", &bound))?;
    }
    let total = Value::Time(Duration::from_nanos(times.total_ns));
    writeln!(text, "{name}_sum{{{labels}}} {total}\n{name}_count{{{labels}}} {sum}")
}

fn of_loop(it: &LoopStatistics) -> String {
    format!("{},{}", label("stage", &it.stage), label("shard", &it.shard.to_string()))
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

fn role(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Query => "query",
        NodeKind::Results => "results",
        NodeKind::Gateway => "gateway",
        NodeKind::Shard => "shard",
        NodeKind::Replica => "replica",
        NodeKind::Monitor => "monitor",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Instant};

    use super::*;
    use crate::{
        cluster::ClusterNode,
        statistics::{BrokerStatistics, Identity, Work},
    };

    /// Of a shard of a stage with that name.
    fn shard(stage: &str) -> NodeStatistics {
        let node = ClusterNode::Shard { stage: stage.into(), index: 1 };
        let mut commit = Latencies { total_ns: 1_500_000_000, ..Latencies::default() };
        (commit.buckets[0], commit.buckets[2], commit.buckets[BOUNDS.len()]) = (4, 2, 1);
        let work = Work { batches: 3, rows: 70, parts: 2, passed: 5, ..Work::default() };
        let counted =
            LoopStatistics { stage: stage.into(), shard: 1, in_hand: 6, commit, work, ..LoopStatistics::default() };
        NodeStatistics {
            cpu_ms: 2250,
            memory: u64::MAX,
            broker: BrokerStatistics { reconnects: 9, ..BrokerStatistics::default() },
            loops: vec![counted],
            ..NodeStatistics::now(&Identity { restarts: None, ..Identity::of(&node, 1) }, Instant::now())
        }
    }

    /// The labels of a sample, unescaped: read by the letter, as Prometheus does.
    fn labels(text: &str) -> BTreeMap<String, String> {
        let (mut labels, mut rest) = (BTreeMap::new(), text);
        while let Some((name, value)) = rest.split_once("=\"") {
            let (mut read, mut letters) = (String::new(), value.char_indices());
            let end = loop {
                match letters.next().unwrap() {
                    (_, '\\') => read.push(match letters.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (at, '"') => break at,
                    (_, letter) => read.push(letter),
                }
            };
            labels.insert(name.trim_start_matches(',').to_owned(), read);
            rest = &value[end + 1..];
        }
        assert_eq!(rest, "");
        labels
    }

    /// The samples: name, labels, value.
    fn samples(page: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
        let sample = |line: &str| {
            let (name, rest) = line.split_once('{').unwrap();
            let (text, value) = rest.rsplit_once("} ").unwrap();
            (name.to_owned(), labels(text), value.parse().unwrap())
        };
        page.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
    }

    fn value(page: &str, name: &str) -> f64 {
        samples(page).into_iter().find(|(of, ..)| of == name).unwrap_or_else(|| panic!("{name}: {page}")).2
    }

    #[test]
    fn a_parser_reads_what_was_counted() {
        let page = page(&shard("groups"));
        for (name, expected) in [
            ("coffee_node_info", 1.0),
            ("coffee_rows_in_total", 70.0),
            ("coffee_rows_out_total", 5.0),
            ("coffee_frames_in_hand", 6.0),
            ("coffee_reconnects_total", 9.0),
            ("process_cpu_seconds_total", 2.25),
            ("process_resident_memory_bytes", u64::MAX as f64),
            ("coffee_commit_seconds_sum", 1.5),
            ("coffee_commit_seconds_count", 7.0),
        ] {
            assert_eq!(value(&page, name), expected, "{name}");
        }
        assert!(samples(&page).iter().all(|(_, labels, _)| labels["node"] == "groups.1"));
        assert!(!page.contains("coffee_leader{") && !page.contains("coffee_restarts_total{"), "what it has not");
    }

    #[test]
    fn each_metric_is_described_once_before_its_samples() {
        let page = page(&shard("groups"));
        let mut described = String::new();
        for line in page.lines() {
            match line.strip_prefix("# HELP ") {
                Some(help) => described = help.split(' ').next().unwrap().to_owned(),
                None => assert!(line.trim_start_matches("# TYPE ").starts_with(&described), "{line}"),
            }
        }
        for metric in METRICS {
            assert_eq!(page.matches(&format!("# TYPE {} {}\n", metric.name, metric.kind())).count(), 1);
        }
    }

    #[test]
    fn buckets_add_up() {
        let page = page(&shard("groups"));
        let buckets: Vec<(String, f64)> = samples(&page)
            .into_iter()
            .filter(|(name, ..)| name == "coffee_commit_seconds_bucket")
            .map(|(_, labels, value)| (labels["le"].clone(), value))
            .collect();
        assert_eq!((buckets.len(), buckets[0].clone()), (BOUNDS.len() + 1, ("0.0001".to_owned(), 4.0)));
        assert_eq!((buckets[2].1, buckets.last().unwrap()), (6.0, &("+Inf".to_owned(), 7.0)));
        assert!(buckets.is_sorted_by(|(_, one), (_, next)| one <= next));
    }

    #[test]
    fn names_may_have_any_letters() {
        let stage = "a\"b\\c\nd},{é";
        let page = page(&shard(stage));
        let (_, labels, rows) = samples(&page).into_iter().find(|(name, ..)| name == "coffee_rows_in_total").unwrap();
        assert_eq!((labels["stage"].as_str(), labels["shard"].as_str(), rows), (stage, "1", 70.0));
    }
}
