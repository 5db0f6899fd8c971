//! Work queues: each message to one consumer, in order, fairly.

use std::collections::BTreeSet;

use super::super::steps::*;

pub(in super::super) fn each_message_once(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..1000)?;
    let mut consumer = consumer(&*broker, &queue, 100)?;
    let mut numbers = take_all(&mut *consumer, 1000)?;
    numbers.sort_unstable();
    ensure!(numbers.into_iter().eq(0..1000), "not each of the messages once");
    consumer.close(soon())?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn first_in_first_out(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    for prefetch in [1, 200] {
        let queue = work_queue(subject, &*broker)?;
        publish(&*broker, &queue, 0..1000)?;
        let mut consumer = consumer(&*broker, &queue, prefetch)?;
        for expected in 0..1000 {
            let delivery = take(&*consumer)?;
            ensure_eq!((number(&delivery)?, delivery.redelivered), (expected, false), "a delivery");
            consumer.ack(delivery.tag)?;
        }
    }
    Ok(())
}

pub(in super::super) fn competing_consumers(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let mut consumers = (0..3).map(|_| consumer(&*broker, &queue, 10)).collect::<Result<Vec<_>, _>>()?;
    publish(&*broker, &queue, 0..600)?;
    let mut seen = BTreeSet::new();
    let mut shares = [0; 3];
    for _ in 0..600 {
        let (who, delivery) = take_any(&consumers)?;
        let number = number(&delivery)?;
        ensure!(seen.insert(number), "{number} was delivered twice");
        consumers[who].ack(delivery.tag)?;
        shares[who] += 1;
    }
    ensure!(!shares.contains(&0), "a consumer got nothing: {shares:?}");
    consumers.iter_mut().try_for_each(|consumer| consumer.close(soon()))?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn slow_and_fast(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let mut slow = consumer(&*broker, &queue, 1)?;
    let mut fast = consumer(&*broker, &queue, 1)?;
    publish(&*broker, &queue, 0..100)?;
    let held = take(&*slow)?;
    take_all(&mut *fast, 99)?;
    ensure!(slow.deliveries().is_empty(), "more than its prefetch for the slow consumer");
    slow.ack(held.tag)?;
    // Each has room for one, so neither can starve the other.
    publish(&*broker, &queue, 100..102)?;
    let mut numbers = [number(&take(&*slow)?)?, number(&take(&*fast)?)?];
    numbers.sort_unstable();
    ensure_eq!(numbers, [100, 101], "one message each");
    Ok(())
}

pub(in super::super) fn come_and_go(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let first = consumer(&*broker, &queue, 1)?;
    publish(&*broker, &queue, 0..3)?;
    ensure_eq!(number(&take(&*first)?)?, 0, "the first delivery");
    let mut second = consumer(&*broker, &queue, 10)?;
    ensure_eq!(take_all(&mut *second, 2)?, [1, 2], "what a later consumer gets");
    drop(first);
    let back = take(&*second)?;
    ensure_eq!((number(&back)?, back.redelivered), (0, true), "what the first consumer left");
    second.ack(back.tag)?;
    second.close(soon())?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn an_ack_removes(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..100)?;
    let mut consumer = consumer(&*broker, &queue, 10)?;
    take_all(&mut *consumer, 100)?;
    consumer.close(soon())?;
    broker.close(soon())?;
    ensure_nothing_left(&*subject.connect()?, &queue)
}

pub(in super::super) fn single_active(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = declare(&*broker, &QueueSpec::named(subject.name("single")?).single_active())?;
    let mut first = consumer(&*broker, &queue, 2)?;
    let mut second = consumer(&*broker, &queue, 10)?;
    publish(&*broker, &queue, 0..10)?;
    ensure_eq!(take_all(&mut *first, 5)?, [0, 1, 2, 3, 4], "what the active consumer gets");
    let held = take(&*first)?;
    ensure!(second.deliveries().is_empty(), "the other consumer is active as well");
    drop(first);
    let mut rest = take_all(&mut *second, 5)?;
    // What the first had in hand may come after the others.
    rest.sort_unstable();
    ensure_eq!(rest, [5, 6, 7, 8, 9], "what the next one gets");
    ensure_eq!(number(&held)?, 5, "what was held");
    Ok(())
}
