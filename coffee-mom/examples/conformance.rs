//! Runs the conformance suite against a broker, any number of times in a row.
//!
//! ```text
//! cargo run --example conformance -- [URL | rabbitmq] [--times N] [--only PART-OF-NAME]
//! ```
//! `memory:` is the in-process broker (the default), `rabbitmq` the shared test broker of this machine.

use std::error::Error;
use std::process::ExitCode;

#[cfg(unix)]
use coffee_mom::conformance::RabbitSubject;
use coffee_mom::conformance::{self, MemorySubject, Subject};

struct Wanted {
    broker: String,
    times: usize,
    only: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let wanted = parse(std::env::args().skip(1))?;
    let subject = subject(&wanted.broker)?;
    let mut failures = 0;
    for round in 1..=wanted.times {
        let report = conformance::run(subject.as_ref(), &wanted.only);
        failures += report.failures().count();
        println!("{report}round {round} of {}: {} passed, {failures} failed so far", wanted.times, report.passed());
        if report.passed() == 0 && failures == 0 {
            return Err("no case has such a name".into());
        }
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, Box<dyn Error>> {
    let mut wanted = Wanted { broker: "memory:".to_owned(), times: 1, only: String::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--times" => wanted.times = arguments.next().ok_or("--times needs a number")?.parse()?,
            "--only" => wanted.only = arguments.next().ok_or("--only needs a part of a name")?,
            _ => wanted.broker = argument,
        }
    }
    Ok(wanted)
}

fn subject(broker: &str) -> Result<Box<dyn Subject>, Box<dyn Error>> {
    match broker {
        "memory:" => Ok(Box::new(MemorySubject::default())),
        #[cfg(unix)]
        "rabbitmq" => Ok(Box::new(RabbitSubject::shared().map_err(|failure| failure.to_string())?)),
        #[cfg(unix)]
        url if url.starts_with("amqp") => Ok(Box::new(RabbitSubject::at(url))),
        _ => Err("no broker is known by that URL".into()),
    }
}
