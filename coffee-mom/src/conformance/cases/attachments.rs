//! Consumers that are attached anew: old tags, and brokers that take consumers off.

use std::time::Duration;

use super::super::control::{Connect, Wishes};
use super::super::steps::*;

pub(in super::super) fn a_stale_ack(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default().through_proxy(), after(60))?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..2)?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let old = take(&*consumer)?;
    control.proxy().reset();
    let new = consumer.deliveries().recv_deadline(after(60))?;
    ensure_eq!((number(&new)?, new.redelivered), (0, true), "the delivery after the reconnect");
    ensure_eq!(consumer.ack(old.tag), Err(AckError::Stale), "an ack by the old tag");
    ensure_eq!(consumer.nack(old.tag, Nack::DeadLetter), Err(AckError::Stale), "a nack by the old tag");
    ensure_eq!(consumer.ack_through(old.tag), Err(AckError::Stale), "an ack of many by the old tag");
    // The new one is still held: with a prefetch of 1 nothing else comes, and it goes back.
    consumer.close(soon())?;
    await_ready(&*broker, &queue, 2)?;
    ensure_eq!(take_all(&mut *self::consumer(&*broker, &queue, 2)?, 2)?, [0, 1], "what was not acked");
    Ok(())
}

pub(in super::super) fn a_consumer_taken_off(subject: &dyn Subject) -> Verified {
    let timeout = Duration::from_secs(2);
    let control = subject.control(&Wishes::default().consumer_timeout(timeout))?;
    let broker = control.connect(&Connect::default(), after(60))?;
    let events = broker.events();
    let (queue, other) = (work_queue(subject, &*broker)?, work_queue(subject, &*broker)?);
    publish(&*broker, &queue, 0..2)?;
    let mut slow = consumer(&*broker, &queue, 1)?;
    let mut neighbour = consumer(&*broker, &other, 1)?;
    let late = take(&*slow)?;
    let again = slow.deliveries().recv_deadline(after(60))?;
    ensure_eq!((number(&again)?, again.redelivered), (0, true), "the delivery after the timeout");
    ensure_eq!(slow.ack(late.tag), Err(AckError::Stale), "the late ack");
    slow.ack(again.tag)?;
    ensure_eq!(take_all(&mut *slow, 1)?, [1], "the next delivery");
    publish(&*broker, &other, 5..6)?;
    ensure_eq!(take_all(&mut *neighbour, 1)?, [5], "another consumer's delivery");
    let events: Vec<_> = events.try_iter().collect();
    ensure!(events.contains(&Event::ConsumerCancelled(queue)), "the consumer was taken off without a word: {events:?}");
    let lost = events.iter().any(|event| matches!(event, Event::Disconnected(..)));
    ensure!(!lost, "the whole link was lost: {events:?}");
    Ok(())
}
