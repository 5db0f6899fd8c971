//! Attaching for the first time: what it waits for, and how it fails.

use super::*;

fn exclusive() -> ConsumerOptions {
    ConsumerOptions::default().exclusive()
}

#[test]
fn refusals_have_types() {
    let bench = Bench::new();
    let attach = |queue: &Name, options| bench.try_attach(queue, None, options, soon()).err();
    let missing = Name::new("consumer-test-no-such-queue").unwrap();
    assert_eq!(attach(&missing, ConsumerOptions::default()), Some(AttachError::UnknownQueue(missing)));
    let mut shared = bench.attach(1);
    assert_eq!(attach(&bench.queue, exclusive()), Some(AttachError::InUse(bench.queue.clone())));
    shared.close(soon()).unwrap();
    let alone = bench.try_attach(&bench.queue, None, exclusive(), soon()).unwrap();
    assert_eq!(attach(&bench.queue, ConsumerOptions::default()), Some(AttachError::InUse(bench.queue.clone())));
    drop(alone);
    let foreign = Bench::with(QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() });
    assert_eq!(attach(&foreign.queue, ConsumerOptions::default()), Some(AttachError::Exclusive(foreign.queue.clone())));
    assert!(bench.link().is_alive());
}

#[test]
fn it_waits_for_the_line_until_the_deadline() {
    let bench = Bench::with(QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() });
    let begun = Instant::now();
    let soon_over = begun + Duration::from_millis(50);
    let failed = bench.try_attach(&bench.queue, None, ConsumerOptions::default(), soon_over).err();
    assert_eq!(failed, Some(ConnectionError::Deadline.into()));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    bench.publish(0..1);
    let (line, live) = (bench.line.clone(), bench.live());
    std::thread::scope(|scope| {
        scope.spawn(move || line.set(Status::Up(live)));
        assert_eq!(number(&next(&bench.attach(1))), 0);
    });
    bench.line.set(Status::Closed);
    let failed = bench.try_attach(&bench.queue, None, ConsumerOptions::default(), soon()).err();
    assert_eq!(failed, Some(ConnectionError::Closed.into()));
}

#[test]
fn an_exclusive_consumer_comes_back_when_its_place_is_free() {
    let bench = Bench::new();
    let mut one = bench.try_attach(&bench.queue, None, exclusive(), soon()).unwrap();
    one.pause().unwrap();
    bench.until_consumers(0);
    let mut other = bench.attach(1);
    // The broker refuses, and is asked again.
    one.resume().unwrap();
    bench.publish(0..1);
    let delivery = next(&other);
    assert_eq!(other.ack(delivery.tag), Ok(()));
    other.close(soon()).unwrap();
    bench.publish(1..2);
    assert_eq!(number(&next(&one)), 1);
}
