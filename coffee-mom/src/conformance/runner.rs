//! Runs cases: one for a test, or many in a row for a program.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::event::Event;
use crate::name::Name;
use crate::topology::DeleteOptions;

use super::case::{CASES, Case};
use super::census;
use super::control::{Control, Wishes};
use super::failure::Failure;
use super::steps;
use super::subject::{Features, Subject};

/// Runs one case, and deletes what it has declared.
///
/// # Errors
/// [`Failure`] of the case; also if there is none of that number, or the subject lacks what it needs.
pub fn run_case(subject: &dyn Subject, number: u16) -> Result<(), Failure> {
    let case = CASES.iter().find(|case| case.number == number);
    let case = case.ok_or_else(|| Failure::new(format_args!("there is no case {number}")))?;
    if let Some(feature) = case.needs.filter(|feature| !subject.features().has(*feature)) {
        return Err(Failure::new(format_args!("{} needs {feature:?}, which the subject does not declare", case.name)));
    }
    verify(case, subject)
}

/// Runs the cases whose names contain `filter`, one after the other; those that the subject lacks a
/// feature for are listed as left out. After each, the process must be back to the threads and
/// descriptors that it had: so nothing else should start or end meanwhile.
#[must_use]
pub fn run(subject: &dyn Subject, filter: &str) -> Report {
    let mut report = Report::default();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        if case.needs.is_some_and(|feature| !subject.features().has(feature)) {
            report.left_out.push(case.name);
            continue;
        }
        let start = Instant::now();
        let result = no_leak(subject.strays(case), || verify(case, subject));
        report.ran.push(Ran { name: case.name, took: start.elapsed(), result });
    }
    report
}

fn verify(case: &Case, subject: &dyn Subject) -> Result<(), Failure> {
    let tidy = Tidy { subject, names: Mutex::default(), events: Mutex::default() };
    let verified = catch_unwind(AssertUnwindSafe(|| (case.verify)(&tidy)));
    let verified = verified.unwrap_or_else(|_| Err(Failure::new("the case panicked")));
    let verified = verified.map_err(|failure| match tidy.troubles() {
        troubles if troubles.is_empty() => failure,
        troubles => failure.besides(format_args!("its connections told of {troubles:?}")),
    });
    let tidied = if case.needs.is_none() { tidy.up() } else { Ok(()) };
    verified.and(tidied)
}

/// Fails if `work` leaves a thread or more than `strays` descriptors behind, or some that come and go too long.
fn no_leak(strays: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let (threads, descriptors) = (census::threads(), census::descriptors());
    work()?;
    let what = "no thread and no descriptor is left";
    let gone = || Ok(census::threads() <= threads && census::descriptors() <= descriptors + strays);
    steps::eventually(what, steps::soon(), gone).map_err(|_| {
        let now = (census::threads(), census::descriptors());
        let names = census::thread_names();
        Failure::new(format_args!("{threads} threads and {descriptors} descriptors became {now:?}: {names:?}"))
    })
}

/// A subject that remembers the names that it gave, to delete what bears them, and listens to its
/// connections, as what happens to them may explain a failure.
struct Tidy<'a> {
    subject: &'a dyn Subject,
    names: Mutex<Vec<Name>>,
    events: Mutex<Vec<Receiver<Event>>>,
}

impl Tidy<'_> {
    /// What its connections told of, but for the good news.
    fn troubles(&self) -> Vec<Event> {
        let events = self.events.lock();
        events.iter().flat_map(Receiver::try_iter).filter(|event| !matches!(event, Event::Connected(_))).collect()
    }

    fn up(self) -> Result<(), Failure> {
        let broker = self.subject.connect()?;
        for name in self.names.into_inner() {
            broker.delete_queue(&name, DeleteOptions::default(), steps::soon())?;
            broker.delete_exchange(&name, steps::soon())?;
        }
        Ok(broker.close(steps::soon())?)
    }
}

impl Subject for Tidy<'_> {
    fn connect(&self) -> Result<Arc<dyn Broker>, Failure> {
        let broker = self.subject.connect()?;
        self.events.lock().push(broker.events());
        Ok(broker)
    }

    fn features(&self) -> Features {
        self.subject.features()
    }

    fn control(&self, wishes: &Wishes) -> Result<Box<dyn Control>, Failure> {
        self.subject.control(wishes)
    }

    fn name(&self, text: &str) -> Result<Name, Failure> {
        let name = self.subject.name(text)?;
        self.names.lock().push(name.clone());
        Ok(name)
    }
}

/// How cases went, one a line when displayed.
#[derive(Debug, Default)]
pub struct Report {
    ran: Vec<Ran>,
    left_out: Vec<&'static str>,
}

#[derive(Debug)]
struct Ran {
    name: &'static str,
    took: Duration,
    result: Result<(), Failure>,
}

impl Report {
    /// Cases that ran and held.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.ran.len() - self.failures().count()
    }

    /// Cases that failed, by name.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.ran.iter().filter_map(|ran| Some((ran.name, ran.result.as_ref().err()?)))
    }

    /// Cases that need what the subject does not declare, by name.
    #[must_use]
    pub fn left_out(&self) -> &[&'static str] {
        &self.left_out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ran in &self.ran {
            match &ran.result {
                Ok(()) => writeln!(f, "ok      {:6.2} s  {}", ran.took.as_secs_f64(), ran.name)?,
                Err(failure) => writeln!(f, "FAILED  {:6.2} s  {}: {failure}", ran.took.as_secs_f64(), ran.name)?,
            }
        }
        self.left_out.iter().try_for_each(|name| writeln!(f, "left out          {name}"))
    }
}
