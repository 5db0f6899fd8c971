//! What the tests of all contracts share: brokers to test, and short forms of common steps.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coffee_mom::*;

/// Connections to one new broker.
pub fn connections<const N: usize>() -> [Arc<dyn Broker>; N] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let url = format!("memory:test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    std::array::from_fn(|_| open(&url, soon()).unwrap())
}

/// Far enough away that only a hang reaches it.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A deadline that has passed: makes a call a try.
pub fn past() -> Instant {
    Instant::now()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A queue with the default bounds.
pub fn queue(broker: &dyn Broker) -> Name {
    broker.declare_queue(&QueueSpec::named(name("queue")), soon()).unwrap()
}

pub fn consumer(broker: &dyn Broker, queue: &Name, prefetch: u16) -> Box<dyn Consumer> {
    let options = ConsumerOptions::default().prefetch(prefetch.try_into().unwrap());
    broker.consumer(queue, options, soon()).unwrap()
}

/// A message of eight bytes that says a number.
pub fn body(number: u64) -> Message {
    Message::new(number.to_le_bytes().to_vec())
}

/// The number that [`body`] put in.
pub fn number(delivery: &Delivery) -> u64 {
    u64::from_le_bytes(delivery.message.body[..].try_into().unwrap())
}

/// Publishes a message a number, and waits until all are confirmed.
pub fn publish(broker: &dyn Broker, queue: &Name, numbers: Range<u64>) {
    publish_to(broker, &Route::queue(queue), numbers);
}

/// Publishes a message a number to a route, and waits until all are confirmed.
pub fn publish_to(broker: &dyn Broker, route: &Route, numbers: Range<u64>) {
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let mut open = 0;
    for number in numbers {
        producer.publish(route, body(number), soon()).unwrap();
        open += 1;
        while let Ok(settled) = producer.settled().try_recv() {
            assert_eq!(settled.outcome, Outcome::Confirmed);
            open -= settled.count();
        }
    }
    while open > 0 {
        open -= producer.settled().recv_deadline(soon()).unwrap().count();
    }
}

pub fn take(consumer: &dyn Consumer) -> Delivery {
    consumer.deliveries().recv_deadline(soon()).unwrap()
}

/// Asserts that the consumer has nothing in hand. Only after a call that would have delivered.
pub fn assert_nothing(consumer: &dyn Consumer) {
    assert!(consumer.deliveries().is_empty());
}

pub fn status(broker: &dyn Broker, queue: &Name) -> QueueStatus {
    broker.queue_status(queue, soon()).unwrap()
}

/// Asserts that a queue has no message, neither ready nor unacked by a consumer that is gone.
pub fn assert_empty(broker: &dyn Broker, queue: &Name) {
    assert_eq!(status(broker, queue).ready, 0);
}
