//! What is left of confirmed, persistent messages when RabbitMQ is restarted while some of them are with
//! a consumer. The case named `trap_*` fails if what users must know goes away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions};
use coffee_mom::*;
use support::*;

/// Ready messages that a bounded queue may have, and so many more are with a consumer.
const BOUND: u64 = 4;
const HELD: u64 = 2;

/// All that is published and confirmed.
const ALL: Range<u64> = 0..HELD + BOUND;

/// What is published after the restart: the end of the queue.
const MARK: u64 = 1000;

/// A broker that was restarted by `end` and a start, with a queue that had the messages [`ALL`]: the first
/// with a consumer, the others ready.
fn restarted(spec: &QueueSpec, end: fn(&mut OwnBroker)) -> (OwnBroker, Arc<dyn Broker>, Name) {
    let mut own = OwnBroker::start(OwnOptions::default()).unwrap();
    let queue = open(&own.url(), soon()).unwrap().declare_queue(spec, soon()).unwrap();
    // A declaration is not confirmed: the broker has it on disk some seconds later, or when it is stopped.
    own.stop().unwrap();
    own.restart().unwrap();
    let broker = open(&own.url(), soon()).unwrap();
    let holding = consumer(&*broker, &queue, HELD as u16);
    publish(&*broker, &queue, 0..HELD);
    let _held: Vec<_> = (0..HELD).map(|_| take(&*holding)).collect();
    publish(&*broker, &queue, HELD..ALL.end);
    end(&mut own);
    // While the broker is away, so that what is held stays unacked until it starts again.
    broker.close(soon()).unwrap();
    own.restart().unwrap();
    let broker = open(&own.url(), soon()).unwrap();
    (own, broker, queue)
}

/// Takes and acks one message.
fn next(consumer: &mut dyn Consumer) -> u64 {
    let delivery = take(consumer);
    consumer.ack(delivery.tag).unwrap();
    number(&delivery)
}

fn keeps_all(spec: &QueueSpec, end: fn(&mut OwnBroker)) {
    let (_own, broker, queue) = restarted(spec, end);
    let mut consumer = consumer(&*broker, &queue, 100);
    let mut missing: BTreeSet<_> = ALL.collect();
    while !missing.is_empty() {
        missing.remove(&next(&mut *consumer));
    }
}

fn drops_the_oldest(spec: &QueueSpec, end: fn(&mut OwnBroker)) {
    let (_own, broker, queue) = restarted(spec, end);
    let mut consumer = consumer(&*broker, &queue, 100);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let mut outcome = Outcome::Nacked;
    while outcome == Outcome::Nacked {
        // The queue may be full until the consumer has it all.
        producer.publish(&Route::queue(&queue), body(MARK), soon()).unwrap();
        outcome = producer.settled().recv_deadline(soon()).unwrap().outcome;
    }
    let left: Vec<_> = std::iter::from_fn(|| Some(next(&mut *consumer)).filter(|number| *number != MARK)).collect();
    assert_eq!(left, (HELD..ALL.end).collect::<Vec<_>>());
}

fn stop(own: &mut OwnBroker) {
    own.stop().unwrap();
}

fn spec() -> QueueSpec {
    QueueSpec::named(name("work"))
}

fn bounded() -> QueueSpec {
    spec().bounded(BOUND as usize, 1 << 20)
}

#[test]
fn trap_a_bounded_classic_queue_drops_the_oldest_above_its_bound() {
    drops_the_oldest(&bounded(), stop);
    drops_the_oldest(&bounded(), OwnBroker::kill);
}

#[test]
fn a_bounded_quorum_queue_keeps_all() {
    keeps_all(&bounded().quorum(), stop);
    keeps_all(&bounded().quorum(), OwnBroker::kill);
}

#[test]
fn an_unbounded_classic_queue_keeps_all() {
    keeps_all(&spec().unbounded(), stop);
    keeps_all(&spec().unbounded(), OwnBroker::kill);
}
