//! No layer of ours copies a body: what is allocated for bodies on their way through RabbitMQ is what
//! amiquip allocates for them by itself, and on their way through the in-process broker nothing.
//!
//! An allocator counts the allocations that are large enough for a body. Bodies go one by one, each only
//! when the one before it has been acked, so that amiquip's buffers stay as large as they are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait; it passes all calls on as they are")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use amiquip::{AmqpProperties, Confirm, Connection, ConsumerMessage, Publish};
use bytes::Bytes;
use coffee_mom::testing::rabbitmq::TestBroker;
use coffee_mom::{Broker, ConsumerOptions, Message, Name, Outcome, ProducerOptions, QueueSpec, Route, open};

/// Bytes of a body: fits into one frame, and nothing else of a message is nearly as large.
const BODY: usize = 100_000;

/// Bodies that are counted, after as many that are not.
const COUNT: u64 = 50;

struct Counting;

static LARGE: AtomicU64 = AtomicU64::new(0);

fn note(size: usize) {
    if size >= BODY {
        LARGE.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all calls go to the system's allocator as they come.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the rules of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, as all threads of the process are counted together.
#[test]
fn our_layers_copy_no_body() {
    let rabbitmq = TestBroker::shared().unwrap();
    let ours = through(&*open(rabbitmq.url(), soon()).unwrap());
    assert_eq!(through(&*open("memory:", soon()).unwrap()), 0, "in process");
    let bare = through_amiquip(rabbitmq.url());
    println!("allocations of a body's size, {COUNT} bodies: {ours} through RabbitMQ, {bare} by amiquip alone");
    assert!(bare >= COUNT, "amiquip copies each body at least once");
    // By chance a buffer of amiquip's grows late.
    assert!(ours < bare + COUNT / 2, "{ours} instead of {bare}");
}

/// Counts large allocations while bodies go through a queue one by one.
fn counted(mut one: impl FnMut(Bytes)) -> u64 {
    let body = Bytes::from(vec![7; BODY]);
    (0..COUNT).for_each(|_| one(body.clone()));
    let before = LARGE.load(Ordering::Relaxed);
    (0..COUNT).for_each(|_| one(body.clone()));
    LARGE.load(Ordering::Relaxed) - before
}

fn through(broker: &dyn Broker) -> u64 {
    let queue = broker.declare_queue(&QueueSpec::named(Name::new("copies").unwrap()), soon()).unwrap();
    let route = Route::queue(&queue);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let mut consumer = broker.consumer(&queue, ConsumerOptions::default(), soon()).unwrap();
    let count = counted(|body| {
        producer.publish(&route, Message::new(body), soon()).unwrap();
        let delivery = consumer.deliveries().recv_deadline(soon()).unwrap();
        assert_eq!(delivery.message.body.len(), BODY);
        consumer.ack(delivery.tag).unwrap();
        assert_eq!(producer.settled().recv_deadline(soon()).unwrap().outcome, Outcome::Confirmed);
    });
    broker.close(soon()).unwrap();
    count
}

fn through_amiquip(url: &str) -> u64 {
    let mut publishing = Connection::insecure_open(url).unwrap();
    let mut consuming = Connection::insecure_open(url).unwrap();
    let (out, back) = (publishing.open_channel(None).unwrap(), consuming.open_channel(None).unwrap());
    let confirms = out.listen_for_publisher_confirms().unwrap();
    out.enable_publisher_confirms().unwrap();
    let consumer = back.basic_consume("copies", amiquip::ConsumerOptions::default()).unwrap();
    let count = counted(|body| {
        let properties = AmqpProperties::default().with_delivery_mode(2);
        out.basic_publish("", Publish::with_properties(&body, "copies", properties)).unwrap();
        let ConsumerMessage::Delivery(delivery) = consumer.receiver().recv_deadline(soon()).unwrap() else {
            unreachable!("the consumer ended");
        };
        assert_eq!(delivery.body.len(), BODY);
        delivery.ack(&back).unwrap();
        assert!(matches!(confirms.recv_deadline(soon()).unwrap(), Confirm::Ack(_)));
    });
    // amiquip fails if the receiver is gone before it has sent word of the cancellation there.
    let receiver = consumer.receiver().clone();
    consumer.cancel().unwrap();
    assert!(matches!(receiver.recv(), Ok(ConsumerMessage::ClientCancelled)));
    drop(consumer);
    publishing.close().unwrap();
    consuming.close().unwrap();
    count
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
