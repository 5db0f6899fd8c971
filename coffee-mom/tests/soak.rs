//! Consumers that come, die and ack in a mess: nothing is lost, nothing acked comes again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use coffee_mom::*;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use support::*;

const PUBLISHERS: u64 = 2;
const EACH: u64 = 20_000;

/// The numbers acked; drops `done` with the last.
struct Acked {
    numbers: BTreeSet<u64>,
    done: Option<Sender<()>>,
}

impl Acked {
    fn add(&mut self, number: u64) {
        assert!(self.numbers.insert(number), "acked before");
        if self.numbers.len() as u64 == PUBLISHERS * EACH {
            self.done = None;
        }
    }
}

/// Numbers that look random and are the same in each run.
fn scramble(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

/// One life of a consumer: takes some, acks, nacks or keeps them, and dies. False when all is done.
fn live(broker: &dyn Broker, queue: &Name, life: u64, acked: &Mutex<Acked>, done: &Receiver<()>) -> bool {
    let mut consumer = consumer(broker, queue, 1 + (life % 50) as u16);
    for turn in 0..scramble(life) % 200 {
        let deliveries = consumer.deliveries().clone();
        let delivery = select! {
            recv(deliveries) -> delivery => delivery.unwrap(),
            recv(done) -> _ => return false,
            // All that is left may be in the hands of consumers that keep it.
            default(Duration::from_millis(1)) => return true,
        };
        match scramble(life * 1000 + turn) % 8 {
            0 => consumer.nack(delivery.tag, Nack::Requeue).unwrap(),
            1 => {}
            _ => {
                // Under the lock, as another consumer could be heard of before this one.
                let mut acked = acked.lock().unwrap();
                consumer.ack(delivery.tag).unwrap();
                acked.add(number(&delivery));
            }
        }
    }
    true
}

#[test]
fn dying_consumers_lose_nothing_and_repeat_nothing_that_was_acked() {
    let [broker] = connections();
    let queue = broker.declare_queue(&QueueSpec::named(name("q")).bounded(300, 1 << 20)).unwrap();
    let (done, is_done) = bounded(0);
    let acked = Mutex::new(Acked { numbers: BTreeSet::new(), done: Some(done) });
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let numbers = publisher * EACH..(publisher + 1) * EACH;
            scope.spawn(|| publish(&*broker, &queue, numbers));
        }
        for thread in 0..3u64 {
            let (broker, queue, acked, is_done) = (&*broker, &queue, &acked, &is_done);
            scope.spawn(move || {
                let mut lives = (thread..).step_by(3);
                while lives.next().is_some_and(|life| live(broker, queue, life, acked, is_done)) {}
            });
        }
    });
    assert_empty(&*broker, &queue);
    assert_eq!(acked.into_inner().unwrap().numbers.len() as u64, PUBLISHERS * EACH);
}
