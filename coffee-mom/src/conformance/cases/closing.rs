//! Ends: of connections, with work in hand, by several threads, without a word.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::super::control::{Connect, Wishes};
use super::super::steps::*;
use crate::broker::CloseError;

/// How soon a publish that waits hears of a close: far before the close gives up, or the publish does.
const PROMPT: Duration = Duration::from_secs(3);

pub(in super::super) fn with_unconfirmed_publishes(subject: &dyn Subject) -> Verified {
    const ALL: u64 = 1000;
    let (closing, broker) = (subject.connect()?, subject.connect()?);
    let queue = work_queue(subject, &*broker)?;
    let mut producer = closing.producer(ProducerOptions::default())?;
    for number in 0..ALL {
        producer.publish(&Route::queue(&queue), body(number), soon())?;
    }
    let closed = closing.close(soon());
    let mut confirmed = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for settled in producer.settled().try_iter() {
        let into = match settled.outcome {
            Outcome::Confirmed => &mut confirmed,
            _ => &mut unknown,
        };
        into.extend(settled.ids());
    }
    ensure_eq!((confirmed.len() + unknown.len()) as u64, ALL, "publishes that are settled after the close");
    ensure!(closed.is_err() || unknown.is_empty(), "{} unknown after an orderly close", unknown.len());
    let mut consumer = consumer(&*broker, &queue, 100)?;
    while !confirmed.is_empty() {
        let delivery = take(&*consumer)?;
        confirmed.remove(&number(&delivery)?);
        consumer.ack(delivery.tag)?;
    }
    Ok(())
}

pub(in super::super) fn at_once_and_again(subject: &dyn Subject) -> Verified {
    let (broker, other) = (subject.connect()?, subject.connect()?);
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let (entered, has_entered) = bounded(1);
    let (leave, may_leave) = bounded::<()>(1);
    let waits = move |_: &Delivery| {
        let told = entered.send_deadline((), soon()).is_ok();
        if told && may_leave.recv_deadline(soon()).is_ok() { Verdict::Ack } else { Verdict::Requeue }
    };
    endpoint.start_consuming(Box::new(waits), soon())?;
    send(&*endpoint, 0..1)?;
    has_entered.recv_deadline(soon())?;
    thread::scope(|scope| {
        let closers: Vec<_> = (0..4).map(|_| scope.spawn(|| Ok(endpoint.close(soon())?))).collect();
        leave.send_deadline((), soon())?;
        closers.into_iter().try_for_each(joined)
    })?;
    ensure_eq!(endpoint.send(body(0), soon()), Err(SendError::Closed), "a send after the close");
    let started = endpoint.start_consuming(Box::new(|_: &Delivery| Verdict::Ack), soon());
    ensure_matches!(started, Err(StartError::Closed), "a start after the close");

    let queue = declare(&*broker, &spec)?;
    publish(&*broker, &queue, 0..5)?;
    let mut consumer = consumer(&*broker, &queue, 3)?;
    let held = take(&*consumer)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    thread::scope(|scope| {
        let closers: Vec<_> = (0..4).map(|_| scope.spawn(|| Ok(broker.close(soon())?))).collect();
        closers.into_iter().try_for_each(joined)
    })?;
    use_after_close(&*broker, &queue)?;
    let published = producer.publish(&Route::queue(&queue), body(0), soon());
    ensure_eq!(published, Err(PublishError::Closed), "a publish");
    ensure_eq!(consumer.ended(), Some(ConsumerEnd::ConnectionClosed), "the end of a consumer");
    ensure_eq!(consumer.ack(held.tag), Err(AckError::Ended(ConsumerEnd::ConnectionClosed)), "a late ack");
    ensure!(take_all(&mut *self::consumer(&*other, &queue, 5)?, 5)?.into_iter().eq(0..5), "what was not acked");
    Ok(())
}

fn use_after_close(broker: &dyn Broker, queue: &Name) -> Verified {
    let closed = ConnectionError::Closed;
    ensure_eq!(broker.declare_queue(&QueueSpec::anonymous(), soon()), Err(closed.clone().into()), "a declaration");
    let binding = Binding::default();
    ensure_eq!(broker.bind(queue, queue, &binding, soon()), Err(closed.clone().into()), "a binding");
    ensure_eq!(broker.unbind(queue, queue, &binding, soon()), Err(closed.clone().into()), "an unbinding");
    let deleted = broker.delete_queue(queue, DeleteOptions::default(), soon());
    ensure_eq!(deleted, Err(closed.clone().into()), "a deletion");
    ensure_eq!(broker.delete_exchange(queue, soon()), Err(closed.clone().into()), "a deletion");
    ensure_eq!(broker.queue_status(queue, soon()), Err(closed.clone().into()), "a look");
    let closed = Some(AttachError::Connection(closed));
    ensure_eq!(broker.producer(ProducerOptions::default()).err(), closed, "a new producer");
    ensure_eq!(broker.consumer(queue, ConsumerOptions::default(), soon()).err(), closed, "a new consumer");
    Ok(())
}

pub(in super::super) fn by_dropping(subject: &dyn Subject) -> Verified {
    let (broker, other) = (subject.connect()?, subject.connect()?);
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..10)?;
    let mut consumer = consumer(&*broker, &queue, 8)?;
    take_all(&mut *consumer, 4)?;
    let producer = broker.producer(ProducerOptions::default())?;
    let (tell, _told) = Tell::new();
    let spec = QueueSpec::named(subject.name("other")?);
    let endpoint = Endpoint::queue(broker.clone(), &spec, EndpointOptions::default())?;
    endpoint.start_consuming(Box::new(tell), soon())?;
    let (dropped, is_dropped) = bounded(1);
    let dropping = thread::Builder::new().name("drop all".to_owned()).spawn(move || {
        drop((producer, consumer, endpoint, broker));
        // Nobody listens any more if that took too long.
        let _ = dropped.try_send(());
    })?;
    // A drop that hangs is left behind: to join it would be to hang as well.
    is_dropped.recv_deadline(soon()).map_err(|error| Failure::new(format_args!("the drop has not ended: {error}")))?;
    dropping.join().map_err(|_| Failure::new("a drop panicked"))?;
    await_ready(&*other, &queue, 6)?;
    ensure_eq!(take_all(&mut *self::consumer(&*other, &queue, 6)?, 6)?, [4, 5, 6, 7, 8, 9], "what was not acked");
    ensure_nothing_left(&*other, &queue)
}

pub(in super::super) fn wakes_publishers(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = declare(&*broker, &QueueSpec::named(subject.name("full")?).bounded(1, 1 << 20))?;
    publish(&*broker, &queue, 0..1)?;
    let closed = close_under_publishers(&*broker, &queue, soon())?;
    ensure_eq!(closed, Ok(()), "a close under publishers");
    Ok(())
}

pub(in super::super) fn wakes_publishers_cut_off(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default().through_proxy(), after(60))?;
    let queue = work_queue(subject, &*broker)?;
    control.proxy().pause();
    let closed = close_under_publishers(&*broker, &queue, Instant::now() + 2 * PROMPT)?;
    ensure_eq!(closed, Err(CloseError::Deadline), "a close without answers to what was published");
    Ok(())
}

/// Closes while publishers wait, for the queue or for their windows, and says how that ended.
fn close_under_publishers(broker: &dyn Broker, queue: &Name, by: Instant) -> Result<Result<(), CloseError>, Failure> {
    const PUBLISHERS: usize = 4;
    let new_producer = || broker.producer(ProducerOptions::default().window(1, 1 << 20));
    let (tell, told) = bounded(PUBLISHERS);
    thread::scope(|scope| {
        for _ in 0..PUBLISHERS {
            let (mut producer, tell) = (new_producer()?, tell.clone());
            scope.spawn(move || tell.try_send((refusal(&mut *producer, queue, soon()), Instant::now())));
        }
        // Once one that came last has lost its patience, the others have long been waiting.
        let hasty = refusal(&mut *new_producer()?, queue, Instant::now() + Duration::from_millis(100));
        ensure!(hasty.is_back_pressure(), "a hasty publish: {hasty}");
        let start = Instant::now();
        let closed = broker.close(by);
        for _ in 0..PUBLISHERS {
            let (refused, woken) =
                told.recv_timeout(PROMPT).map_err(|_| Failure::new("a publish waits on after the close"))?;
            ensure_eq!(refused, PublishError::Closed, "what ends the wait of a publish");
            let late = woken.saturating_duration_since(start);
            ensure!(late < PROMPT, "a publish waited on for {late:?} after the close");
        }
        Ok(closed)
    })
}

/// Publishes and takes settlements until a publish is refused.
fn refusal(producer: &mut dyn Producer, queue: &Name, deadline: Instant) -> PublishError {
    loop {
        match producer.publish(&Route::queue(queue), body(0), deadline) {
            Ok(_) | Err(PublishError::SettlementsFull) => producer.settled().try_iter().for_each(drop),
            Err(error) => return error,
        }
    }
}
