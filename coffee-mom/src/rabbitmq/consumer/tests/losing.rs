//! Links and channels that are lost, and queues that are.

use super::*;
use crate::event::Event;
use crate::testing::rabbitmq::{OwnBroker, OwnOptions};

#[test]
fn a_lost_link_withdraws_and_redelivers() {
    let bench = Bench::new();
    bench.publish(0..5);
    let mut consumer = bench.attach(4);
    let old = take(&consumer, 2);
    bench.lose(5);
    bench.up();
    // Whether or not the two others were withdrawn in time, the tags of all four are stale by now.
    let new: Vec<_> = std::iter::repeat_with(|| next(&consumer))
        .filter(|delivery| delivery.tag.epoch != old[0].tag.epoch)
        .take(4)
        .collect();
    assert_eq!(numbers(&new), [0, 1, 2, 3]);
    assert!(new.iter().all(|delivery| delivery.redelivered));
    assert_eq!(consumer.ack(old[0].tag), Err(AckError::Stale));
    assert_eq!(consumer.ack_through(old[1].tag), Err(AckError::Stale));
    consumer.ack_through(new[3].tag).unwrap();
    let last = next(&consumer);
    assert_eq!((number(&last), last.redelivered), (4, false));
    consumer.ack(last.tag).unwrap();
    consumer.close(soon()).unwrap();
    assert_eq!(bench.ready(), 0);
}

#[test]
fn a_pause_outlasts_the_link() {
    let bench = Bench::new();
    let mut consumer = bench.attach(4);
    consumer.pause().unwrap();
    bench.lose(0);
    bench.up();
    bench.publish(0..4);
    assert_eq!(bench.ready(), 4);
    consumer.resume().unwrap();
    assert_eq!(numbers(&take(&consumer, 4)), [0, 1, 2, 3]);
}

#[test]
fn links_that_come_and_go_lose_nothing() {
    let bench = Bench::new();
    bench.publish(0..100);
    let mut consumer = bench.attach(8);
    let mut done = [false; 100];
    for _ in 0..25 {
        for _ in 0..4 {
            let delivery = next(&consumer);
            if consumer.ack(delivery.tag).is_ok() {
                done[number(&delivery) as usize] = true;
            }
        }
        bench.line.kill();
        bench.line.set(Status::Away);
        bench.up();
    }
    while let Some(missing) = done.iter().position(|done| !done) {
        let delivery = next(&consumer);
        assert!(number(&delivery) as usize <= missing + 8);
        // The first ones may still be of the last link.
        if consumer.ack(delivery.tag).is_ok() {
            done[number(&delivery) as usize] = true;
        }
    }
    consumer.close(soon()).unwrap();
}

#[test]
fn a_deleted_queue_ends_its_consumer() {
    let bench = Bench::new();
    let events = bench.hub.subscribe();
    bench.publish(0..3);
    let mut consumer = bench.attach(2);
    let delivery = next(&consumer);
    bench.channel().queue_delete(bench.queue.as_str(), QueueDeleteOptions::default()).unwrap();
    let disconnected = std::iter::repeat_with(|| consumer.deliveries().recv_deadline(soon())).find_map(Result::err);
    assert_eq!(disconnected, Some(RecvTimeoutError::Disconnected));
    assert_eq!(consumer.ended(), Some(ConsumerEnd::QueueDeleted));
    assert_eq!(consumer.ack(delivery.tag), Err(AckError::Ended(ConsumerEnd::QueueDeleted)));
    assert_eq!(consumer.resume(), Err(AckError::Ended(ConsumerEnd::QueueDeleted)));
    assert_eq!(events.recv_deadline(soon()), Ok(Event::ConsumerCancelled(bench.queue.clone())));
    assert!(bench.link().is_alive());
    consumer.close(soon()).unwrap();
    assert_eq!(consumer.ended(), Some(ConsumerEnd::QueueDeleted));
}

#[test]
fn a_channel_that_the_broker_closes_is_opened_anew() {
    let own = OwnBroker::start(OwnOptions::default().consumer_timeout(Duration::from_millis(300))).unwrap();
    let bench = Bench::at(&own.url(), QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() });
    bench.up();
    bench.publish(0..2);
    let mut consumer = bench.attach(2);
    let mut held = next(&consumer);
    // Twice, so that it can't be by chance.
    for _ in 0..2 {
        let again = std::iter::repeat_with(|| next(&consumer)).find(|again| again.tag.epoch != held.tag.epoch).unwrap();
        assert_eq!((number(&again), again.redelivered), (0, true));
        assert_eq!(consumer.ack(held.tag), Err(AckError::Stale));
        held = again;
    }
    consumer.ack(held.tag).unwrap();
    let last = next(&consumer);
    consumer.ack(last.tag).unwrap();
    consumer.close(soon()).unwrap();
    assert_eq!((number(&last), bench.ready()), (1, 0));
    assert!(bench.link().is_alive());
}
