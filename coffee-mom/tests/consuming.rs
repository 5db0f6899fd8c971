//! What a consumer promises: order, turns, prefetch, acks, redelivery.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use coffee_mom::*;
use support::*;

#[test]
fn one_consumer_gets_exactly_what_was_published_in_order() {
    for prefetch in [1, 200] {
        let [broker] = connections();
        let queue = queue(&*broker);
        publish(&*broker, &queue, 0..1000);
        let mut consumer = consumer(&*broker, &queue, prefetch);
        for n in 0..1000 {
            let delivery = take(&*consumer);
            assert_eq!(number(&delivery), n);
            assert!(!delivery.redelivered);
            consumer.ack(delivery.tag).unwrap();
        }
        assert_empty(&*broker, &queue);
    }
}

#[test]
fn competing_consumers_take_turns_and_share_all() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let mut consumers: Vec<_> = (0..3).map(|_| consumer(&*broker, &queue, 10)).collect();
    publish(&*broker, &queue, 0..30);
    let mut seen = BTreeSet::new();
    for consumer in &mut consumers {
        assert_eq!(consumer.deliveries().len(), 10);
        for _ in 0..10 {
            let delivery = take(&**consumer);
            assert!(seen.insert(number(&delivery)));
            consumer.ack(delivery.tag).unwrap();
        }
    }
    assert_eq!(seen.len(), 30);
    assert_empty(&*broker, &queue);
}

#[test]
fn a_slow_consumer_leaves_the_work_to_a_fast_one() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let slow = consumer(&*broker, &queue, 1);
    let mut fast = consumer(&*broker, &queue, 1);
    publish(&*broker, &queue, 0..100);
    for _ in 0..99 {
        let delivery = take(&*fast);
        fast.ack(delivery.tag).unwrap();
    }
    assert_eq!(slow.deliveries().len(), 1);
    assert_nothing(&*fast);
}

#[test]
fn consumers_that_come_and_go_share_what_there_is() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let first = consumer(&*broker, &queue, 1);
    publish(&*broker, &queue, 0..3);
    let mut second = consumer(&*broker, &queue, 10);
    assert_eq!((number(&take(&*second)), number(&take(&*second))), (1, 2));
    drop(first);
    let back = take(&*second);
    assert_eq!((number(&back), back.redelivered), (0, true));
    second.ack_through(back.tag).unwrap();
    assert_empty(&*broker, &queue);
}

#[test]
fn what_a_dead_consumer_held_is_redelivered_at_its_place() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..10);
    let mut dying = consumer(&*broker, &queue, 5);
    let held: Vec<_> = (0..4).map(|_| take(&*dying)).collect();
    dying.ack(held[1].tag).unwrap();
    drop(dying);
    let consumer = consumer(&*broker, &queue, 20);
    let found: Vec<_> = (0..9).map(|_| take(&*consumer)).collect();
    let numbers: Vec<_> = found.iter().map(number).collect();
    assert_eq!(numbers, [0, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Those that were delivered: 0 to 4 at first, then 5 in the place of 1.
    let redelivered: Vec<_> = found.iter().map(|delivery| delivery.redelivered).collect();
    assert_eq!(redelivered, [true, true, true, true, true, false, false, false, false]);
}

#[test]
fn prefetch_bounds_what_is_not_acked() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let mut consumer = consumer(&*broker, &queue, 4);
    publish(&*broker, &queue, 0..10);
    let held: Vec<_> = (0..4).map(|_| take(&*consumer)).collect();
    assert_nothing(&*consumer);
    assert_eq!(status(&*broker, &queue).ready, 6);
    consumer.ack(held[2].tag).unwrap();
    assert_eq!(number(&take(&*consumer)), 4);
    assert_nothing(&*consumer);
}

#[test]
fn acks_may_come_in_any_order_and_only_once() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..4);
    let mut consumer = consumer(&*broker, &queue, 10);
    let held: Vec<_> = (0..4).map(|_| take(&*consumer)).collect();
    consumer.ack(held[3].tag).unwrap();
    consumer.ack(held[0].tag).unwrap();
    assert_eq!(consumer.ack(held[3].tag), Err(AckError::UnknownTag));
    assert_eq!(consumer.nack(held[0].tag, Nack::Requeue), Err(AckError::UnknownTag));
    drop(consumer);
    let consumer = self::consumer(&*broker, &queue, 10);
    assert_eq!((number(&take(&*consumer)), number(&take(&*consumer))), (1, 2));
    assert_nothing(&*consumer);
}

#[test]
fn ack_through_takes_all_before_it() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..5);
    let mut consumer = consumer(&*broker, &queue, 10);
    let held: Vec<_> = (0..5).map(|_| take(&*consumer)).collect();
    consumer.ack(held[2].tag).unwrap();
    consumer.ack_through(held[3].tag).unwrap();
    consumer.ack_through(held[3].tag).unwrap();
    assert_eq!(consumer.ack(held[1].tag), Err(AckError::UnknownTag));
    drop(consumer);
    let consumer = self::consumer(&*broker, &queue, 10);
    assert_eq!(number(&take(&*consumer)), 4);
    assert_nothing(&*consumer);
}

#[test]
fn a_tag_of_another_consumer_acks_nothing() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..1);
    let first = consumer(&*broker, &queue, 1);
    let stale = take(&*first).tag;
    drop(first);
    let mut second = consumer(&*broker, &queue, 1);
    let delivery = take(&*second);
    assert_eq!(second.ack(stale), Err(AckError::Stale));
    assert_eq!(second.ack_through(stale), Err(AckError::Stale));
    second.ack(delivery.tag).unwrap();
    assert_empty(&*broker, &queue);
}

#[test]
fn a_nack_requeues_at_the_place_or_dead_letters() {
    let [broker] = connections();
    let rejected = queue(&*broker);
    let spec = QueueSpec::named(name("work")).dead_letter(Route::queue(&rejected));
    let queue = broker.declare_queue(&spec).unwrap();
    publish(&*broker, &queue, 0..3);
    let mut consumer = consumer(&*broker, &queue, 1);
    let first = take(&*consumer);
    consumer.nack(first.tag, Nack::Requeue).unwrap();
    let again = take(&*consumer);
    assert_eq!((number(&again), again.redelivered), (0, true));
    consumer.nack(again.tag, Nack::DeadLetter).unwrap();
    assert_eq!(number(&take(&*consumer)), 1);
    let dead = take(&*self::consumer(&*broker, &rejected, 1));
    assert_eq!((number(&dead), dead.redelivered), (0, false));
}

#[test]
fn without_a_dead_letter_route_a_rejected_message_is_dropped() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..1);
    let mut consumer = consumer(&*broker, &queue, 1);
    let delivery = take(&*consumer);
    consumer.nack(delivery.tag, Nack::DeadLetter).unwrap();
    drop(consumer);
    assert_empty(&*broker, &queue);
}

#[test]
fn a_paused_consumer_gets_nothing_and_keeps_what_it_has() {
    let [broker] = connections();
    let queue = queue(&*broker);
    let mut consumer = consumer(&*broker, &queue, 10);
    publish(&*broker, &queue, 0..1);
    consumer.pause().unwrap();
    publish(&*broker, &queue, 1..5);
    let first = take(&*consumer);
    assert_nothing(&*consumer);
    consumer.ack(first.tag).unwrap();
    assert_nothing(&*consumer);
    assert_eq!(status(&*broker, &queue).ready, 4);
    consumer.resume().unwrap();
    assert_eq!(number(&take(&*consumer)), 1);
}

#[test]
fn a_closed_consumer_says_so() {
    let [broker] = connections();
    let queue = queue(&*broker);
    publish(&*broker, &queue, 0..1);
    let mut consumer = consumer(&*broker, &queue, 1);
    let delivery = take(&*consumer);
    assert_eq!(consumer.ended(), None);
    consumer.close(soon()).unwrap();
    consumer.close(soon()).unwrap();
    assert_eq!(consumer.ended(), Some(ConsumerEnd::Closed));
    assert_eq!(consumer.ack(delivery.tag), Err(AckError::Ended(ConsumerEnd::Closed)));
    assert_eq!(status(&*broker, &queue).ready, 1);
}
