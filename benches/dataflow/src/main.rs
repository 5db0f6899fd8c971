//! Operators of `coffee-core` beside loops by hand, Renoir and timely, on the same rows in memory.
//!
//! Each round runs every contender once, in an order that moves on from round to round; what is compared is compared within
//! a round, so that other work on the machine shows less. All answers have to be the same.
//!
//! ```text
//! coffee-dataflow [ROWS [ROUNDS [PART OF A TASK'S NAME]]]
//! ```

mod by_coffee;
mod by_loop;
mod by_nodes;
mod by_renoir;
mod by_timely;
mod exchange;
mod rows;

use std::{error::Error, time::Instant};

use rows::{Answer, Sale, Task, sales};

type Run = fn(Task, &'static [Sale], usize) -> Option<Answer>;

/// The first is the one that the others are compared to.
const CONTENDERS: [(&str, Run); 6] = [
    ("operators", |task, rows, threads| Some(by_coffee::run(task, rows, threads))),
    ("loop", |task, rows, threads| Some(by_loop::plain(task, rows, threads))),
    ("tailored loop", by_loop::tailored),
    ("Renoir", |task, rows, threads| Some(by_renoir::run(task, rows, threads))),
    ("timely", |task, rows, threads| Some(by_timely::run(task, rows, threads))),
    ("embedded engine", |task, rows, threads| Some(by_nodes::run(task, rows, threads))),
];

const THREADS: [usize; 2] = [1, 2];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: usize = arguments.next().map_or(Ok(10_000_000), |rows| rows.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(11), |rounds| rounds.parse())?;
    let wanted = arguments.next().unwrap_or_default();
    let sales = sales(rows);
    println!(
        "{rows} rows, {rounds} rounds; M rows/s: median (quartiles); operators: their rate by this one's, in a round"
    );
    for task in Task::ALL.into_iter().filter(|task| task.name().contains(&wanted)) {
        for threads in THREADS {
            println!(
                "\n| {}, {threads} thread{} | M rows/s | operators |",
                task.name(),
                if threads == 1 { "" } else { "s" }
            );
            println!("|---|---|---|");
            print(&measure(task, sales, threads, rounds.max(1)));
        }
    }
    Ok(())
}

/// What a contender reached, round by round, in M rows/s.
type Rates = (&'static str, Vec<f64>);

fn measure(task: Task, rows: &'static [Sale], threads: usize, rounds: usize) -> Vec<Rates> {
    let expected = by_loop::plain(task, rows, threads); // which warms up the rows
    let mut rates: Vec<Rates> = CONTENDERS.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for round in 0..rounds {
        for at in (0..CONTENDERS.len()).map(|at| (at + round) % CONTENDERS.len()) {
            let (name, run) = CONTENDERS[at];
            let start = Instant::now();
            let Some(answer) = run(task, rows, threads) else { continue };
            rates[at].1.push(rows.len() as f64 / start.elapsed().as_secs_f64() / 1e6);
            assert_eq!(answer, expected, "{name}");
        }
    }
    rates.retain(|(_, rates)| !rates.is_empty());
    rates
}

fn print(all: &[Rates]) {
    let Some((_, reference)) = all.first() else { return };
    for (name, rates) in all {
        let [low, middle, high] = quartiles(rates.clone());
        let [_, ratio, _] = quartiles(reference.iter().zip(rates).map(|(ours, theirs)| ours / theirs).collect());
        println!("| {name} | {middle:.0} ({low:.0}-{high:.0}) | {ratio:.2} |");
    }
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
