//! Consumers that are closed and dropped, and messages that are given back too often.

use std::num::NonZeroU32;

use super::*;
use crate::rabbitmq::convert;
use crate::route::Route;

#[test]
fn starting_and_stopping_leaves_the_link_alone() {
    let bench = Bench::new();
    bench.publish(0..400);
    for cycle in 0..200 {
        let mut consumer = bench.attach(5);
        for expected in [2 * cycle, 2 * cycle + 1] {
            let delivery = next(&consumer);
            assert_eq!(number(&delivery), expected);
            consumer.ack(delivery.tag).unwrap();
        }
        if cycle % 2 == 0 {
            consumer.close(soon()).unwrap();
            assert_eq!(consumer.close(soon()), Ok(()), "again is Ok");
        } else {
            consumer.pause().unwrap();
            consumer.resume().unwrap();
            let finished = consumer.closer().finished().clone();
            drop(consumer);
            assert!(finished.wait(soon()));
        }
        assert!(bench.link().is_alive(), "after {cycle} cycles");
    }
    assert_eq!(bench.ready(), 0);
}

#[test]
fn closing_sends_the_acks_and_requeues_the_rest_in_order() {
    let bench = Bench::new();
    bench.publish(0..20);
    let mut consumer = bench.attach(10);
    let deliveries = take(&consumer, 8);
    consumer.ack(deliveries[2].tag).unwrap();
    consumer.ack(deliveries[5].tag).unwrap();
    consumer.close(soon()).unwrap();
    assert_eq!(consumer.ended(), Some(ConsumerEnd::Closed));
    assert_eq!(consumer.ack(deliveries[0].tag), Err(AckError::Ended(ConsumerEnd::Closed)));
    // What nobody took is still there, then it ends.
    assert_eq!(consumer.deliveries().iter().map(|delivery| number(&delivery)).collect::<Vec<_>>(), [8, 9]);
    let other = bench.attach(18);
    let deliveries = take(&other, 18);
    assert_eq!(numbers(&deliveries), (0..20).filter(|number| ![2, 5].contains(number)).collect::<Vec<_>>());
    assert!(deliveries.iter().all(|delivery| delivery.redelivered == (number(delivery) < 10)));
}

#[test]
fn dropping_is_closing_without_waiting() {
    let bench = Bench::new();
    bench.publish(0..4);
    let mut consumer = bench.attach(3);
    let deliveries = take(&consumer, 3);
    consumer.ack(deliveries[0].tag).unwrap();
    drop(consumer);
    bench.until_ready(3);
}

#[test]
fn closing_from_the_side_of_the_connection() {
    let bench = Bench::new();
    bench.publish(0..1);
    let mut consumer = bench.attach(3);
    let delivery = next(&consumer);
    consumer.ack(delivery.tag).unwrap();
    let closer = consumer.closer();
    assert!(!closer.finished().is_over());
    closer.close(soon());
    assert!(closer.finished().wait(soon()));
    assert!(closer.finished().is_over());
    assert_eq!(consumer.ended(), Some(ConsumerEnd::ConnectionClosed));
    assert_eq!(consumer.close(soon()), Ok(()));
    assert_eq!(bench.ready(), 0);
}

#[test]
fn a_closed_line_ends_its_consumers() {
    let bench = Bench::new();
    let consumer = bench.attach(3);
    bench.line.kill();
    bench.line.set(Status::Closed);
    assert_eq!(consumer.deliveries().recv_deadline(soon()), Err(RecvTimeoutError::Disconnected));
    assert_eq!(consumer.ended(), Some(ConsumerEnd::ConnectionClosed));
}

#[test]
fn poison_is_dead_lettered_where_the_broker_does_not_count() {
    let dead = Bench::new();
    let limit = NonZeroU32::new(2).unwrap();
    let spec = QueueSpec::named(dead.queue.clone()).dead_letter(Route::queue(&dead.queue)).delivery_limit(limit);
    let bench = Bench::with(convert::queue_options(&spec));
    bench.up();
    bench.publish(0..3);
    let options = ConsumerOptions::default();
    let mut consumer = bench.try_attach(&bench.queue, Some(spec), options, soon()).unwrap();
    let deliveries = take(&consumer, 3);
    consumer.ack(deliveries[0].tag).unwrap();
    let mut poison = deliveries[1].clone();
    for _ in 0..2 {
        consumer.nack(poison.tag, Nack::Requeue).unwrap();
        poison = next(&consumer);
        assert_eq!((number(&poison), poison.redelivered), (1, true));
    }
    consumer.nack(poison.tag, Nack::Requeue).unwrap();
    dead.until_ready(1);
    consumer.nack(deliveries[2].tag, Nack::Requeue).unwrap();
    let neighbour = next(&consumer);
    assert_eq!(number(&neighbour), 2);
    consumer.ack(neighbour.tag).unwrap();
    consumer.close(soon()).unwrap();
    assert_eq!((bench.ready(), dead.ready()), (0, 1));
}
