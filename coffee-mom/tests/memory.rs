//! What the in-process broker promises beyond the contract: exact bounds, fixed turns, no copies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc;
use std::thread;

use coffee_mom::*;
use support::{body, consumer, name, number, past, soon};

fn bounded(broker: &MemoryBroker, text: &str, messages: usize, bytes: usize) -> Name {
    broker.declare_queue(&QueueSpec::named(name(text)).bounded(messages, bytes), soon()).unwrap()
}

fn producer(broker: &MemoryBroker) -> Box<dyn Producer> {
    broker.producer(ProducerOptions::default()).unwrap()
}

/// The next delivery, which has to be there already.
fn take(consumer: &dyn Consumer) -> Delivery {
    consumer.deliveries().try_recv().unwrap()
}

fn ready(broker: &MemoryBroker, queue: &Name) -> usize {
    broker.queue_status(queue, soon()).unwrap().ready
}

#[test]
fn a_full_queue_refuses_at_the_deadline_and_nothing_was_sent() {
    for (messages, bytes) in [(2, 1 << 20), (100, 16)] {
        let broker = MemoryBroker::new();
        let queue = bounded(&broker, "queue", messages, bytes);
        let route = Route::queue(&queue);
        let mut producer = producer(&broker);
        for n in 0..2 {
            producer.publish(&route, body(n), past()).unwrap();
        }
        let refused = producer.publish(&route, body(2), past()).unwrap_err();
        assert_eq!(refused, PublishError::QueueFull(queue.clone()));
        let mut consumer = consumer(&broker, &queue, 10);
        assert_eq!(consumer.deliveries().len(), 2, "unacked messages count");
        let delivery = take(&*consumer);
        consumer.ack(delivery.tag).unwrap();
        assert_eq!(producer.publish(&route, body(2), past()), Ok(PublishId(2)));
        assert_eq!([number(&take(&*consumer)), number(&take(&*consumer))], [1, 2]);
    }
}

#[test]
fn a_full_queue_of_several_holds_the_message_back_from_all() {
    let broker = MemoryBroker::new();
    let exchange = ExchangeSpec::new(name("exchange"), ExchangeKind::Fanout);
    broker.declare_exchange(&exchange, soon()).unwrap();
    let [wide, narrow] = [("wide", 10), ("narrow", 1)].map(|(text, messages)| {
        let queue = bounded(&broker, text, messages, 100);
        broker.bind(&queue, &exchange.name, &Binding::default(), soon()).unwrap();
        queue
    });
    let route = Route::exchange(&exchange.name, RoutingKey::default());
    let mut producer = producer(&broker);
    producer.publish(&route, body(0), past()).unwrap();
    let refused = producer.publish(&route, body(1), past());
    assert_eq!(refused, Err(PublishError::QueueFull(narrow.clone())));
    assert_eq!(ready(&broker, &wide), 1);
    let mut consumer = consumer(&broker, &narrow, 1);
    let delivery = take(&*consumer);
    consumer.ack(delivery.tag).unwrap();
    producer.publish(&route, body(1), past()).unwrap();
    assert_eq!(ready(&broker, &wide), 2);
}

#[test]
fn publishers_to_crossing_sets_of_full_queues_do_not_lock_each_other_up() {
    let broker = MemoryBroker::new();
    let exchange = ExchangeSpec::new(name("exchange"), ExchangeKind::Direct);
    broker.declare_exchange(&exchange, soon()).unwrap();
    let key = |text: &str| RoutingKey::new(text).unwrap();
    let queues = [("p", ["x", "z"]), ("q", ["y", "x"]), ("r", ["z", "y"])].map(|(text, keys)| {
        let queue = bounded(&broker, text, 2, 1 << 20);
        keys.iter().for_each(|k| broker.bind(&queue, &exchange.name, &Binding::Key(key(k)), soon()).unwrap());
        queue
    });
    thread::scope(|scope| {
        for text in ["x", "y", "z"] {
            let (mut producer, route) = (producer(&broker), Route::exchange(&exchange.name, key(text)));
            scope.spawn(move || {
                for n in 0..2000 {
                    producer.publish(&route, body(n), soon()).unwrap();
                }
            });
        }
        for queue in &queues {
            let mut consumer = consumer(&broker, queue, 1);
            scope.spawn(move || {
                for _ in 0..4000 {
                    let delivery = consumer.deliveries().recv_deadline(soon()).unwrap();
                    consumer.ack(delivery.tag).unwrap();
                }
            });
        }
    });
}

#[test]
fn free_consumers_take_turns() {
    let broker = MemoryBroker::new();
    let queue = bounded(&broker, "queue", 100, 1 << 20);
    let consumers = [0; 3].map(|_| consumer(&broker, &queue, 10));
    let mut producer = producer(&broker);
    for n in 0..30 {
        producer.publish(&Route::queue(&queue), body(n), past()).unwrap();
    }
    assert!(consumers.iter().all(|consumer| consumer.deliveries().len() == 10));
}

#[test]
fn settlements_are_there_at_once_and_never_overflow() {
    let broker = MemoryBroker::new();
    let queue = bounded(&broker, "queue", 100, 1 << 20);
    let routes = [Route::queue(&queue), Route::queue(&name("nowhere"))];
    let mut producer = broker.producer(ProducerOptions::default().window(4, 1 << 20)).unwrap();
    for n in 0..4 {
        producer.publish(&routes[n % 2], body(0), past()).unwrap();
        assert_eq!(producer.settled().len(), n + 1);
    }
    assert_eq!(producer.publish(&routes[0], body(4), soon()), Err(PublishError::SettlementsFull));
    producer.settled().try_recv().unwrap();
    producer.publish(&routes[0], body(4), past()).unwrap();
}

#[test]
fn a_body_that_a_queue_never_takes_is_refused() {
    let broker = MemoryBroker::new();
    let queue = bounded(&broker, "queue", 10, 1000);
    let refused = producer(&broker).publish(&Route::queue(&queue), Message::new(vec![0; 1001]), soon());
    assert_eq!(refused, Err(PublishError::TooLarge { size: 1001, limit: 1000 }));
    let nowhere = Route::exchange(&name("nowhere"), RoutingKey::default());
    let refused = producer(&broker).publish(&nowhere, body(0), soon());
    assert_eq!(refused, Err(PublishError::UnknownExchange(name("nowhere"))));
}

/// How a publish ends that waits for room in a full queue while `disturb` is done.
fn disturbed(disturb: impl FnOnce(&MemoryBroker, &Name)) -> Result<Outcome, PublishError> {
    let broker = MemoryBroker::new();
    let queue = bounded(&broker, "queue", 1, 100);
    let route = Route::queue(&queue);
    producer(&broker).publish(&route, body(0), past()).unwrap();
    let mut producer = producer(&broker);
    let (waiting, is_waiting) = mpsc::channel();
    thread::scope(|scope| {
        let publisher = scope.spawn(move || {
            waiting.send(()).unwrap();
            producer.publish(&route, body(1), soon())?;
            Ok(producer.settled().recv_deadline(soon()).unwrap().outcome)
        });
        is_waiting.recv().unwrap();
        disturb(&broker, &queue);
        publisher.join().unwrap()
    })
}

#[test]
fn deleting_the_queue_and_closing_wake_a_publisher_that_waits() {
    let deleted = disturbed(|broker, queue| broker.delete_queue(queue, DeleteOptions::default(), soon()).unwrap());
    assert_eq!(deleted, Ok(Outcome::Returned));
    assert_eq!(disturbed(|broker, _| broker.close(soon()).unwrap()), Err(PublishError::Closed));
}

#[test]
fn no_byte_of_a_body_is_copied_on_any_way() {
    let broker = MemoryBroker::new();
    let exchange = ExchangeSpec::new(name("exchange"), ExchangeKind::Fanout);
    broker.declare_exchange(&exchange, soon()).unwrap();
    let dead = bounded(&broker, "dead", 10, 1 << 20);
    let queues = ["one", "two", "three"].map(|text| {
        let spec = QueueSpec::named(name(text)).dead_letter(Route::queue(&dead));
        let queue = broker.declare_queue(&spec, soon()).unwrap();
        broker.bind(&queue, &exchange.name, &Binding::default(), soon()).unwrap();
        queue
    });
    let message = Message::new(vec![7; 200]).with(Properties::default().message_id("m"));
    let is_same = |delivery: &Delivery| {
        delivery.message.body.as_ptr() == message.body.as_ptr()
            && std::ptr::eq(delivery.message.properties(), message.properties())
    };
    let route = Route::exchange(&exchange.name, RoutingKey::default());
    producer(&broker).publish(&route, message.clone(), past()).unwrap();
    for queue in &queues {
        let mut consumer = consumer(&broker, queue, 1);
        for then in [Nack::Requeue, Nack::Requeue, Nack::DeadLetter] {
            let delivery = take(&*consumer);
            assert!(is_same(&delivery));
            consumer.nack(delivery.tag, then).unwrap();
        }
    }
    let consumer = consumer(&broker, &dead, 10);
    (0..3).for_each(|_| assert!(is_same(&take(&*consumer))));
}
