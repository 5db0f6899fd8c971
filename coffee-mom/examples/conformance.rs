//! Runs the conformance suite against a broker, any number of times in a row.
//!
//! ```text
//! cargo run --example conformance -- [URL | rabbitmq] [--outages] [--times N] [--only PART-OF-NAME]
//! ```
//! `memory:` is the in-process broker (the default), `rabbitmq` the shared test broker of this machine.
//! Cases of outages stop and kill brokers of their own, never that of a URL: they run on the RabbitMQ that
//! is installed on this machine, for `rabbitmq` always, for a URL with `--outages`. `RUST_LOG` is heard.

use std::error::Error;
use std::process::ExitCode;

#[cfg(unix)]
use coffee_mom::conformance::RabbitSubject;
use coffee_mom::conformance::{self, MemorySubject, Subject};

struct Wanted {
    broker: String,
    outages: bool,
    times: usize,
    only: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    env_logger::init();
    let wanted = parse(std::env::args().skip(1))?;
    let subject = subject(&wanted)?;
    let mut failures = 0;
    for round in 1..=wanted.times {
        let report = conformance::run(subject.as_ref(), &wanted.only);
        let (passed, failed, left_out) = (report.passed(), report.failures().count(), report.left_out().len());
        if passed + failed + left_out == 0 {
            return Err("no case has such a name".into());
        }
        failures += failed;
        let so_far = format!("{passed} passed, {left_out} left out, {failures} failed so far");
        println!("{report}round {round} of {}: {so_far}", wanted.times);
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, Box<dyn Error>> {
    let mut wanted = Wanted { broker: "memory:".to_owned(), outages: false, times: 1, only: String::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--outages" => wanted.outages = true,
            "--times" => wanted.times = arguments.next().ok_or("--times needs a number")?.parse()?,
            "--only" => wanted.only = arguments.next().ok_or("--only needs a part of a name")?,
            _ => wanted.broker = argument,
        }
    }
    Ok(wanted)
}

fn subject(wanted: &Wanted) -> Result<Box<dyn Subject>, Box<dyn Error>> {
    match wanted.broker.as_str() {
        "memory:" => Ok(Box::new(MemorySubject::default())),
        #[cfg(unix)]
        "rabbitmq" => Ok(Box::new(RabbitSubject::shared().map_err(|failure| failure.to_string())?)),
        #[cfg(unix)]
        url if url.starts_with("amqp") => {
            let subject = RabbitSubject::at(url);
            Ok(Box::new(if wanted.outages { subject.with_installed_control() } else { subject }))
        }
        _ => Err("no broker is known by that URL".into()),
    }
}
