//! How exchanges pass messages on.

use super::super::steps::*;

fn key(text: &str) -> Result<RoutingKey, Failure> {
    Ok(RoutingKey::new(text)?)
}

fn keys(texts: &[&str]) -> Result<Vec<Binding>, Failure> {
    texts.iter().map(|text| Ok(Binding::Key(key(text)?))).collect()
}

/// A new queue with these bindings.
fn bound(broker: &dyn Broker, exchange: &Name, bindings: &[Binding]) -> Result<Name, Failure> {
    let queue = declare(broker, &QueueSpec::anonymous())?;
    for binding in bindings {
        broker.bind(&queue, exchange, binding, soon())?;
    }
    Ok(queue)
}

/// The numbers that wait in a queue, in order; takes them out.
fn contents(broker: &dyn Broker, queue: &Name, expected: usize) -> Result<Vec<u64>, Failure> {
    await_ready(broker, queue, expected)?;
    let mut consumer = consumer(broker, queue, 100)?;
    let numbers = take_all(&mut *consumer, expected)?;
    consumer.close(soon())?;
    ensure_nothing_left(broker, queue)?;
    Ok(numbers)
}

pub(in super::super) fn fanout(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Fanout)?;
    let early =
        [bound(&*broker, &exchange, &[Binding::default()])?, bound(&*broker, &exchange, &[Binding::default()])?];
    let route = Route::exchange(&exchange, key("any")?);
    publish_to(&*broker, &route, 0..1)?;
    let late = bound(&*broker, &exchange, &[Binding::default()])?;
    publish_to(&*broker, &route, 1..2)?;
    let delivery = take(&*consumer(&*broker, &late, 1)?)?;
    ensure_eq!(delivery.route, route, "where the receiver sees that it was published to");
    await_ready(&*broker, &late, 1)?;
    ensure_eq!(contents(&*broker, &late, 1)?, [1], "what a late binder gets");
    for queue in early {
        ensure_eq!(contents(&*broker, &queue, 2)?, [0, 1], "what every bound queue gets");
    }
    Ok(())
}

pub(in super::super) fn direct(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Direct)?;
    let both = bound(&*broker, &exchange, &keys(&["a", "b"])?)?;
    let one = bound(&*broker, &exchange, &keys(&["a"])?)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    for (number, text, promised) in [
        (0, "a", Outcome::Confirmed),
        (1, "b", Outcome::Confirmed),
        (2, "c", Outcome::Returned),
        (3, "", Outcome::Returned),
        (4, "a.b", Outcome::Returned),
        (5, "A", Outcome::Returned),
    ] {
        let seen = outcome(&mut *producer, &Route::exchange(&exchange, key(text)?), body(number))?;
        ensure_eq!(seen, promised, format_args!("key {text:?}"));
    }
    ensure_eq!(contents(&*broker, &both, 2)?, [0, 1], "the queue of two keys");
    ensure_eq!(contents(&*broker, &one, 1)?, [0], "the queue of one key");
    Ok(())
}

pub(in super::super) fn topic(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Topic)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    for (pattern, matching, others) in [
        ("#", &["", "a", "a.b", ".", "a..b"][..], &[][..]),
        ("*", &["a", "b"], &["", "a.b", "."]),
        ("a.*.c", &["a.b.c", "a..c"], &["a.c", "a.b.b.c", "a.b.c.d"]),
        ("a.#.c", &["a.c", "a.b.c", "a.b.b.c", "a..c"], &["a.b.c.d", "a", "c"]),
        ("a.*", &["a.", "a.b"], &["a", ".a"]),
        ("*.a", &[".a", "b.a"], &["a", "a."]),
        ("a", &["a"], &["a.", ".a", "", "A"]),
        ("", &[""], &["a", "."]),
        ("a.#", &["a", "a.b", "a.b.c", "a."], &["b.a", "ab"]),
        ("#.a.#", &["a", "b.a", "a.b", "b.a.b"], &["", "b", "aa"]),
    ] {
        let queue = bound(&*broker, &exchange, &keys(&[pattern])?)?;
        for (texts, promised) in [(matching, Outcome::Confirmed), (others, Outcome::Returned)] {
            for text in texts {
                let seen = outcome(&mut *producer, &Route::exchange(&exchange, key(text)?), body(0))?;
                ensure_eq!(seen, promised, format_args!("pattern {pattern:?}, key {text:?}"));
            }
        }
        ensure_eq!(contents(&*broker, &queue, matching.len())?.len(), matching.len(), "messages");
        broker.delete_queue(&queue, DeleteOptions::default(), soon())?;
    }
    Ok(())
}

pub(in super::super) fn headers(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Headers)?;
    let wanted = Headers::from([("kind".into(), Value::from("a")), ("n".into(), Value::from(1))]);
    let all = bound(&*broker, &exchange, &[Binding::Headers(HeaderMatch::All, wanted.clone())])?;
    let any = bound(&*broker, &exchange, &[Binding::Headers(HeaderMatch::Any, wanted)])?;
    let none = bound(&*broker, &exchange, &[Binding::Headers(HeaderMatch::Any, Headers::new())])?;
    let route = Route::exchange(&exchange, key("ignored")?);
    let mut producer = broker.producer(ProducerOptions::default())?;
    let plain = Properties::default;
    for (number, properties, promised) in [
        (0, plain().header("kind", "a").header("n", 1).header("more", true), Outcome::Confirmed),
        (1, plain().header("kind", "a").header("n", "1"), Outcome::Confirmed),
        (2, plain().header("n", 1), Outcome::Confirmed),
        (3, plain().header("kind", "b").header("n", "1"), Outcome::Returned),
        (4, plain(), Outcome::Returned),
    ] {
        let seen = outcome(&mut *producer, &route, body(number).with(properties))?;
        ensure_eq!(seen, promised, format_args!("message {number}"));
    }
    ensure_eq!(contents(&*broker, &all, 1)?, [0], "all of the headers");
    ensure_eq!(contents(&*broker, &any, 3)?, [0, 1, 2], "any of the headers");
    ensure_nothing_left(&*broker, &none)
}

pub(in super::super) fn one_copy(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Topic)?;
    let queue = bound(&*broker, &exchange, &keys(&["sales.#", "*.north", "sales.*", "sales.*"])?)?;
    let route = Route::exchange(&exchange, key("sales.north")?);
    publish_to(&*broker, &route, 0..3)?;
    ensure_eq!(contents(&*broker, &queue, 3)?, [0, 1, 2], "one copy each");
    Ok(())
}

pub(in super::super) fn unroutable(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Direct)?;
    let before = broker.stats();
    let nowhere = [Route::queue(&subject.name("nowhere")?), Route::exchange(&exchange, key("nowhere")?)];
    for (mandatory, promised) in [(true, Outcome::Returned), (false, Outcome::Confirmed)] {
        let mut producer = broker.producer(ProducerOptions::default().mandatory(mandatory))?;
        for route in &nowhere {
            ensure_eq!(outcome(&mut *producer, route, body(0))?, promised, format_args!("mandatory: {mandatory}"));
        }
    }
    let now = broker.stats();
    ensure_eq!(now.returned - before.returned, 2, "publishes counted as returned");
    ensure_eq!(now.dropped - before.dropped, 2, "publishes counted as dropped");
    ensure_eq!((now.published - before.published, now.in_flight()), (4, 0), "publishes, and those open");
    Ok(())
}

pub(in super::super) fn unbinding(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Direct)?;
    let queue = bound(&*broker, &exchange, &keys(&["a", "b"])?)?;
    let other = bound(&*broker, &exchange, &keys(&["a"])?)?;
    let a = Binding::Key(key("a")?);
    broker.unbind(&queue, &exchange, &a, soon())?;
    broker.unbind(&queue, &exchange, &a, soon())?;
    publish_to(&*broker, &Route::exchange(&exchange, key("a")?), 0..1)?;
    publish_to(&*broker, &Route::exchange(&exchange, key("b")?), 1..2)?;
    ensure_eq!(contents(&*broker, &queue, 1)?, [1], "by the binding that is left");
    ensure_eq!(contents(&*broker, &other, 1)?, [0], "the other queue");
    broker.unbind(&subject.name("nobody")?, &exchange, &a, soon())?;
    broker.unbind(&queue, &subject.name("nothing")?, &a, soon())?;
    Ok(())
}

pub(in super::super) fn deleted_ways(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let exchange = exchange(subject, &*broker, ExchangeKind::Fanout)?;
    let one = bound(&*broker, &exchange, &[Binding::default()])?;
    let two = bound(&*broker, &exchange, &[Binding::default()])?;
    let route = Route::exchange(&exchange, RoutingKey::default());
    let mut producer = broker.producer(ProducerOptions::default())?;
    ensure_eq!(outcome(&mut *producer, &route, body(0))?, Outcome::Confirmed, "both queues");
    broker.delete_queue(&one, DeleteOptions::default(), soon())?;
    ensure_eq!(outcome(&mut *producer, &route, body(1))?, Outcome::Confirmed, "the queue that is left");
    ensure_eq!(contents(&*broker, &two, 2)?, [0, 1], "the queue that is left");
    broker.delete_exchange(&exchange, soon())?;
    broker.delete_exchange(&exchange, soon()).map_err(Failure::from)
}

pub(in super::super) fn an_exchange_calls_back(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let spec = ExchangeSpec::new(subject.name("sales")?, ExchangeKind::Topic);
    let endpoint = |bindings: &[&str]| -> Result<Endpoint, Failure> {
        let (key, options) = (key("sales.north")?, EndpointOptions::default());
        Ok(Endpoint::exchange(broker.clone(), &spec, key, &keys(bindings)?, options)?)
    };
    let (sender, north, south) = (endpoint(&[])?, endpoint(&["*.north"])?, endpoint(&["*.south"])?);
    let nothing = sender.start_consuming(Box::new(|_: &Delivery| Verdict::Ack), soon());
    ensure_matches!(nothing, Err(StartError::NoBindings), "to consume an exchange without bindings");
    let (to_north, northern) = Tell::new();
    let (to_south, southern) = Tell::new();
    north.start_consuming(Box::new(to_north), soon())?;
    south.start_consuming(Box::new(to_south), soon())?;
    sender.send(body(1), soon())?;
    sender.send_to(&Route::exchange(&spec.name, key("sales.south")?), body(2), soon())?;
    ensure_eq!(northern.recv_deadline(soon())?, Called::With(1, false), "the north");
    ensure_eq!(southern.recv_deadline(soon())?, Called::With(2, false), "the south");
    let own = north.queue_name().cloned().ok_or_else(|| Failure::new("no queue of its own"))?;
    north.close(soon())?;
    ensure_eq!(broker.queue_status(&own, soon()), Err(AttachError::UnknownQueue(own.clone())), "the queue of its own");
    ensure_eq!(sender.send(body(3), soon()), Err(SendError::Unroutable), "a send to nobody");
    sender.delete(soon())?;
    Ok(())
}
