//! One queue of the in-process broker, publisher and consumer on two threads, with confirms and acks;
//! beside it a bare bounded channel of bodies, which promises nothing and is the limit.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::num::NonZeroU16;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffee_mom::{
    Broker, Consumer, ConsumerOptions, MemoryBroker, Message, Name, Producer, ProducerOptions, QueueSpec, Route,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::bounded;

/// Deliveries in hand, and the bound of the bare channel.
const PREFETCH: NonZeroU16 = NonZeroU16::MIN.saturating_add(255);

/// Bytes of a body, and how many are sent in one measurement: enough to drown the threads' start.
const SIZES: [(usize, u64); 3] = [(200, 200_000), (64 << 10, 20_000), (256 << 10, 5_000)];

/// How bodies come to be.
#[derive(Clone, Copy)]
enum Bodies {
    /// One body, sent again and again: what the broker costs.
    Shared,
    /// Each made by its publisher and dropped by its consumer: allocation and copy included.
    Fresh,
}

impl Bodies {
    fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Fresh => "fresh",
        }
    }

    fn make(self, pattern: &Bytes) -> Bytes {
        match self {
            Self::Shared => pattern.clone(),
            Self::Fresh => Bytes::copy_from_slice(pattern),
        }
    }
}

fn publish(producer: &mut dyn Producer, route: &Route, count: u64, body: impl Fn() -> Bytes) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut confirmed = 0;
    for _ in 0..count {
        producer.publish(route, Message::new(body()), deadline).expect("room by the deadline");
        confirmed += producer.settled().try_iter().map(|settled| settled.count()).sum::<u64>();
    }
    assert_eq!(confirmed, count);
}

/// Acks each by itself if `batch` is 1, else that many at once.
fn consume(consumer: &mut dyn Consumer, count: u64, batch: u64) {
    for number in 1..=count {
        let delivery = consumer.deliveries().recv().expect("the queue stays");
        black_box(&delivery.message.body);
        if batch == 1 {
            consumer.ack(delivery.tag).expect("acked once");
        } else if number % batch == 0 || number == count {
            consumer.ack_through(delivery.tag).expect("a tag of its own");
        }
    }
}

fn broker(count: u64, batch: u64, body: impl Fn() -> Bytes) -> Duration {
    let broker = MemoryBroker::new();
    let spec = QueueSpec::named(Name::new("bench").expect("a valid name"));
    let soon = Instant::now() + Duration::from_secs(5);
    let queue = broker.declare_queue(&spec, soon).expect("a new queue");
    let mut producer = broker.producer(ProducerOptions::default()).expect("a producer");
    let options = ConsumerOptions::default().prefetch(PREFETCH);
    let mut consumer = broker.consumer(&queue, options, soon).expect("a consumer");
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || consume(consumer.as_mut(), count, batch));
        publish(producer.as_mut(), &Route::queue(&queue), count, body);
    });
    start.elapsed()
}

fn channel(count: u64, body: impl Fn() -> Bytes) -> Duration {
    let (sender, receiver) = bounded(usize::from(PREFETCH.get()));
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || receiver.iter().for_each(|body: Bytes| drop(black_box(body))));
        (0..count).for_each(|_| sender.send(body()).expect("a receiver"));
        drop(sender);
    });
    start.elapsed()
}

fn one_queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one queue");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for (size, count) in SIZES {
        group.throughput(Throughput::Elements(count));
        let pattern = Bytes::from(vec![7; size]);
        for bodies in [Bodies::Shared, Bodies::Fresh] {
            let body = || bodies.make(&pattern);
            let id = |what: &str| BenchmarkId::new(format!("{what}, {} bodies", bodies.name()), size);
            group.bench_function(id("single acks"), |bench| {
                bench.iter_custom(|n| (0..n).map(|_| broker(count, 1, body)).sum());
            });
            group.bench_function(id("acks of 64"), |bench| {
                bench.iter_custom(|n| (0..n).map(|_| broker(count, 64, body)).sum());
            });
            group.bench_function(id("bare channel"), |bench| {
                bench.iter_custom(|n| (0..n).map(|_| channel(count, body)).sum());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, one_queue);
criterion_main!(benches);
