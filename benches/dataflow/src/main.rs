//! Operators of `coffee-core` beside loops by hand, Renoir and timely, on the same rows in memory.
//!
//! Each round runs every contender once, in an order that moves on from round to round; the best rounds are compared, as other
//! work on the machine shows least in them. All answers have to be the same.
//!
//! ```text
//! coffee-dataflow [ROWS [ROUNDS [PART OF A TASK'S NAME]]]
//! ```

mod by_coffee;
mod by_loop;
mod by_nodes;
mod by_renoir;
mod by_timely;
mod rows;

use std::{error::Error, time::Instant};

use rows::{Answer, Sale, Task, sales};

type Run = fn(Task, &'static [Sale], usize) -> Option<Answer>;

/// The first two are those that the others are compared to.
const CONTENDERS: [(&str, Run); 6] = [
    ("operators", |task, rows, threads| Some(by_coffee::run(task, rows, threads))),
    ("embedded engine", |task, rows, threads| Some(by_nodes::run(task, rows, threads))),
    ("loop", |task, rows, threads| Some(by_loop::plain(task, rows, threads))),
    ("tailored loop", by_loop::tailored),
    ("Renoir", |task, rows, threads| Some(by_renoir::run(task, rows, threads))),
    ("timely", |task, rows, threads| Some(by_timely::run(task, rows, threads))),
];

const THREADS: [usize; 2] = [1, 2];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: usize = arguments.next().map_or(Ok(10_000_000), |rows| rows.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(11), |rounds| rounds.parse())?;
    let wanted = arguments.next().unwrap_or_default();
    println!(
        "{rows} rows, {rounds} rounds. M rows/s: median (quartiles), and the best round's; M rows by a second of a processor's"
    );
    println!(
        "time, the best round's. operators, engine: how many times the best of this contender theirs is, of what stands before."
    );
    let mut made = None;
    for task in Task::ALL.into_iter().filter(|task| task.name().contains(&wanted)) {
        let sales = match made {
            Some((users, sales)) if users == task.users() => sales,
            _ => sales(rows, task.users()),
        };
        made = Some((task.users(), sales));
        for threads in THREADS {
            println!(
                "\n| {}, {threads} thread{} | M rows/s | best | operators | engine | by work | operators | engine |",
                task.name(),
                if threads == 1 { "" } else { "s" }
            );
            println!("|---|---|---|---|---|---|---|---|");
            print(&measure(task, sales, threads, rounds.max(1)));
        }
    }
    Ok(())
}

/// What a contender reached, round by round: M rows/s, and M rows by each second of a processor's time.
type Rates = (&'static str, Vec<(f64, f64)>);

/// The processor time that this process has had, with threads that have ended, in seconds; to a hundredth, which is the unit of Linux.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn measure(task: Task, rows: &'static [Sale], threads: usize, rounds: usize) -> Vec<Rates> {
    let expected = by_loop::plain(task, rows, threads); // which warms up the rows
    let mut rates: Vec<Rates> = CONTENDERS.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for round in 0..rounds {
        for at in (0..CONTENDERS.len()).map(|at| (at + round) % CONTENDERS.len()) {
            let (name, run) = CONTENDERS[at];
            let (start, had) = (Instant::now(), processor_time());
            let Some(answer) = run(task, rows, threads) else { continue };
            let (took, work) = (start.elapsed().as_secs_f64(), processor_time() - had);
            rates[at].1.push((rows.len() as f64 / took / 1e6, rows.len() as f64 / work / 1e6));
            assert_eq!(answer, expected, "{name}");
        }
    }
    rates.retain(|(_, rates)| !rates.is_empty());
    rates
}

fn print(all: &[Rates]) {
    let best = |rates: &[(f64, f64)]| {
        let best = |of: fn(&(f64, f64)) -> f64| rates.iter().map(of).fold(0.0, f64::max);
        (best(|rate| rate.0), best(|rate| rate.1))
    };
    let [operators, engine] = [0, 1].map(|at| all.get(at).map_or((0.0, 0.0), |(_, rates)| best(rates)));
    for (name, rates) in all {
        let [low, middle, high] = quartiles(rates.iter().map(|rate| rate.0).collect());
        let (rate, by_work) = best(rates);
        println!(
            "| {name} | {middle:.1} ({low:.1}-{high:.1}) | {rate:.1} | {:.2} | {:.2} | {by_work:.1} | {:.2} | {:.2} |",
            operators.0 / rate,
            engine.0 / rate,
            operators.1 / by_work,
            engine.1 / by_work,
        );
    }
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
