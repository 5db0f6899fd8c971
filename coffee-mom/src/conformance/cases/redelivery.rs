//! What comes back: nacks, consumers that die, callbacks that panic, poison.

use std::num::NonZeroU32;
use std::panic;

use super::super::steps::*;

/// A work queue, and the queue that its rejected messages go to.
fn with_dead_letters(subject: &dyn Subject, broker: &dyn Broker) -> Result<(QueueSpec, Name), Failure> {
    let dead = declare(broker, &QueueSpec::named(subject.name("dead")?))?;
    let spec = QueueSpec::named(subject.name("work")?).dead_letter(Route::queue(&dead));
    declare(broker, &spec)?;
    Ok((spec, dead))
}

pub(in super::super) fn nacks(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let (spec, dead) = with_dead_letters(subject, &*broker)?;
    let queue = declare(&*broker, &spec)?;
    publish(&*broker, &queue, 0..3)?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let first = take(&*consumer)?;
    ensure_eq!((number(&first)?, first.redelivered), (0, false), "the first delivery");
    consumer.nack(first.tag, Nack::Requeue)?;
    let again = take(&*consumer)?;
    ensure_eq!((number(&again)?, again.redelivered), (0, true), "the requeued delivery, at its place");
    consumer.nack(again.tag, Nack::DeadLetter)?;
    ensure_eq!(take_all(&mut *consumer, 2)?, [1, 2], "what follows");
    let mut consumer = self::consumer(&*broker, &dead, 1)?;
    let rejected = take(&*consumer)?;
    ensure_eq!((number(&rejected)?, rejected.redelivered), (0, false), "the dead letter");
    consumer.ack(rejected.tag)?;

    // Without such a queue it is dropped.
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..1)?;
    let mut consumer = self::consumer(&*broker, &queue, 1)?;
    let delivery = take(&*consumer)?;
    consumer.nack(delivery.tag, Nack::DeadLetter)?;
    consumer.close(soon())?;
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn requeued_places(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..6)?;
    let mut consumer = consumer(&*broker, &queue, 4)?;
    let held = (0..4).map(|_| take(&*consumer)).collect::<Result<Vec<_>, _>>()?;
    // Paused, or what follows may come between them.
    consumer.pause()?;
    held.iter().try_for_each(|delivery| consumer.nack(delivery.tag, Nack::Requeue))?;
    consumer.resume()?;
    ensure_eq!(take_all(&mut *consumer, 6)?, [0, 1, 2, 3, 4, 5], "what was requeued, and what follows");
    Ok(())
}

pub(in super::super) fn full_of_dead_letters(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let dead = declare(&*broker, &QueueSpec::named(subject.name("dead")?).bounded(2, 1 << 20).quorum())?;
    let spec = QueueSpec::named(subject.name("work")?).dead_letter(Route::queue(&dead));
    let queue = declare(&*broker, &spec)?;
    publish(&*broker, &queue, 0..10)?;
    let mut rejecting = consumer(&*broker, &queue, 10)?;
    for _ in 0..10 {
        let delivery = take(&*rejecting)?;
        rejecting.nack(delivery.tag, Nack::DeadLetter)?;
    }
    await_ready(&*broker, &dead, 10)?;
    let mut numbers = take_all(&mut *consumer(&*broker, &dead, 10)?, 10)?;
    numbers.sort_unstable();
    ensure!(numbers.iter().copied().eq(0..10), "the dead letters: {numbers:?}");
    Ok(())
}

pub(in super::super) fn a_dead_consumer(subject: &dyn Subject) -> Verified {
    let (broker, dying) = (subject.connect()?, subject.connect()?);
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..10)?;
    let mut first = consumer(&*dying, &queue, 4)?;
    take_all(&mut *first, 2)?;
    for _ in 0..4 {
        take(&*first)?;
    }
    drop(first);
    await_ready(&*broker, &queue, 8)?;
    let consumer = consumer(&*broker, &queue, 20)?;
    let mut found = Vec::new();
    for _ in 0..8 {
        let delivery = take(&*consumer)?;
        found.push((number(&delivery)?, delivery.redelivered));
    }
    let expected: Vec<_> = (2..10).map(|number| (number, number < 6)).collect();
    ensure_eq!(found, expected, "what comes after the death, in order, and whether it came before");
    Ok(())
}

pub(in super::super) fn a_panic(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    for (policy, calls) in [(PanicPolicy::RequeueOnce, 2), (PanicPolicy::DeadLetter, 1)] {
        let (spec, dead) = with_dead_letters(subject, &*broker)?;
        let endpoint = endpoint(&broker, &spec, EndpointOptions::default().on_panic(policy))?;
        let (mut tell, told) = Tell::new();
        let poisoned = move |delivery: &Delivery| {
            let verdict = tell.on_message(delivery);
            if number(delivery).is_ok_and(|number| number == 0) {
                // As a panic, without the noise of its hook.
                panic::resume_unwind(Box::new("poison"));
            }
            verdict
        };
        endpoint.start_consuming(Box::new(poisoned), soon())?;
        send(&*endpoint, 0..2)?;
        let rejected = take(&*consumer(&*broker, &dead, 1)?)?;
        ensure_eq!(number(&rejected)?, 0, "the dead letter");
        let mut seen = (0..=calls).map(|_| Ok(told.recv_deadline(soon())?)).collect::<Result<Vec<_>, Failure>>()?;
        seen.sort_by_key(|called| matches!(called, Called::With(1, _)));
        let mut expected: Vec<_> = (0..calls).map(|call| Called::With(0, call > 0)).collect();
        expected.push(Called::With(1, false));
        ensure_eq!(seen, expected, "the calls back");
        endpoint.stop_consuming(soon())?;
        ensure_nothing_left(&*broker, &declare(&*broker, &spec)?)?;
    }
    Ok(())
}

pub(in super::super) fn verdicts(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let (spec, dead) = with_dead_letters(subject, &*broker)?;
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let handler = |delivery: &Delivery| if delivery.redelivered { Verdict::DeadLetter } else { Verdict::Requeue };
    endpoint.start_consuming(Box::new(handler), soon())?;
    send(&*endpoint, 5..6)?;
    ensure_eq!(number(&take(&*consumer(&*broker, &dead, 1)?)?)?, 5, "the dead letter");
    Ok(())
}

pub(in super::super) fn unprocessed_goes_back(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let options = EndpointOptions::default().consumer(ConsumerOptions::default().prefetch(50.try_into()?));
    let endpoint = endpoint(&broker, &spec, options)?;
    send(&*endpoint, 0..50)?;
    let (inner, handled) = (endpoint.clone(), Tell::new());
    let mut tell = handled.0;
    let stops = move |delivery: &Delivery| {
        if inner.stop_consuming(soon()).is_err() {
            return Verdict::Requeue;
        }
        tell.on_message(delivery)
    };
    endpoint.start_consuming(Box::new(stops), soon())?;
    ensure_eq!(handled.1.recv_deadline(soon())?, Called::With(0, false), "the only call back");
    endpoint.stop_consuming(soon())?;
    let queue = declare(&*broker, &spec)?;
    await_ready(&*broker, &queue, 49)?;
    let mut other = consumer(&*broker, &queue, 1)?;
    ensure!(take_all(&mut *other, 49)?.into_iter().eq(1..50), "what was not processed is out of order");
    ensure!(handled.1.is_empty(), "a call back after the stop");
    Ok(())
}

pub(in super::super) fn poison(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    for quorum in [true, false] {
        let dead = declare(&*broker, &QueueSpec::named(subject.name("dead")?))?;
        let spec = QueueSpec::named(subject.name("work")?).delivery_limit(NonZeroU32::MIN.saturating_add(1));
        let spec = spec.dead_letter(Route::queue(&dead));
        let queue = declare(&*broker, &if quorum { spec.quorum() } else { spec })?;
        publish(&*broker, &queue, 0..3)?;
        let mut consumer = consumer(&*broker, &queue, 1)?;
        let (mut poisoned, mut others) = (0, Vec::new());
        // At first, and twice again; the others once each, wherever the queue puts what comes back.
        for _ in 0..5 {
            let delivery = take(&*consumer)?;
            match number(&delivery)? {
                0 => {
                    poisoned += 1;
                    consumer.nack(delivery.tag, Nack::Requeue)?;
                }
                other => {
                    others.push((other, delivery.redelivered));
                    consumer.ack(delivery.tag)?;
                }
            }
        }
        let expected = (3, vec![(1, false), (2, false)]);
        let what = format_args!("deliveries of poison, and its neighbours, in a quorum queue: {quorum}");
        ensure_eq!((poisoned, others), expected, what);
        ensure_eq!(number(&take(&*self::consumer(&*broker, &dead, 1)?)?)?, 0, "the dead letter");
        consumer.close(soon())?;
        ensure_nothing_left(&*broker, &queue)?;
    }
    Ok(())
}

pub(in super::super) fn poison_that_kills(subject: &dyn Subject) -> Verified {
    let (broker, dying) = (subject.connect()?, subject.connect()?);
    let dead = declare(&*broker, &QueueSpec::named(subject.name("dead")?))?;
    let spec = QueueSpec::named(subject.name("work")?).quorum().delivery_limit(NonZeroU32::MIN);
    let queue = declare(&*broker, &spec.dead_letter(Route::queue(&dead)))?;
    publish(&*broker, &queue, 0..1)?;
    for redelivered in [false, true] {
        let consumer = consumer(&*dying, &queue, 1)?;
        ensure_eq!(take(&*consumer)?.redelivered, redelivered, "whether it came before");
    }
    ensure_eq!(number(&take(&*consumer(&*broker, &dead, 1)?)?)?, 0, "the dead letter");
    ensure_nothing_left(&*broker, &queue)
}
