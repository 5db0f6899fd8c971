//! What web servers' logs tell: how many requests fail an hour, at which pages, and who has taken most a day.
//!
//! ```text
//! log -> people -+-> by-hour ------------> of all -> loaded --> error-rates
//!                |      `----> total ------^
//!                +-> failing -> by-page ----------------------> failing-pages
//!                `-> traffic -> top -> names -----------------> top-talkers
//! hosts ------------------------^
//! ```

use std::{cmp::Reverse, net::Ipv4Addr};

use coffee::prelude::*;
use serde::{Deserialize, Serialize};

/// What a job may choose.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The fewest requests of an hour that is told of.
    pub least_requests: u64,
    /// How many talkers a day.
    pub talkers: usize,
}

/// A request, a line of the log: `SECONDS ADDRESS PATH STATUS BYTES`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// When, in seconds since some midnight.
    pub second: u32,
    /// Who.
    pub address: Ipv4Addr,
    /// For what.
    pub path: String,
    /// With what success.
    pub status: u16,
    /// How much went out.
    pub bytes: u64,
}

impl Request {
    /// Reads a line; `None` where it is none of the log's.
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[second, address, path, status, bytes] = fields.as_slice() else { return None };
        Some(Request {
            second: second.parse().ok()?,
            address: address.parse().ok()?,
            path: path.to_owned(),
            status: status.parse().ok()?,
            bytes: bytes.parse().ok()?,
        })
    }

    /// Whether a person may have asked for it, and no probe.
    pub fn is_of_people(&self) -> bool {
        self.path != "/health"
    }

    /// Whether the server failed.
    pub fn is_failed(&self) -> bool {
        self.status >= 500
    }
}

/// A host's address and name.
pub type Host = (Ipv4Addr, String);

/// An hour, its requests, those of them that failed, and its requests in per mille of all.
pub type ErrorRate = (u32, u64, u64, u64);

/// A page and how often it failed.
pub type FailingPage = (String, u64);

/// A day, what went out, and to whom.
pub type Talker = (u32, Reverse<u64>, String);

/// Reads lines of the log.
struct Log;

impl Source for Log {
    type Row = Request;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, Request>) {
        for line in chunk.lines() {
            rows.take(line.and_then(|(line, text)| {
                let request = str::from_utf8(text).ok().and_then(Request::parse);
                request.ok_or_else(|| Rejection::of_line(line, "no line of a log", text))
            }));
        }
    }
}

/// Requests, and those of them that failed.
struct Failures;

impl Aggregator for Failures {
    type Row = Request;
    type Key = u32;
    type Acc = (u64, u64);
    type Out = (u32, u64, u64);

    fn key(&self, request: &Request) -> Option<u32> {
        Some(request.second / 3600)
    }

    fn fold(&self, acc: &mut (u64, u64), request: &Request) {
        self.merge(acc, (1, u64::from(request.is_failed())));
    }

    fn merge(&self, acc: &mut (u64, u64), part: (u64, u64)) {
        *acc = (acc.0 + part.0, acc.1 + part.1);
    }

    fn finish(&self, hour: u32, (requests, failed): (u64, u64)) -> (u32, u64, u64) {
        (hour, requests, failed)
    }
}

/// The names of what goes in and comes out; what goes into `log` is text.
pub struct Weblog {
    /// The hosts.
    pub hosts: SourceId<Host>,
    /// Hours with enough requests.
    pub error_rates: SinkId<ErrorRate>,
    /// All pages that failed.
    pub failing_pages: SinkId<FailingPage>,
    /// Those who have taken most, each day; who has no name goes by the address.
    pub top_talkers: SinkId<Talker>,
}

/// All of it.
pub fn weblog() -> Result<(Plan, Weblog), PlanError> {
    let builder = PlanBuilder::<Asked>::new();
    let log = builder.source("log", |_| Log);
    let (hosts_in, hosts) = builder.rows::<Host>("hosts");
    let people = log.filter("people", |_| Request::is_of_people);

    let by_hour = people.aggregate("by-hour", |_| Failures);
    let total = by_hour.key(|_| ()).aggregate("total", |_| Sum::<_, u64>::new(|hour: &(u32, u64, u64)| hour.1));
    let error_rates = by_hour
        .key(|_| ())
        .join("of-all", total.key(|_| ()), |_| {
            |hour: &(u32, u64, u64), total: &((), u64)| (hour.0, hour.1, hour.2, 1000 * hour.1 / total.1)
        })
        .filter("loaded", |asked| AtLeast::new(|rate: &ErrorRate| rate.1, asked.least_requests))
        .sink("error-rates");

    let failing_pages = people
        .flat_map("failing", |_| |request: &Request| request.is_failed().then(|| request.path.clone()))
        .key(String::clone)
        .aggregate("by-page", |_| Count)
        .sink("failing-pages");

    let top_talkers = people
        .key(|request| (request.second / 86_400, request.address))
        .aggregate("traffic", |_| Sum::<_, u64>::new(|request: &Request| request.bytes))
        .key(|row| row.0.0)
        .maximize("top", |asked| (asked.talkers, |row: &((u32, Ipv4Addr), u64)| (Reverse(row.1), row.0.1)))
        .key(|row| row.0.1)
        .left_join("names", hosts.key(|host| host.0), |_| {
            |((day, address), bytes): &((u32, Ipv4Addr), u64), host: Option<&Host>| {
                Some((*day, Reverse(*bytes), host.map_or_else(|| address.to_string(), |host| host.1.clone())))
            }
        })
        .sink("top-talkers");

    Ok((builder.build()?, Weblog { hosts: hosts_in, error_rates, failing_pages, top_talkers }))
}
