//! Deliveries and acks while the link is up: order, the bound of the prefetch, pauses.

use std::collections::VecDeque;

use super::*;

#[test]
fn messages_come_in_order_and_acks_remove_them() {
    for prefetch in [1, 7, 200] {
        let bench = Bench::new();
        bench.publish(0..1000);
        let mut consumer = bench.attach(prefetch);
        for expected in 0..1000 {
            let delivery = next(&consumer);
            assert_eq!((number(&delivery), delivery.redelivered), (expected, false));
            assert_eq!(delivery.route, crate::Route::queue(&bench.queue));
            consumer.ack(delivery.tag).unwrap();
        }
        consumer.close(soon()).unwrap();
        assert_eq!(bench.ready(), 0);
        assert_eq!(bench.hub.stats().delivered, 1000);
        assert!(bench.link().is_alive());
    }
}

#[test]
fn acks_in_any_order_and_each_once() {
    let bench = Bench::new();
    bench.publish(0..100);
    let mut consumer = bench.attach(100);
    let deliveries = take(&consumer, 100);
    for delivery in deliveries[40..60].iter().rev() {
        consumer.ack(delivery.tag).unwrap();
    }
    assert_eq!(consumer.ack(deliveries[50].tag), Err(AckError::UnknownTag));
    assert_eq!(consumer.nack(deliveries[50].tag, Nack::Requeue), Err(AckError::UnknownTag));
    consumer.nack(deliveries[3].tag, Nack::Requeue).unwrap();
    consumer.nack(deliveries[4].tag, Nack::DeadLetter).unwrap();
    consumer.ack_through(deliveries[29].tag).unwrap();
    consumer.ack_through(deliveries[29].tag).unwrap();
    let again = next(&consumer);
    assert_eq!((number(&again), again.redelivered), (3, true));
    consumer.close(soon()).unwrap();
    // 30..40, 60..100, and the one that came again.
    bench.until_ready(10 + 40 + 1);
    assert!(bench.link().is_alive(), "no ack was sent twice");
}

#[test]
fn another_consumer_s_tags_are_stale() {
    let bench = Bench::new();
    bench.publish(0..2);
    let (mut one, mut two) = (bench.attach(1), bench.attach(1));
    let (first, second) = (next(&one), next(&two));
    assert_eq!(one.ack(second.tag), Err(AckError::Stale));
    assert_eq!(two.ack_through(first.tag), Err(AckError::Stale));
    one.ack(first.tag).unwrap();
    two.ack(second.tag).unwrap();
}

#[test]
fn a_lazy_ack_is_sent_within_a_moment() {
    let bench = Bench::new();
    bench.publish(0..101);
    let mut consumer = bench.attach(100);
    let first = next(&consumer);
    // 99 more are there, so nothing presses.
    consumer.ack(first.tag).unwrap();
    bench.until_ready(0);
    assert_eq!(numbers(&take(&consumer, 100)), Vec::from_iter(1..101));
}

#[test]
fn pauses_keep_to_the_prefetch() {
    let bench = Bench::new();
    bench.publish(0..100);
    let mut consumer = bench.attach(10);
    let held = take(&consumer, 10);
    consumer.pause().unwrap();
    consumer.pause().unwrap();
    for delivery in &held[..4] {
        consumer.ack(delivery.tag).unwrap();
    }
    consumer.resume().unwrap();
    let more = take(&consumer, 4);
    assert_eq!(numbers(&more), [10, 11, 12, 13]);
    // One more delivery at the most for each ack: the broker holds the others back.
    assert_eq!(bench.ready(), 86);
    assert!(consumer.deliveries().is_empty());
    // The old ones done with, the bound is the whole prefetch again.
    held[4..].iter().for_each(|delivery| consumer.ack(delivery.tag).unwrap());
    let more = take(&consumer, 6);
    assert_eq!(numbers(&more), Vec::from_iter(14..20));
    assert_eq!(bench.ready(), 80);
}

#[test]
fn what_is_requeued_in_a_pause_is_back_before_anything_flows() {
    let bench = Bench::new();
    let mut consumer = bench.attach(4);
    for _ in 0..100 {
        bench.publish(0..6);
        let held = take(&consumer, 4);
        consumer.pause().unwrap();
        held.iter().for_each(|delivery| consumer.nack(delivery.tag, Nack::Requeue).unwrap());
        consumer.resume().unwrap();
        for expected in 0..6 {
            let delivery = next(&consumer);
            assert_eq!(number(&delivery), expected);
            consumer.ack(delivery.tag).unwrap();
        }
    }
}

#[test]
fn an_owner_that_waits_for_all_gets_the_whole_prefetch_after_a_pause() {
    let bench = Bench::new();
    bench.publish(0..20);
    let mut consumer = bench.attach(4);
    let held = take(&consumer, 4);
    consumer.pause().unwrap();
    consumer.ack(held[0].tag).unwrap();
    consumer.resume().unwrap();
    let mut more = take(&consumer, 1);
    held[1..].iter().for_each(|delivery| consumer.ack(delivery.tag).unwrap());
    more.extend(take(&consumer, 3));
    assert_eq!(numbers(&more), [4, 5, 6, 7]);
    // Three are taken by the limit that is left, and nothing is acked before there is a fourth.
    consumer.pause().unwrap();
    more[1..].iter().for_each(|delivery| consumer.ack(delivery.tag).unwrap());
    consumer.resume().unwrap();
    let last = take(&consumer, 3);
    consumer.ack(more[0].tag).unwrap();
    assert_eq!(numbers(&[last, take(&consumer, 1)].concat()), [8, 9, 10, 11]);
    assert_eq!(bench.ready(), 8);
}

#[test]
fn a_paused_consumer_leaves_messages_to_others() {
    let bench = Bench::new();
    let mut paused = bench.attach(10);
    paused.pause().unwrap();
    let other = bench.attach(10);
    bench.until_consumers(1);
    bench.publish(0..10);
    assert_eq!(numbers(&take(&other, 10)), Vec::from_iter(0..10));
    drop(other);
    paused.resume().unwrap();
    assert_eq!(take(&paused, 10).len(), 10);
}

#[test]
fn pausing_again_and_again_loses_nothing_and_exceeds_nothing() {
    const COUNT: u32 = 3000;
    let bench = Bench::new();
    bench.publish(0..COUNT);
    let mut consumer = bench.attach(9);
    let (mut held, mut seen) = (VecDeque::new(), Vec::new());
    for step in 0.. {
        match consumer.deliveries().try_recv() {
            Ok(delivery) => {
                assert!(!delivery.redelivered);
                seen.push(number(&delivery));
                held.push_back(delivery.tag);
                assert!(held.len() <= 9);
            }
            // Whatever keeps it from going on, be it the pause or the prefetch, is over now.
            Err(_) => {
                consumer.resume().unwrap();
                held.pop_front().map_or(Ok(()), |tag| consumer.ack(tag)).unwrap();
                if seen.len() < COUNT as usize && held.is_empty() {
                    let delivery = next(&consumer);
                    seen.push(number(&delivery));
                    held.push_back(delivery.tag);
                }
            }
        }
        match step % 7 {
            3 => consumer.pause().unwrap(),
            5 => consumer.resume().unwrap(),
            _ => {}
        }
        if seen.len() == COUNT as usize {
            break;
        }
    }
    assert_eq!(seen, Vec::from_iter(0..COUNT));
    assert!(bench.link().is_alive());
}
