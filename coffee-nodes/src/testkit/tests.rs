//! A pipeline that keeps the laws stands its trial; each fault that is put into one is found.

use std::{cell::Cell, cmp::Reverse, collections::BTreeMap};

use coffee_core::{
    operator::{Aggregator, Count, Filter, Measure, Projection, Row, Sum, TopBy, laws},
    plan::{Flow, Plan, PlanBuilder, SinkId, SourceId},
    rejection::{Line, Rejection},
    source::{Chunk, Rows, Source},
};

use super::*;
use crate::job::Job;

/// A shop, and an amount.
type Sale = (u8, u32);

fn sales() -> Vec<Sale> {
    (0..60_u32).map(|at| ((at * 7 % 5) as u8, at % 7)).collect()
}

/// Tries a plan over the sales, and over the seeds until one shows a fault.
fn tried(plan: Plan, source: &SourceId<Sale>) -> Result<Tried, TrialError> {
    let rows = sales();
    let trial = Trial::new(plan).unwrap().seeds(0..400);
    trial.run(|topology| Ok(Job::new(topology, &())?.rows(source, rows.iter().copied())))
}

/// What is found in a plan that does something with the sales.
fn found<R: Row + Ord>(make: impl FnOnce(Flow<'_, (), Sale>) -> Flow<'_, (), R>) -> TrialError {
    let plan = PlanBuilder::<()>::new();
    let (source, sales) = plan.rows::<Sale>("sales");
    let _: SinkId<R> = make(sales).sink("out");
    let error = tried(plan.build().unwrap(), &source).expect_err("the fault is found");
    assert!(matches!(error, TrialError::Differs { .. } | TrialError::Seed { .. }), "{error}");
    error
}

#[test]
fn a_pipeline_that_keeps_the_laws_stands_its_trial() {
    let plan = PlanBuilder::<u32>::new();
    let (source, flow) = plan.rows::<Sale>("sales");
    let (names_source, names) = plan.rows::<(u8, String)>("names");
    let sums = flow.filter("large", |least| {
        let least = *least;
        move |sale: &Sale| sale.1 >= least
    });
    let sums = sums.key(|sale| sale.0).aggregate("sums", |_| Sum::<_, u64>::new(|sale: &Sale| u64::from(sale.1)));
    let best = sums.key(|sum| sum.0 % 2).maximize("best", |_| (2, |sum: &(u8, u64)| (Reverse(sum.1), sum.0)));
    let named = best
        .key(|sum| sum.0)
        .join("named", names.key(|name| name.0), |_| |sum: &(u8, u64), name: &(u8, String)| (name.1.clone(), sum.1));
    let (sums, named) = (sums.sink("all"), named.sink("best-names"));

    let rows = sales();
    let mut plain: BTreeMap<u8, u64> = BTreeMap::new();
    rows.iter().filter(|sale| sale.1 >= 3).for_each(|sale| *plain.entry(sale.0).or_default() += u64::from(sale.1));
    let mut best: Vec<(u8, u64)> = Vec::new();
    for parity in 0..2 {
        let mut of: Vec<_> =
            plain.iter().map(|(shop, sum)| (*shop, *sum)).filter(|(shop, _)| shop % 2 == parity).collect();
        of.sort_by_key(|(shop, sum)| (Reverse(*sum), *shop));
        best.extend(of.into_iter().take(2));
    }
    let names: Vec<(u8, String)> = (0..5).map(|shop| (shop, format!("shop {shop}"))).collect();
    let best = best.into_iter().map(|(shop, sum)| (format!("shop {shop}"), sum));

    let trial = Trial::new(plan.build().unwrap()).unwrap().expect(&sums, plain).expect(&named, best);
    let tried = trial.seeds(0..100).run(|topology| {
        let job = Job::new(topology, &3_u32)?.rows(&source, rows.iter().copied());
        Ok(job.rows(&names_source, names.iter().cloned()))
    });
    let tried = tried.unwrap_or_else(|error| panic!("{error}"));
    assert!(tried.cases >= 60 && tried.seeds == 100, "{tried:?}");
}

/// Lines of text, as a source that reads each line by itself.
struct Lines;

impl Source for Lines {
    type Row = String;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, String>) {
        for (number, line) in (chunk.first_line..).zip(String::from_utf8_lossy(chunk.data).lines()) {
            match line {
                "" => rows.reject(Rejection {
                    line: Line { file: chunk.file, number },
                    column: "line".to_owned(),
                    reason: "empty".to_owned(),
                    raw: None,
                }),
                line => rows.push(line.to_owned()),
            }
        }
    }
}

const TEXT: &str = "words\nred\n\nblue\nred\n\ngreen\nred\nblue";

#[test]
fn text_is_read_and_rejected_alike_however_it_is_cut() {
    let plan = PlanBuilder::<()>::new();
    let lines = plan.source("words", |()| Lines);
    let counts = lines.key(String::clone).aggregate("count", |()| Count).sink("counts");
    let right = [("red", 3), ("blue", 2), ("green", 1)].map(|(word, count)| (word.to_owned(), count));
    let trial = Trial::new(plan.build().unwrap()).unwrap().expect(&counts, right).seeds(0..60).deaths();
    let tried = trial.run(|topology| Ok(Job::new(topology, &())?.text("words", TEXT)));
    let tried = tried.unwrap_or_else(|error| panic!("{error}"));
    assert!(tried.seeds == 60 && tried.deaths > 300, "{tried:?}");
}

#[test]
fn another_answer_than_the_expected_one_is_told_by_its_row() {
    let plan = PlanBuilder::<()>::new();
    let (source, numbers) = plan.rows::<u32>("numbers");
    let out = numbers.sink("out");
    let trial = Trial::new(plan.build().unwrap()).unwrap().expect(&out, [1, 2, 4]);
    let error = trial.run(|topology| Ok(Job::new(topology, &())?.rows(&source, [1, 2, 3]))).unwrap_err();
    assert!(error.to_string().ends_with("row 3 is 3, not 4"), "{error}");
}

/// Keeps the amount that was merged last.
struct Last;

impl Measure<Sale> for Last {
    type Acc = Option<u32>;

    fn fold(&self, acc: &mut Option<u32>, sale: &Sale) {
        *acc = Some(sale.1);
    }

    fn merge(&self, acc: &mut Option<u32>, part: Option<u32>) {
        *acc = part.or(*acc);
    }
}

#[test]
fn an_aggregator_that_is_not_commutative_is_found() {
    found(|sales| sales.key(|sale| sale.0).aggregate("last", |()| Last));
}

/// Counts from one.
struct FromOne;

/// How many there are, and the one that was never there.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct OneMore(u64);

impl Default for OneMore {
    fn default() -> Self {
        OneMore(1)
    }
}

impl Aggregator for FromOne {
    type Row = Sale;
    type Key = u8;
    type Acc = OneMore;
    type Out = (u8, u64);

    fn key(&self, sale: &Sale) -> Option<u8> {
        Some(sale.0)
    }

    fn fold(&self, acc: &mut OneMore, _sale: &Sale) {
        acc.0 += 1;
    }

    fn merge(&self, acc: &mut OneMore, part: OneMore) {
        acc.0 += part.0;
    }

    fn finish(&self, shop: u8, acc: OneMore) -> (u8, u64) {
        (shop, acc.0)
    }
}

#[test]
fn a_default_that_is_no_identity_is_found() {
    found(|sales| sales.aggregate("from-one", |()| FromOne));
    assert!(laws::aggregator(&FromOne, &sales(), 20, 10).is_err(), "the laws name the operator");
}

#[test]
fn a_rank_that_is_equal_for_unequal_rows_is_found() {
    let by_amount = || TopBy::new(|_: &Sale| 0_u8, |sale: &Sale| sale.1, 1);
    let error = found(|sales| {
        // Each shop's least is there once, but several are the same.
        let least = sales.maximize("least", |()| TopBy::new(|sale: &Sale| sale.0, |sale: &Sale| (sale.1, sale.0), 1));
        least.maximize("best", move |()| by_amount())
    });
    assert!(error.to_string().contains("\"out\""), "{error}");
    assert!(laws::maximizer(&by_amount(), &sales(), 20).is_err(), "the laws name the operator");
}

/// Keeps every second row that it sees.
#[derive(Default)]
struct EverySecond(Cell<bool>);

impl Filter<Sale> for EverySecond {
    fn keep(&self, _sale: &Sale) -> bool {
        self.0.replace(!self.0.get())
    }
}

/// Adds up the amounts that it has seen.
#[derive(Default)]
struct Running(Cell<u64>);

impl Projection<Sale> for Running {
    type Out = (u8, u64);

    fn project(&self, sale: &Sale) -> (u8, u64) {
        self.0.set(self.0.get() + u64::from(sale.1));
        (sale.0, self.0.get())
    }
}

#[test]
fn a_filter_that_remembers_is_found() {
    found(|sales| sales.filter("every-second", |()| EverySecond::default()));
}

#[test]
fn a_projection_that_remembers_is_found() {
    found(|sales| sales.map("running", |()| Running::default()));
}

/// Numbers the lines of each chunk.
struct Numbered;

impl Source for Numbered {
    type Row = (usize, String);

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, (usize, String)>) {
        let text = String::from_utf8_lossy(chunk.data);
        text.lines().map(str::to_owned).enumerate().for_each(|row| rows.push(row));
    }
}

#[test]
fn a_source_whose_rows_depend_on_the_cut_is_found() {
    let plan = PlanBuilder::<()>::new();
    let _: SinkId<(usize, String)> = plan.source("words", |()| Numbered).sink("out");
    let trial = Trial::new(plan.build().unwrap()).unwrap();
    let error = trial.run(|topology| Ok(Job::new(topology, &())?.text("words", TEXT))).unwrap_err();
    assert!(matches!(error, TrialError::Differs { .. }), "{error}");
}
