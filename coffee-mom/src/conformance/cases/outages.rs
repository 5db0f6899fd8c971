//! A broker that restarts, is killed, is away, or takes nothing.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::super::control::{Connect, Wishes};
use super::super::steps::*;

/// What a broker's start, and a client's way back to it, may take.
const RECOVERY_SECONDS: u64 = 90;

/// Waits for an event; others pass by.
fn hear(events: &Receiver<Event>, what: &str, deadline: Instant, is_it: impl Fn(&Event) -> bool) -> Verified {
    loop {
        let event = events.recv_deadline(deadline);
        match event {
            Ok(event) if is_it(&event) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Failure::new(format_args!("{what} was not heard of: {error}"))),
        }
    }
}

/// Takes settlements until so many are confirmed.
fn await_confirms(producer: &dyn Producer, count: u64, deadline: Instant) -> Verified {
    let mut confirmed = 0;
    while confirmed < count {
        let settled = producer.settled().recv_deadline(deadline)?;
        ensure_eq!(settled.outcome, Outcome::Confirmed, "a publish");
        confirmed += settled.count();
    }
    Ok(())
}

/// Takes and acks until each of the numbers has come; some may come again.
fn take_each(consumer: &mut dyn Consumer, mut missing: BTreeSet<u64>, deadline: Instant) -> Verified {
    while !missing.is_empty() {
        let delivery = consumer.deliveries().recv_deadline(deadline).map_err(|error| {
            Failure::new(format_args!("{error}; missing: {} from {:?}", missing.len(), missing.first()))
        })?;
        missing.remove(&number(&delivery)?);
        // The connection may be lost in between; then it comes again.
        match consumer.ack(delivery.tag) {
            Ok(()) | Err(AckError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(in super::super) fn an_alarm(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    let connect = || control.connect(&Connect::default(), after(RECOVERY_SECONDS));
    let (broker, closing) = (connect()?, connect()?);
    let events = broker.events();
    let queue = work_queue(subject, &*broker)?;
    publish(&*broker, &queue, 0..50)?;
    let mut unanswered = closing.producer(ProducerOptions::default())?;
    outcome(&mut *unanswered, &Route::queue(&queue), body(50))?;

    control.alarm(true)?;
    let mut producer = broker.producer(ProducerOptions::default().window(100, 1 << 20))?;
    let mut handed_over = 0;
    let refused = loop {
        match producer.publish(
            &Route::queue(&queue),
            body(51 + handed_over),
            Instant::now() + Duration::from_millis(300),
        ) {
            Ok(_) => handed_over += 1,
            Err(error) => break error,
        }
        ensure!(handed_over <= 100, "more than the window was taken");
    };
    ensure_matches!(refused, PublishError::Blocked | PublishError::WindowFull, "a publish to a blocked broker");
    hear(&events, "the block", soon(), |event| matches!(event, Event::Blocked(_)))?;
    let mut consumer = consumer(&*broker, &queue, 10)?;
    ensure!(take_all(&mut *consumer, 51)?.into_iter().eq(0..51), "deliveries while publishes are blocked");
    // May be handed over, or refused already: in any case the close ends in time.
    drop(unanswered.publish(&Route::queue(&queue), body(1_000_000), Instant::now()));
    let start = Instant::now();
    drop(closing.close(start + Duration::from_secs(1)));
    ensure!(start.elapsed() < Duration::from_secs(3), "a close took {:?}", start.elapsed());

    control.alarm(false)?;
    hear(&events, "the end of the block", soon(), |event| *event == Event::Unblocked)?;
    await_confirms(&*producer, handed_over, soon())?;
    take_each(&mut *consumer, (51..51 + handed_over).collect(), soon())
}

pub(in super::super) fn a_restart(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default(), after(RECOVERY_SECONDS))?;
    let events = broker.events();
    let (durable, used) = (work_queue(subject, &*broker)?, work_queue(subject, &*broker)?);
    let transient = declare(&*broker, &QueueSpec::named(subject.name("transient")?).transient())?;
    publish(&*broker, &durable, 0..100)?;
    publish(&*broker, &transient, 0..10)?;
    let mut consumer = consumer(&*broker, &used, 10)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    ensure_eq!(outcome(&mut *producer, &Route::queue(&used), body(0))?, Outcome::Confirmed, "before the restart");
    take_all(&mut *consumer, 1)?;

    control.stop()?;
    hear(&events, "the loss", soon(), |event| matches!(event, Event::Disconnected(..)))?;
    control.start()?;
    for number in 1..50 {
        producer.publish(&Route::queue(&used), body(number), after(RECOVERY_SECONDS))?;
    }
    await_confirms(&*producer, 49, after(RECOVERY_SECONDS))?;
    take_each(&mut *consumer, (1..50).collect(), after(RECOVERY_SECONDS))?;
    let status = broker.queue_status(&transient, after(RECOVERY_SECONDS));
    ensure_matches!(
        status,
        Err(AttachError::UnknownQueue(_)) | Ok(QueueStatus { ready: 0, .. }),
        "a transient queue after a restart"
    );
    let mut consumer = self::consumer(&*broker, &durable, 100)?;
    ensure!(take_all(&mut *consumer, 100)?.into_iter().eq(0..100), "what was durable");
    ensure!(broker.stats().reconnects > 0, "no reconnect was counted");
    Ok(())
}

pub(in super::super) fn a_kill(subject: &dyn Subject) -> Verified {
    const ALL: u64 = 20_000;
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default(), after(RECOVERY_SECONDS))?;
    let queue = work_queue(subject, &*broker)?;
    // A declaration is not confirmed: RabbitMQ has it on disk some seconds later, or when it is stopped.
    control.stop()?;
    control.start()?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    let settled = producer.settled().clone();
    let mut confirmed = BTreeSet::new();
    thread::scope(|scope| {
        let route = Route::queue(&queue);
        let publishing = scope.spawn(move || {
            for number in 0..ALL {
                let message = || body(number).with(Properties::default().message_id(format!("id {number}")));
                let deadline = after(RECOVERY_SECONDS);
                loop {
                    match producer.publish(&route, message(), deadline) {
                        Ok(_) => break,
                        // The owner of the settlements is another thread, which is taking them.
                        Err(PublishError::SettlementsFull) if Instant::now() < deadline => thread::yield_now(),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(producer)
        });
        let mut killed = false;
        while (confirmed.len() as u64) < ALL {
            let range = settled.recv_deadline(after(RECOVERY_SECONDS))?;
            ensure_eq!(range.outcome, Outcome::Confirmed, "a publish");
            confirmed.extend(range.ids());
            if !killed && confirmed.len() as u64 > ALL / 4 {
                killed = true;
                control.kill()?;
                control.start()?;
            }
        }
        joined(publishing).map(drop)
    })?;
    let mut consumer = consumer(&*broker, &queue, 200)?;
    let mut missing = confirmed;
    while !missing.is_empty() {
        let delivery = take(&*consumer)?;
        let number = number(&delivery)?;
        let id = delivery.message.properties().message_id.as_deref();
        ensure_eq!(id, Some(format!("id {number}").as_str()), "the message id");
        missing.remove(&number);
        consumer.ack(delivery.tag)?;
    }
    Ok(())
}

pub(in super::super) fn down_at_the_start(subject: &dyn Subject) -> Verified {
    let control = subject.control(&Wishes::default())?;
    control.stop()?;
    let through = Connect::default().through_proxy();
    let (start, patience) = (Instant::now(), Duration::from_secs(3));
    let refused = control.connect(&through, start + patience).err();
    ensure!(refused.is_some(), "a connection to a broker that is down");
    ensure!(start.elapsed() < patience + Duration::from_secs(1), "an open took {:?}", start.elapsed());
    let attempts = control.proxy().accepted();
    ensure!((2..=30).contains(&attempts), "{attempts} attempts in {patience:?}");
    thread::scope(|scope| {
        let connecting = scope.spawn(|| Ok(control.connect(&through, after(RECOVERY_SECONDS))?));
        control.start()?;
        publish(&*joined(connecting)?, &work_queue_of(subject, &*control)?, 0..1)
    })
}

fn work_queue_of(subject: &dyn Subject, control: &dyn super::super::Control) -> Result<Name, Failure> {
    work_queue(subject, &*control.connect(&Connect::default(), after(RECOVERY_SECONDS))?)
}

pub(in super::super) fn away(subject: &dyn Subject) -> Verified {
    const WINDOW: u64 = 500;
    let control = subject.control(&Wishes::default())?;
    let broker = control.connect(&Connect::default().through_proxy(), after(RECOVERY_SECONDS))?;
    let events = broker.events();
    let queue = work_queue(subject, &*broker)?;
    let mut producer = broker.producer(ProducerOptions::default().window(WINDOW as usize, 1 << 20))?;
    control.proxy().refuse(true)?;
    control.proxy().reset();
    hear(&events, "the loss", soon(), |event| matches!(event, Event::Disconnected(Side::Publishing, _)))?;
    let refused = (0..=WINDOW).find_map(|number| {
        let deadline = Instant::now() + Duration::from_millis(200);
        producer.publish(&Route::queue(&queue), body(number), deadline).err().map(|error| (number, error))
    });
    ensure_matches!(
        refused,
        Some((number, PublishError::WindowFull)) if *number == WINDOW,
        "how many publishes are taken while the broker is away, and why no more"
    );
    let (start, patience) = (Instant::now(), Duration::from_millis(200));
    let status = broker.queue_status(&queue, start + patience);
    ensure_eq!(status, Err(ConnectionError::Deadline.into()), "a call while the broker is away");
    ensure!(start.elapsed() < patience * 5, "a call took {:?}", start.elapsed());
    control.proxy().refuse(false)?;
    await_confirms(&*producer, WINDOW, after(RECOVERY_SECONDS))?;
    let mut consumer = consumer(&*broker, &queue, 100)?;
    take_each(&mut *consumer, (0..WINDOW).collect(), soon())
}
