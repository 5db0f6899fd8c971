//! To stop consuming: from outside, from within, twice, and a hundred times.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::super::steps::*;

pub(in super::super) fn from_another_thread(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let (tell, told) = Tell::new();
    endpoint.start_consuming(Box::new(tell), soon())?;
    send(&*endpoint, 0..100)?;
    for expected in 0..50 {
        ensure_eq!(told.recv_deadline(soon())?, Called::With(expected, false), "a call back");
    }
    thread::scope(|scope| joined(scope.spawn(|| Ok(endpoint.stop_consuming(soon())?))))?;
    let handled = 50 + told.try_iter().filter(|called| matches!(called, Called::With(..))).count();
    // All that was not handled is back, so no call back can follow.
    let queue = declare(&*broker, &spec)?;
    send(&*endpoint, 100..101)?;
    await_ready(&*broker, &queue, 101 - handled)?;
    ensure!(told.is_empty(), "a call back after the stop");
    let numbers = take_all(&mut *consumer(&*broker, &queue, 10)?, 101 - handled)?;
    ensure!(numbers.into_iter().eq(handled as u64..101), "what was not handled is out of order");
    Ok(())
}

pub(in super::super) fn with_a_callback_in_hand(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    send(&*endpoint, 0..1)?;
    let (entered, has_entered) = bounded(1);
    let (leave, may_leave) = bounded::<()>(1);
    let waits = move |_: &Delivery| {
        let told = entered.send_deadline((), soon()).is_ok();
        if told && may_leave.recv_deadline(soon()).is_ok() { Verdict::Ack } else { Verdict::Requeue }
    };
    endpoint.start_consuming(Box::new(waits), soon())?;
    has_entered.recv_deadline(soon())?;
    let (start, patience) = (Instant::now(), Duration::from_millis(50));
    ensure_eq!(endpoint.stop_consuming(start + patience), Err(StopError::Deadline), "a stop while a call is in hand");
    ensure!(start.elapsed() < patience * 20, "the deadline was passed by {:?}", start.elapsed() - patience);
    leave.send_deadline((), soon())?;
    endpoint.stop_consuming(soon())?;
    ensure_nothing_left(&*broker, &declare(&*broker, &spec)?)
}

pub(in super::super) fn from_within(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    send(&*endpoint, 0..3)?;
    let (mut tell, told) = Tell::new();
    let inner = endpoint.clone();
    let stops = move |delivery: &Delivery| {
        let stopped = inner.stop_consuming(soon()).is_ok();
        let verdict = tell.on_message(delivery);
        if stopped { verdict } else { Verdict::Requeue }
    };
    endpoint.start_consuming(Box::new(stops), soon())?;
    ensure_eq!(told.recv_deadline(soon())?, Called::With(0, false), "the only call back");
    endpoint.stop_consuming(soon())?;
    ensure!(told.is_empty(), "a call back after the stop");
    let queue = declare(&*broker, &spec)?;
    ensure_eq!(take_all(&mut *consumer(&*broker, &queue, 1)?, 2)?, [1, 2], "what is left, without the acked one");
    Ok(())
}

pub(in super::super) fn again_and_again(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("work")?);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    endpoint.stop_consuming(soon())?;
    let (tell, told) = Tell::new();
    for number in 0..100 {
        endpoint.start_consuming(Box::new(tell.again()), soon())?;
        let second = endpoint.start_consuming(Box::new(tell.again()), soon());
        ensure_matches!(second, Err(StartError::Consuming), "a second start");
        send(&*endpoint, number..number + 1)?;
        endpoint.stop_consuming(soon())?;
        endpoint.stop_consuming(soon())?;
    }
    endpoint.start_consuming(Box::new(tell), soon())?;
    let mut expected = 0;
    while expected < 100 {
        if let Called::With(number, _) = told.recv_deadline(soon())? {
            ensure_eq!(number, expected, "the next call back");
            expected += 1;
        }
    }
    endpoint.stop_consuming(soon())?;
    ensure_nothing_left(&*broker, &declare(&*broker, &spec)?)
}
