//! Many queues and consumers on one connection.

use super::super::census;
use super::super::steps::*;

const QUEUES: u64 = 1000;
const CONSUMERS: usize = 200;

/// What a connection may have besides a thread or two a consumer.
const THREADS: usize = 2 * CONSUMERS + 100;

pub(in super::super) fn many(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let before = census::threads();
    let queues = (0..QUEUES).map(|_| work_queue(subject, &*broker)).collect::<Result<Vec<_>, _>>()?;
    let mut consumers =
        queues.iter().take(CONSUMERS).map(|queue| consumer(&*broker, queue, 1)).collect::<Result<Vec<_>, _>>()?;
    let now = census::threads();
    ensure!(now < before + THREADS, "{before} threads became {now} with {CONSUMERS} consumers");
    let mut producer = broker.producer(ProducerOptions::default())?;
    for (number, queue) in (0..).zip(&queues) {
        producer.publish(&Route::queue(queue), body(number), soon())?;
    }
    let mut settled = 0;
    while settled < QUEUES {
        let range = producer.settled().recv_deadline(soon())?;
        ensure_eq!(range.outcome, Outcome::Confirmed, "a publish");
        settled += range.count();
    }
    for (expected, consumer) in (0..).zip(&mut consumers) {
        ensure_eq!(take_all(&mut **consumer, 1)?, [expected], "what a consumer gets");
    }
    for (number, queue) in (0..).zip(&queues).skip(CONSUMERS).step_by(100) {
        await_ready(&*broker, queue, 1)?;
        ensure_eq!(take_all(&mut *consumer(&*broker, queue, 1)?, 1)?, [number], "what a queue holds");
    }
    for queue in &queues {
        broker.delete_queue(queue, DeleteOptions::default(), soon())?;
    }
    for consumer in &consumers {
        ensure!(consumer.deliveries().recv_deadline(soon()).is_err(), "a delivery from a queue that is gone");
        ensure_eq!(consumer.ended(), Some(ConsumerEnd::QueueDeleted), "the end of a consumer");
    }

    // Churn: each with a life of its own.
    for number in 0..200 {
        let queue = work_queue(subject, &*broker)?;
        let mut consumer = consumer(&*broker, &queue, 1)?;
        ensure_eq!(outcome(&mut *producer, &Route::queue(&queue), body(number))?, Outcome::Confirmed, "a publish");
        ensure_eq!(take_all(&mut *consumer, 1)?, [number], "a delivery");
        consumer.close(soon())?;
        broker.delete_queue(&queue, DeleteOptions::default().if_unused(), soon())?;
    }
    Ok(())
}

pub(in super::super) fn counts(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let before = broker.stats();
    publish(&*broker, &queue, 0..10)?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let delivery = take(&*consumer)?;
    consumer.nack(delivery.tag, Nack::Requeue)?;
    take_all(&mut *consumer, 10)?;
    consumer.close(soon())?;
    let now = broker.stats();
    ensure_eq!(now.published - before.published, 10, "publishes");
    ensure_eq!(now.settled - before.settled, 10, "settlements");
    ensure_eq!(now.delivered - before.delivered, 11, "deliveries");
    ensure_eq!(now.redelivered - before.redelivered, 1, "redeliveries");
    Ok(())
}

pub(in super::super) fn a_meeting(subject: &dyn Subject) -> Verified {
    let group = subject.name("meeting")?;
    let members = (0..4)
        .map(|_| {
            let spec = QueueSpec::named(subject.name("member")?);
            endpoint(&subject.connect()?, &spec, EndpointOptions::default())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (last, first) = members.split_last().ok_or_else(|| Failure::new("no members"))?;
    let early = std::time::Instant::now() + std::time::Duration::from_millis(50);
    let alone = last.emit_barrier(&subject.name("other")?, 2, early);
    ensure!(alone.is_err(), "a member met nobody");
    std::thread::scope(|scope| {
        let met: Vec<_> =
            first.iter().map(|member| scope.spawn(|| Ok(member.emit_barrier(&group, 4, soon())?))).collect();
        last.emit_barrier(&group, 4, soon())?;
        met.into_iter().try_for_each(joined)
    })
}
