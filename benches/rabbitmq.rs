//! RabbitMQ through `coffee_mom`, beside loops over amiquip alone that do the same work; and what
//! durability, persistence and confirms cost there.
//!
//! A broker of its own is started and removed again. The ways are run in turns, in another order each
//! round, so that other work on the machine falls on all of them: compare ratios, not figures of two runs.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

#[path = "support/rabbitmq_bare.rs"]
mod bare;
#[path = "support/rabbitmq_ours.rs"]
mod ours;
#[path = "support/rabbitmq_rounds.rs"]
mod rounds;
#[path = "support/rabbitmq_work.rs"]
mod work;

use std::env;
use std::time::Duration;

use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions};

use bare::Tuning;
use rounds::{Measured, Way, in_turns};
use work::{Acks, Kind, Setting, Work};

/// Bytes of a body, and how many are sent at a time: for about 0.2 s each.
const SIZES: [(usize, u64); 3] = [(200, 8_000), (64 << 10, 1_600), (256 << 10, 600)];

/// Publishes that may wait for their confirms, unless each waits for its own.
const WINDOW: usize = 1024;

fn main() {
    let filters: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |title: &str| filters.is_empty() || filters.iter().any(|filter| title.contains(filter));
    let broker = OwnBroker::start(OwnOptions::default()).expect("RabbitMQ is installed");
    let setting = Setting::new(&broker);
    for (size, count) in SIZES {
        let title = format!("beside amiquip alone, {size} bytes");
        if wanted(&title) {
            beside_bare(&setting, &title, size, count);
        }
    }
    for (size, count) in &SIZES[..2] {
        let title = format!("kinds of queues, {size} bytes");
        if wanted(&title) {
            kinds(&setting, &title, *size, *count);
        }
        let title = format!("confirms, {size} bytes");
        if wanted(&title) {
            confirms(&setting, &title, *size, count / 2);
        }
    }
}

/// One queue, one publisher, one consumer, a link for each: ours and by hand.
fn beside_bare(setting: &Setting, title: &str, size: usize, count: u64) {
    let work = |acks| Work { size, count, window: WINDOW, kind: Kind::Persistent, acks };
    let ways = [("each acked", Acks::Each), ("acks of 64", Acks::Of64)].into_iter().flat_map(|(name, acks)| {
        let work = work(acks);
        let bare = move |tuning| move || bare::publish_and_consume(setting, &work, tuning);
        [
            Way::new(format!("amiquip, {name}"), bare(Tuning::Default)),
            Way::new(format!("amiquip, {name}, large buffers"), bare(Tuning::Large)),
            Way::new(format!("coffee_mom, {name}"), move || ours::publish_and_consume(setting, &work)),
        ]
    });
    let measured = in_turns(ways.collect(), Duration::from_secs(26));
    let best_each = measured.fastest(0..2);
    let best = measured.fastest([0, 1, 3, 4]);
    measured.print(title, size, &[best_each, best]);
    measured.print_goal("coffee_mom, each acked, to the best of amiquip with the same acks", 2, best_each);
    measured.print_goal("coffee_mom, acks of 64, to the best of amiquip at all", 5, best);
}

/// What it costs to have the broker keep messages, while they are consumed as they come.
fn kinds(setting: &Setting, title: &str, size: usize, count: u64) {
    let ways = Kind::ALL.map(|kind| {
        let work = Work { size, count, window: WINDOW, kind, acks: Acks::Each };
        Way::new(kind.to_string(), move || ours::publish_and_consume(setting, &work))
    });
    in_turns(ways.into(), Duration::from_secs(10)).print(title, size, &[2]);
}

/// What it costs to have messages confirmed, one by one and many at a time, while nobody consumes.
fn confirms(setting: &Setting, title: &str, size: usize, count: u64) {
    let mut ways = Vec::new();
    for (window, count) in [(WINDOW, count), (1, 60)] {
        for kind in Kind::ALL {
            let work = Work { size, count, window, kind, acks: Acks::Each };
            ways.push(Way::new(format!("{kind}, window {window}"), move || ours::publish(setting, &work)));
        }
    }
    for kind in [Kind::Transient, Kind::Persistent] {
        let work = Work { size, count: 60, window: 1, kind, acks: Acks::Each };
        let bare = move || bare::publish(setting, &work, Tuning::Large);
        ways.push(Way::new(format!("{kind}, window 1, amiquip"), bare));
    }
    let measured: Measured = in_turns(ways, Duration::from_secs(12));
    measured.print(title, size, &[2, 6]);
    measured.print_latencies();
}
