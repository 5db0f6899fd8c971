//! What a consumer promises its owner: the prefetch, acks from anywhere, pauses.

use std::thread;

use crossbeam_channel::bounded;

use super::super::steps::*;

pub(in super::super) fn prefetch(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let mut consumer = consumer(&*broker, &queue, 4)?;
    publish(&*broker, &queue, 0..10)?;
    let held = (0..4).map(|_| take(&*consumer)).collect::<Result<Vec<_>, _>>()?;
    await_ready(&*broker, &queue, 6)?;
    ensure!(consumer.deliveries().is_empty(), "more than the prefetch");
    consumer.ack(held[2].tag)?;
    let fifth = take(&*consumer)?;
    ensure_eq!(number(&fifth)?, 4, "what an ack makes room for");
    await_ready(&*broker, &queue, 5)?;
    ensure!(consumer.deliveries().is_empty(), "more than the ack made room for");

    // What flows while it is paused stays in the queue, but for what was on its way already.
    consumer.pause()?;
    for delivery in [&held[0], &held[1], &held[3], &fifth] {
        consumer.ack(delivery.tag)?;
    }
    publish(&*broker, &queue, 10..100)?;
    let mut numbers = Vec::new();
    eventually("nothing more comes to a paused consumer", soon(), || {
        let late = consumer.deliveries().len();
        numbers.extend(take_all(&mut *consumer, late)?);
        ensure!(numbers.len() <= 4, "{} deliveries to a paused consumer with a prefetch of 4", numbers.len());
        let ready = broker.queue_status(&queue, soon())?.ready;
        Ok(consumer.deliveries().is_empty() && numbers.len() + ready == 95)
    })?;
    consumer.resume()?;
    let rest = 95 - numbers.len();
    numbers.extend(take_all(&mut *consumer, rest)?);
    ensure!(numbers.into_iter().eq(5..100), "not in order after the pause");
    consumer.close(soon())?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn acks_from_anywhere(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..6)?;
    let mut other = consumer(&*broker, &queue, 1)?;
    let kept = take(&*other)?;
    let mut consumer = consumer(&*broker, &queue, 5)?;
    let held = (0..5).map(|_| take(&*consumer)).collect::<Result<Vec<_>, _>>()?;

    // Tags come back from a worker in an order of its own, one of them twice.
    let (ask, asked) = bounded(8);
    let (answer, answers) = bounded(8);
    thread::scope(|scope| {
        scope.spawn(move || asked.iter().all(|tag| answer.send(tag).is_ok()));
        for place in [4, 0, 4, 2] {
            ask.send(held[place].tag)?;
        }
        drop(ask);
        let acks: Vec<_> = answers.iter().map(|tag| consumer.ack(tag)).collect();
        ensure_eq!(acks, [Ok(()), Ok(()), Err(AckError::UnknownTag), Ok(())], "acks");
        Ok(())
    })?;
    ensure_eq!(consumer.nack(held[0].tag, Nack::Requeue), Err(AckError::UnknownTag), "a nack after an ack");
    ensure_eq!(other.ack(held[1].tag), Err(AckError::Stale), "an ack by another consumer");
    other.ack(kept.tag)?;
    drop(consumer);
    ensure_eq!(take_all(&mut *other, 2)?, [number(&held[1])?, number(&held[3])?], "what was not acked");
    other.close(soon())?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn ack_through(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..5)?;
    let mut consumer = consumer(&*broker, &queue, 10)?;
    let held = (0..5).map(|_| take(&*consumer)).collect::<Result<Vec<_>, _>>()?;
    consumer.ack(held[2].tag)?;
    consumer.ack_through(held[3].tag)?;
    consumer.ack_through(held[3].tag)?;
    ensure_eq!(consumer.ack(held[1].tag), Err(AckError::UnknownTag), "a late ack");
    consumer.close(soon())?;
    await_ready(&*broker, &queue, 1)?;
    let mut consumer = self::consumer(&*broker, &queue, 10)?;
    ensure_eq!(consumer.ack_through(held[4].tag), Err(AckError::Stale), "a tag of another consumer");
    ensure_eq!(take_all(&mut *consumer, 1)?, [4], "what was not acked");
    consumer.close(soon())?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn a_closed_consumer(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..1)?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let delivery = take(&*consumer)?;
    ensure_eq!(consumer.ended(), None, "the end of a living consumer");
    consumer.close(soon())?;
    consumer.close(soon())?;
    ensure_eq!(consumer.ended(), Some(ConsumerEnd::Closed), "the end");
    ensure_eq!(consumer.ack(delivery.tag), Err(AckError::Ended(ConsumerEnd::Closed)), "a late ack");
    ensure_eq!(consumer.pause(), Err(AckError::Ended(ConsumerEnd::Closed)), "a late pause");
    await_ready(&*broker, &queue, 1)
}

pub(in super::super) fn pauses(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let endpoint = endpoint(&broker, &QueueSpec::named(subject.name("work")?), EndpointOptions::default())?;
    let (tell, told) = Tell::new();
    endpoint.pause();
    endpoint.start_consuming(Box::new(tell), soon())?;
    send(&*endpoint, 0..10)?;
    ensure!(told.is_empty(), "a call back while paused");
    endpoint.resume();
    for expected in 0..10 {
        ensure_matches!(told.recv_deadline(soon())?, Called::With(number, _) if *number == expected, "a call back");
    }
    endpoint.close(soon())?;
    Ok(())
}

pub(in super::super) fn deferred_verdicts(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let (defer, deferred) = bounded(16);
    let handler = move |delivery: &Delivery| {
        let verdict = if delivery.redelivered { Verdict::Ack } else { Verdict::Defer };
        if defer.try_send((delivery.tag, number(delivery).ok(), delivery.redelivered)).is_err() {
            return Verdict::DeadLetter;
        }
        verdict
    };
    endpoint.start_consuming(Box::new(handler), soon())?;
    send(&*endpoint, 0..3)?;
    let held = (0..3).map(|_| Ok(deferred.recv_deadline(soon())?.0)).collect::<Result<Vec<_>, Failure>>()?;
    let refused = endpoint.settle(held[0], Verdict::Defer, soon());
    ensure!(refused.is_err(), "a verdict was deferred twice");
    endpoint.settle(held[2], Verdict::Ack, soon())?;
    endpoint.settle(held[1], Verdict::Requeue, soon())?;
    let (_, back, redelivered) = deferred.recv_deadline(soon())?;
    ensure_eq!((back, redelivered), (Some(1), true), "what was requeued");

    // A shutdown waits for the verdict that is still open.
    let closing = endpoint.clone();
    thread::scope(|scope| {
        let shutdown = scope.spawn(move || Ok(closing.shutdown(soon())?));
        endpoint.settle(held[0], Verdict::Ack, soon())?;
        joined(shutdown)
    })?;
    ensure_eq!(endpoint.send(body(0), soon()), Err(SendError::Closed), "a send after the shutdown");
    ensure_nothing_left(&*broker, &declare(&*broker, &spec)?)
}
