//! Runs ways of doing one thing in turns, and compares them within each round. Nothing here knows a broker.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use super::work::Run;

/// Rounds at least, however long they take: fewer have no quartiles.
const MIN_ROUNDS: usize = 5;

/// Rounds at most: more tell nothing new.
const MAX_ROUNDS: usize = 40;

/// One way.
pub struct Way<'a> {
    name: String,
    run: Box<dyn Fn() -> Run + 'a>,
}

impl<'a> Way<'a> {
    pub fn new(name: String, run: impl Fn() -> Run + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// What each way took in each round.
pub struct Measured {
    names: Vec<String>,
    /// By way, then by round.
    runs: Vec<Vec<Run>>,
}

/// Runs all ways once for nothing, then in turns for about that long.
pub fn in_turns(ways: Vec<Way<'_>>, time: Duration) -> Measured {
    let until = Instant::now() + time;
    ways.iter().for_each(|way| drop((way.run)()));
    let mut runs = vec![Vec::new(); ways.len()];
    for round in 0..MAX_ROUNDS {
        if round >= MIN_ROUNDS && Instant::now() >= until {
            break;
        }
        for way in order(ways.len(), round) {
            runs[way].push((ways[way].run)());
        }
    }
    Measured { names: ways.into_iter().map(|way| way.name).collect(), runs }
}

/// Another way begins each round, and each second round runs backwards: none always follows the same.
fn order(ways: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..ways).map(|way| (way + round / 2) % ways).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// The quartiles of some values: lower, median, upper.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values.get((values.len().max(1) - 1) * quarter / 4).copied().unwrap_or(f64::NAN))
}

fn rate(run: &Run) -> f64 {
    run.count as f64 / run.wall.as_secs_f64()
}

impl Measured {
    /// The way of the highest median rate among some.
    pub fn fastest(&self, ways: impl IntoIterator<Item = usize>) -> usize {
        let median = |way: &usize| quartiles(self.runs[*way].iter().map(rate))[1];
        ways.into_iter().max_by(|a, b| median(a).total_cmp(&median(b))).expect("a way")
    }

    /// How the rate of a way compares to that of another in the same round.
    fn ratio(&self, way: usize, base: usize) -> [f64; 3] {
        quartiles(self.runs[way].iter().zip(&self.runs[base]).map(|(run, base)| rate(run) / rate(base)))
    }

    /// Prints all ways: rates, bytes, the time this process computed for a message, and the ratios to some of them.
    pub fn print(&self, title: &str, size: usize, bases: &[usize]) {
        let rounds = self.runs.iter().map(Vec::len).max().unwrap_or(0);
        println!("\n{title} ({rounds} rounds, load {}; medians with quartiles)", load());
        let mut head = format!("{:44} {:>25} {:>6} {:>7}", "", "messages/s", "MB/s", "us CPU");
        for base in 0..bases.len() {
            let _ = write!(head, " {:>18}", format!("to {}", mark(base)));
        }
        println!("{head}");
        for (way, name) in self.names.iter().enumerate() {
            println!("{}", self.line(way, name, size, bases));
        }
    }

    fn line(&self, way: usize, name: &str, size: usize, bases: &[usize]) -> String {
        let [lower, rate, upper] = quartiles(self.runs[way].iter().map(rate));
        let cpu = self.cpu(way);
        let marks: String = (0..bases.len()).filter(|base| bases[*base] == way).map(mark).collect();
        let rates = format!("{rate:.0} ({lower:.0}..{upper:.0})");
        let bytes = rate * size as f64 / 1e6;
        let mut line = format!("{:44} {rates:>25} {bytes:6.0} {cpu:7.1}", format!("{name} {marks}"));
        for base in bases {
            let [lower, ratio, upper] = self.ratio(way, *base);
            let _ = write!(line, " {:>18}", format!("{ratio:.2} ({lower:.2}..{upper:.2})"));
        }
        line
    }

    /// Microseconds that this process computed for one message: a mean, as the system's clock for it is coarse.
    fn cpu(&self, way: usize) -> f64 {
        let (time, count) = self.runs[way].iter().fold((0.0, 0), |(time, count), run| {
            (time + run.cpu.map_or(f64::NAN, |cpu| cpu.as_secs_f64()), count + run.count)
        });
        time * 1e6 / count as f64
    }

    /// Prints one ratio by itself.
    pub fn print_goal(&self, what: &str, way: usize, base: usize) {
        let [lower, ratio, upper] = self.ratio(way, base);
        println!("{what}: {ratio:.2} ({lower:.2}..{upper:.2})");
    }

    /// Prints how long single calls took, of the ways that have noted it.
    pub fn print_latencies(&self) {
        println!("{:44} {:>10} {:>16} {:>10}", "from a publish to its confirm, us", "median", "quartiles", "99 %");
        for (name, runs) in self.names.iter().zip(&self.runs) {
            let mut all: Vec<_> = runs.iter().flat_map(|run| &run.latencies).map(Duration::as_micros).collect();
            all.sort_unstable();
            let at = |part: usize| all.get((all.len().max(1) - 1) * part / 100);
            if let (Some(lower), Some(median), Some(upper), Some(high)) = (at(25), at(50), at(75), at(99)) {
                println!("{name:44} {median:10} {:>16} {high:10}", format!("{lower}..{upper}"));
            }
        }
    }
}

/// The sign of a way that others are compared to.
fn mark(base: usize) -> char {
    ['*', '+'].get(base).copied().unwrap_or('#')
}

/// The load of the machine over the last minute, as Linux tells it.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
