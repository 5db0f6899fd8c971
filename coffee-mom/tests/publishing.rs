//! What a publish promises: room, settlements, bodies and properties.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc;
use std::thread;

use coffee_mom::*;
use support::*;

#[test]
fn a_full_queue_refuses_at_the_deadline_and_nothing_was_sent() {
    for spec in
        [QueueSpec::named(name("messages")).bounded(2, 1 << 20), QueueSpec::named(name("bytes")).bounded(100, 16)]
    {
        let [broker] = connections();
        let queue = broker.declare_queue(&spec).unwrap();
        let route = Route::queue(&queue);
        let mut producer = broker.producer(ProducerOptions::default()).unwrap();
        for n in 0..2 {
            producer.publish(&route, body(n), past()).unwrap();
        }
        let refused = producer.publish(&route, body(2), past()).unwrap_err();
        assert_eq!(refused, PublishError::QueueFull(queue.clone()));
        assert!(refused.is_back_pressure());
        let mut consumer = consumer(&*broker, &queue, 10);
        assert_eq!(consumer.deliveries().len(), 2, "unacked messages count");
        let delivery = take(&*consumer);
        consumer.ack(delivery.tag).unwrap();
        assert_eq!(producer.publish(&route, body(2), past()).unwrap(), PublishId(2));
        assert_eq!((number(&take(&*consumer)), number(&take(&*consumer))), (1, 2));
    }
}

#[test]
fn a_publisher_that_waits_for_room_goes_on_with_an_ack() {
    let [broker] = connections();
    let queue = broker.declare_queue(&QueueSpec::named(name("q")).bounded(3, 1 << 20)).unwrap();
    let mut consumer = consumer(&*broker, &queue, 2);
    thread::scope(|scope| {
        scope.spawn(|| publish(&*broker, &queue, 0..10_000));
        for n in 0..10_000 {
            let delivery = take(&*consumer);
            assert_eq!(number(&delivery), n);
            consumer.ack(delivery.tag).unwrap();
        }
    });
    assert_empty(&*broker, &queue);
}

#[test]
fn several_publishers_to_one_full_queue_all_get_through_in_their_own_order() {
    let [broker] = connections();
    let queue = broker.declare_queue(&QueueSpec::named(name("q")).bounded(2, 1 << 20)).unwrap();
    let mut consumer = consumer(&*broker, &queue, 2);
    thread::scope(|scope| {
        for publisher in 0..4u64 {
            let (broker, queue) = (&*broker, &queue);
            scope.spawn(move || publish(broker, queue, publisher * 1000..publisher * 1000 + 500));
        }
        let mut next = [0, 1000, 2000, 3000];
        for _ in 0..2000 {
            let delivery = take(&*consumer);
            let number = number(&delivery);
            let expected = &mut next[(number / 1000) as usize];
            assert_eq!(number, *expected);
            *expected += 1;
            consumer.ack(delivery.tag).unwrap();
        }
    });
}

#[test]
fn every_publish_settles_once() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let nowhere = Route::queue(&name("nowhere"));
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let mut expected = Vec::new();
    for n in 0..100 {
        let routed = n % 7 != 0;
        let route = if routed { Route::queue(&queue) } else { nowhere.clone() };
        let id = producer.publish(&route, body(n), soon()).unwrap();
        expected.push((id.0, if routed { Outcome::Confirmed } else { Outcome::Returned }));
    }
    let mut settled = Vec::new();
    while settled.len() < expected.len() {
        let range = producer.settled().recv_deadline(soon()).unwrap();
        settled.extend(range.ids().map(|id| (id, range.outcome)));
    }
    settled.sort_by_key(|(id, _)| *id);
    assert_eq!(settled, expected);
    let settled = producer.settled().clone();
    drop(producer);
    assert!(settled.recv_deadline(soon()).is_err());
}

#[test]
fn without_mandatory_an_unroutable_message_counts_as_confirmed() {
    let [broker] = connections();
    let mut producer = broker.producer(ProducerOptions::default().mandatory(false)).unwrap();
    producer.publish(&Route::queue(&name("nowhere")), body(0), soon()).unwrap();
    assert_eq!(producer.settled().recv_deadline(soon()).unwrap().outcome, Outcome::Confirmed);
}

#[test]
fn publishing_is_refused_before_settlements_overflow() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let routes = [Route::queue(&queue), Route::queue(&name("nowhere"))];
    let options = ProducerOptions::default().window(4, 1 << 20);
    let mut producer = broker.producer(options).unwrap();
    // Unlike outcomes can't be joined, so four settlements wait.
    for n in 0..4 {
        producer.publish(&routes[n % 2], body(n as u64), soon()).unwrap();
    }
    let refused = producer.publish(&routes[0], body(4), soon());
    assert_eq!(refused, Err(PublishError::SettlementsFull));
    producer.settled().recv_deadline(soon()).unwrap();
    producer.publish(&routes[0], body(4), soon()).unwrap();
}

#[test]
fn a_body_of_any_bytes_and_size_arrives_unchanged_and_uncopied() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let mut consumer = consumer(&*broker, &queue, 1);
    for size in [0, 1, 131_064, 131_065, 262_144, 10 << 20] {
        let body: Vec<u8> = (0..size).map(|n: usize| (n * 7) as u8).collect();
        let message = Message::new(body.clone());
        producer.publish(&Route::queue(&queue), message.clone(), soon()).unwrap();
        let delivery = take(&*consumer);
        assert_eq!(delivery.message.body, body);
        if size > 0 {
            assert_eq!(delivery.message.body.as_ptr(), message.body.as_ptr());
        }
        consumer.ack(delivery.tag).unwrap();
    }
}

#[test]
fn properties_arrive_as_they_were() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let inner = Headers::from([("deep".to_owned(), Value::from(true))]);
    let mut properties = Properties::default()
        .message_id("m-1")
        .correlation_id("c-1")
        .reply_to("answers")
        .header("count", -5)
        .header("name", "é")
        .header("at", Value::Timestamp(1_700_000_000))
        .header("nested", Value::Table(inner))
        .header("list", Value::List(vec![Value::from(1), Value::from("two")]));
    properties.content_type = Some("text/plain".into());
    properties.timestamp = Some(1_700_000_000);
    let message = body(0).with(properties);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(&Route::queue(&queue), message.clone(), soon()).unwrap();
    let delivery = take(&*consumer(&*broker, &queue, 1));
    assert_eq!(delivery.message, message);
    assert_eq!(delivery.route, Route::queue(&queue));
}

#[test]
fn what_can_not_be_sent_is_refused_and_harms_nothing() {
    let [broker] = connections();
    let queue = broker.declare_queue(&QueueSpec::named(name("q")).bounded(10, 1000)).unwrap();
    let route = Route::queue(&queue);
    let mut producer = broker.producer(ProducerOptions::default().max_body_bytes(2000)).unwrap();
    let mut publish = |route: &Route, message| producer.publish(route, message, soon());
    let too_large = PublishError::TooLarge { size: 2001, limit: 2000 };
    assert_eq!(publish(&route, Message::new(vec![0; 2001])), Err(too_large));
    let too_large = PublishError::TooLarge { size: 1001, limit: 1000 };
    assert_eq!(publish(&route, Message::new(vec![0; 1001])), Err(too_large));
    let long = body(0).with(Properties::default().message_id("x".repeat(256)));
    assert_eq!(publish(&route, long), Err(PublishError::Property(NameError::TooLong(256))));
    let nowhere = Route::exchange(&name("nowhere"), RoutingKey::default());
    assert_eq!(publish(&nowhere, body(0)), Err(PublishError::UnknownExchange(name("nowhere"))));
    assert_eq!(publish(&route, body(0)), Ok(PublishId(0)));
}

#[test]
fn deleting_wakes_a_publisher_that_waits() {
    let [broker] = connections();
    let queue = broker.declare_queue(&QueueSpec::named(name("q")).bounded(1, 100)).unwrap();
    publish(&*broker, &queue, 0..1);
    let (waiting, is_waiting) = mpsc::channel();
    thread::scope(|scope| {
        let (publisher_broker, route) = (&broker, Route::queue(&queue));
        let publisher = scope.spawn(move || {
            let mut producer = publisher_broker.producer(ProducerOptions::default()).unwrap();
            waiting.send(()).unwrap();
            producer.publish(&route, body(1), soon()).unwrap();
            producer.settled().recv_deadline(soon()).unwrap().outcome
        });
        is_waiting.recv().unwrap();
        broker.delete_queue(&queue, DeleteOptions::default()).unwrap();
        assert_eq!(publisher.join().unwrap(), Outcome::Returned);
    });
}

#[test]
fn closing_wakes_a_publisher_that_waits() {
    let [one, two] = connections();
    let queue = one.declare_queue(&QueueSpec::named(name("q")).bounded(1, 100)).unwrap();
    publish(&*two, &queue, 0..1);
    let (waiting, is_waiting) = mpsc::channel();
    thread::scope(|scope| {
        let mut producer = one.producer(ProducerOptions::default()).unwrap();
        let route = Route::queue(&queue);
        let publisher = scope.spawn(move || {
            waiting.send(()).unwrap();
            producer.publish(&route, body(1), soon())
        });
        is_waiting.recv().unwrap();
        one.close(soon()).unwrap();
        assert_eq!(publisher.join().unwrap(), Err(PublishError::Closed));
    });
}
