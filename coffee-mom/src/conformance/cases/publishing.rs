//! What a publish promises: it settles once, says the truth, and is held back where there is no room.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::super::steps::*;

/// Takes settlements until all of `open` have one; each counts once.
fn settle_all(producer: &dyn Producer, published: u64) -> Result<BTreeMap<u64, Outcome>, Failure> {
    let mut outcomes = BTreeMap::new();
    while (outcomes.len() as u64) < published {
        let settled = producer.settled().recv_deadline(soon())?;
        for id in settled.ids() {
            let before = outcomes.insert(id, settled.outcome);
            ensure!(before.is_none() && id < published, "{id} settled as {before:?} before, of {published} published");
        }
    }
    ensure!(producer.settled().try_recv().is_err(), "more settlements than publishes");
    Ok(outcomes)
}

pub(in super::super) fn a_missing_exchange(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let missing = Route::exchange(&subject.name("missing")?, RoutingKey::default());
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut published = 0;
    for round in 0..3 {
        match producer.publish(&missing, body(99), soon()) {
            Ok(id) => {
                ensure_eq!(id, PublishId(published), "the number of a publish");
                published += 1;
            }
            Err(error) => ensure_matches!(error, PublishError::UnknownExchange(_), "a publish to nowhere"),
        }
        ensure_eq!(producer.publish(&Route::queue(&queue), body(round), soon()), Ok(PublishId(published)), "the next");
        published += 1;
    }
    let outcomes = settle_all(&*producer, published)?;
    let refused = outcomes.values().filter(|o| **o == Outcome::Refused(Refusal::UnknownExchange)).count();
    let confirmed = outcomes.values().filter(|outcome| **outcome == Outcome::Confirmed).count();
    ensure_eq!((confirmed, refused as u64), (3, published - 3), "publishes confirmed, and refused");
    ensure_eq!(take_new(&mut *consumer(&*broker, &queue, 3)?, 3)?, [0, 1, 2], "what was published besides");
    Ok(())
}

/// Takes until so many numbers have come, each once or several times; they are in the order in which
/// they came first. What had no answer before a refusal may come twice.
fn take_new(consumer: &mut dyn Consumer, count: usize) -> Result<Vec<u64>, Failure> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let delivery = take(consumer)?;
        let number = number(&delivery)?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
        consumer.ack(delivery.tag)?;
    }
    Ok(numbers)
}

pub(in super::super) fn each_settles_once(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let open = work_queue(subject, &*broker)?;
    let full = declare(&*broker, &QueueSpec::named(subject.name("full")?).bounded(5, 1 << 20))?;
    let routes = [&open, &full, &subject.name("nowhere")?].map(Route::queue);
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut sent = Vec::new();
    for number in 0..600 {
        let place = number % 3;
        match producer.publish(&routes[place], body(number as u64), Instant::now()) {
            Ok(id) => {
                ensure_eq!(id, PublishId(sent.len() as u64), "the number of a publish");
                sent.push(place);
            }
            Err(PublishError::QueueFull(queue)) => ensure_eq!((queue, place), (full.clone(), 1), "the full queue"),
            // A try may come when the broker has not answered enough yet: that is no answer either.
            Err(error) => ensure!(error.is_back_pressure(), "{error}"),
        }
    }
    let outcomes = settle_all(&*producer, sent.len() as u64)?;
    let mut confirmed = [0; 3];
    for (place, outcome) in sent.iter().zip(outcomes.values()) {
        ensure_matches!(
            (place, outcome),
            (0, Outcome::Confirmed) | (1, Outcome::Confirmed | Outcome::Nacked) | (2, Outcome::Returned),
            "a route and its outcome"
        );
        confirmed[*place] += usize::from(*outcome == Outcome::Confirmed);
    }
    ensure!(confirmed[1] >= 5, "a queue with room for 5 took {}", confirmed[1]);
    // A nack that is told as a success would be missing here.
    await_ready(&*broker, &open, confirmed[0])?;
    await_ready(&*broker, &full, confirmed[1])?;
    let settled = producer.settled().clone();
    drop(producer);
    ensure!(settled.recv_deadline(soon()).is_err(), "a settlement of a producer that is gone");
    Ok(())
}

pub(in super::super) fn a_full_window(subject: &dyn Subject) -> Verified {
    const WINDOW: u64 = 4;
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    // Unlike outcomes can't be joined, so each publish needs a place of its own.
    let routes = [Route::queue(&queue), Route::queue(&subject.name("nowhere")?)];
    let route = |number: u64| &routes[usize::from(number % 2 == 1)];
    let mut producer = broker.producer(ProducerOptions::default().window(WINDOW as usize, 1 << 20))?;
    let patience = Duration::from_millis(100);
    let (mut start, mut published) = (Instant::now(), 0);
    let refused = loop {
        match producer.publish(route(published), body(published), start + patience) {
            Ok(id) => ensure_eq!(id, PublishId(published), "the number of a publish"),
            Err(error) => break error,
        }
        published += 1;
        start = Instant::now();
    };
    ensure_matches!(refused, PublishError::WindowFull | PublishError::SettlementsFull, "one too many");
    ensure!(start.elapsed() < patience * 10, "the deadline was passed by {:?}", start.elapsed() - patience);
    // As many may wait for the broker, and as many for their owner.
    ensure!((WINDOW..=2 * WINDOW).contains(&published), "{published} were taken with a window of {WINDOW}");
    let mut settled = 0;
    while published < 100 {
        settled += producer.settled().recv_deadline(soon())?.count();
        match producer.publish(route(published), body(published), soon()) {
            Ok(id) => ensure_eq!(id, PublishId(published), "the number of a publish"),
            Err(PublishError::SettlementsFull) => continue,
            Err(error) => return Err(error.into()),
        }
        published += 1;
        ensure!(published <= settled + 2 * WINDOW, "{published} were taken when {settled} were settled");
    }
    while settled < 100 {
        settled += producer.settled().recv_deadline(soon())?.count();
    }
    await_ready(&*broker, &queue, 50)
}

/// Sends until a queue with room for three such messages is full; how many it took.
fn fill(endpoint: &dyn MessageMiddleware, message: impl Fn(u64) -> Message) -> Result<u64, Failure> {
    let mut taken = 0;
    for _ in 0..100 {
        match endpoint.send(message(taken), Instant::now() + Duration::from_millis(200)) {
            Ok(()) => taken += 1,
            // The last attempt before the deadline has no answer yet: so there was one before, a refusal.
            Err(SendError::Unknown) => {}
            Err(SendError::Nacked | SendError::Publish(PublishError::QueueFull(_))) => {
                ensure!(taken >= 3, "a queue with room for 3 took {taken}");
                return Ok(taken);
            }
            Err(error) => return Err(Failure::new(format!("a send to a full queue: {error:?}"))),
        }
    }
    Err(Failure::new("a queue with room for 3 is not full after 100"))
}

pub(in super::super) fn a_bound_of_bytes(subject: &dyn Subject) -> Verified {
    const SIZE: usize = 1000;
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("full")?).bounded(1000, 3 * SIZE);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let message = |_| Message::new(vec![7; SIZE]);
    let taken = fill(&*endpoint, message)?;
    let queue = declare(&*broker, &spec)?;
    await_ready(&*broker, &queue, usize::try_from(taken)?)?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    for _ in 0..taken {
        let delivery = take(&*consumer)?;
        consumer.ack(delivery.tag)?;
    }
    Ok(endpoint.send(message(taken), soon())?)
}

pub(in super::super) fn a_full_queue(subject: &dyn Subject) -> Verified {
    const ALL: u64 = 400;
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("full")?).bounded(3, 1 << 20);
    let endpoint = endpoint(&broker, &spec, EndpointOptions::default())?;
    let queue = declare(&*broker, &spec)?;
    let taken = fill(&*endpoint, body)?;
    await_ready(&*broker, &queue, usize::try_from(taken)?)?;
    // One at a time in flight: a retry changes no order.
    let numbers = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&*endpoint, taken..ALL));
        let numbers = take_all(&mut *consumer(&*broker, &queue, 2)?, usize::try_from(ALL)?);
        joined(sender)?;
        numbers
    })?;
    ensure!(numbers.into_iter().eq(0..ALL), "lost, repeated or out of order");
    ensure_nothing_left(&*broker, &queue)
}

pub(in super::super) fn several_publishers(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = declare(&*broker, &QueueSpec::named(subject.name("full")?).bounded(20, 1 << 20))?;
    let mut consumer = consumer(&*broker, &queue, 5)?;
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for publisher in 0..4 {
            let endpoint = Endpoint::queue(broker.clone(), &spec_of(&queue), EndpointOptions::default())?;
            senders.push(scope.spawn(move || send(&endpoint, publisher * 1000..publisher * 1000 + 200)));
        }
        let mut next = [0, 1000, 2000, 3000];
        for number in take_all(&mut *consumer, 800)? {
            let expected = &mut next[usize::try_from(number / 1000)?];
            ensure_eq!(number, *expected, "the next of its publisher");
            *expected += 1;
        }
        senders.into_iter().try_for_each(joined)
    })
}

fn spec_of(queue: &Name) -> QueueSpec {
    QueueSpec::named(queue.clone()).bounded(20, 1 << 20)
}
