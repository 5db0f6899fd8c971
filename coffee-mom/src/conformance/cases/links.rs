//! Links that break, fall silent, are slow, or are closed by force.

use std::thread;
use std::time::{Duration, Instant};

use super::super::control::{Connect, Wishes};
use super::super::steps::*;

pub(in super::super) fn cut_in_a_message(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default().through_proxy(), after(60))?;
    let queue = work_queue(subject, &*broker)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    for round in 0..5_u8 {
        let whole: Vec<u8> = (0..1 << 20).map(|place: usize| (place / 1000) as u8 ^ round).collect();
        control.proxy().reset_after(200_000 + 150_000 * u64::from(round));
        let properties = Properties::default().message_id(format!("round {round}"));
        producer.publish(&Route::queue(&queue), Message::new(whole.clone()).with(properties), after(60))?;
        let settled = producer.settled().recv_deadline(after(60))?;
        ensure_eq!((settled.outcome, settled.count()), (Outcome::Confirmed, 1), "the message after the cut");
        // The replay may make it come twice, whole each time.
        loop {
            let delivery = consumer.deliveries().recv_deadline(after(60))?;
            let current = delivery.message.properties().message_id == Some(format!("round {round}"));
            ensure!(!current || delivery.message.body == whole, "{} other bytes", delivery.message.body.len());
            match consumer.ack(delivery.tag) {
                Ok(()) if current => break,
                Ok(()) | Err(AckError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    ensure!(broker.stats().replayed >= 5, "{} replayed publishes were counted", broker.stats().replayed);
    Ok(())
}

pub(in super::super) fn half_open(subject: &dyn Subject) -> Verified {
    let heartbeat = Duration::from_secs(2);
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default().through_proxy().heartbeat(heartbeat), after(60))?;
    let queue = work_queue(subject, &*broker)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    ensure_eq!(outcome(&mut *producer, &Route::queue(&queue), body(0))?, Outcome::Confirmed, "a publish");
    take_all(&mut *consumer, 1)?;
    let events = broker.events();
    control.proxy().blackhole(true);
    let detected = Instant::now() + 2 * heartbeat + Duration::from_secs(1);
    let (mut publishing, mut consuming) = (false, false);
    while !(publishing && consuming) {
        match events.recv_deadline(detected) {
            Ok(Event::Disconnected(Side::Publishing, _)) => publishing = true,
            Ok(Event::Disconnected(Side::Consuming, _)) => consuming = true,
            Ok(_) => {}
            Err(_) => ensure!(false, "noticed by the publishing side: {publishing}, consuming: {consuming}"),
        }
    }
    control.proxy().blackhole(false);
    producer.publish(&Route::queue(&queue), body(1), after(60))?;
    ensure_eq!(producer.settled().recv_deadline(after(60))?.outcome, Outcome::Confirmed, "a publish after it");
    loop {
        let delivery = consumer.deliveries().recv_deadline(after(60))?;
        match (number(&delivery)?, delivery.redelivered) {
            (1, _) => return Ok(()),
            // The link may have swallowed its ack.
            (0, true) => consumer.ack(delivery.tag)?,
            seen => return Err(Failure::new(format_args!("a delivery after it: {seen:?}"))),
        }
    }
}

pub(in super::super) fn a_silent_peer(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    control.proxy().pause();
    let (start, patience) = (Instant::now(), Duration::from_secs(2));
    let refused = control.connect(&Connect::default().through_proxy(), start + patience).err();
    ensure!(refused.is_some(), "a connection to a silent peer");
    ensure!(start.elapsed() < patience + Duration::from_secs(1), "an open took {:?}", start.elapsed());
    Ok(())
}

pub(in super::super) fn a_slow_link(subject: &dyn Subject) -> Verified {
    const MESSAGES: u64 = 100;
    // Two of them are less than the backlog takes, and more than a busy machine may hold a broker up.
    let heartbeat = Duration::from_secs(5);
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default().through_proxy().heartbeat(heartbeat), after(60))?;
    let events = broker.events();
    let queue = declare(&*broker, &QueueSpec::named(subject.name("backlog")?).bounded(1000, 256 << 20))?;
    control.proxy().throttle(Some(8 << 20));
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut consumer = consumer(&*broker, &queue, 20)?;
    let large = Message::new(vec![7; 1 << 20]);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            for _ in 0..MESSAGES {
                producer.publish(&Route::queue(&queue), large.clone(), after(120))?;
            }
            let mut settled = 0;
            while settled < MESSAGES {
                settled += producer.settled().recv_deadline(after(120))?.count();
            }
            Ok(())
        });
        for _ in 0..MESSAGES {
            let delivery = consumer.deliveries().recv_deadline(after(120))?;
            ensure_eq!(delivery.message.body.len(), 1 << 20, "bytes");
            consumer.ack(delivery.tag)?;
        }
        joined(publishing)
    })?;
    let lost = events.try_iter().find(|event| matches!(event, Event::Disconnected(..)));
    ensure!(lost.is_none(), "a slow link counts as lost: {lost:?}");
    Ok(())
}

pub(in super::super) fn closed_by_force(subject: &dyn Subject) -> Verified {
    const TIMES: usize = 200;
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default(), after(60))?;
    let queue = work_queue(subject, &*broker)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut consumer = consumer(&*broker, &queue, 50)?;
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    // While all connections are closed again and again, none need live long enough to confirm anything.
    let end = after(300);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let (mut published, mut settled) = (0, 0);
            let confirmed = |producer: &dyn Producer| {
                let range = producer.settled().recv_deadline(end)?;
                ensure_eq!(range.outcome, Outcome::Confirmed, "a publish");
                Ok(range.count())
            };
            while stopped.is_empty() && stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                producer.publish(&Route::queue(&queue), body(published), end)?;
                published += 1;
                // A few in flight, so that the load is one of confirms and not of memory.
                while settled + 20 < published {
                    settled += confirmed(&*producer)?;
                }
            }
            while settled < published {
                settled += confirmed(&*producer)?;
            }
            Ok(published)
        });
        let consuming = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while let Ok(delivery) = consumer.deliveries().recv_deadline(end) {
                let number = number(&delivery)?;
                if number == u64::MAX {
                    return Ok(seen);
                }
                seen.insert(number);
                match consumer.ack(delivery.tag) {
                    Ok(()) | Err(AckError::Stale) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(Failure::new(format_args!("no delivery after {}; the end: {:?}", seen.len(), consumer.ended())))
        });
        let closed = control.close_connections(TIMES, after(240));
        drop(stop);
        closed?;
        let published = joined(publishing)?;
        let mut last = broker.producer(ProducerOptions::default())?;
        last.publish(&Route::queue(&queue), body(u64::MAX), after(60))?;
        let seen = joined(consuming)?;
        // A requeued delivery comes before the last message, which was published after all of them.
        let missing = (0..published).find(|number| !seen.contains(number));
        ensure!(missing.is_none(), "{missing:?} of {published} confirmed messages is lost");
        Ok(())
    })?;
    let reconnects = broker.stats().reconnects;
    // Many are cut when they are open for the broker, and not yet for the client.
    ensure!(reconnects as usize >= TIMES / 10, "{reconnects} reconnects were counted");
    Ok(())
}
