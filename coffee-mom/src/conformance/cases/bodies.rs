//! Bodies and properties: any bytes, any size, unchanged; what can't be sent is refused before it is.

use super::super::steps::*;

/// Most bytes of a frame at RabbitMQ, with and without its head and its end.
const FRAME: usize = 128 << 10;
const PAYLOAD: usize = FRAME - 8;

pub(in super::super) fn sizes(subject: &dyn Subject) -> Verified {
    const LIMIT: usize = 11 << 20;
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let mut producer = broker.producer(ProducerOptions::default().max_body_bytes(LIMIT))?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    for size in [0, 1, PAYLOAD, PAYLOAD + 1, FRAME, 2 * PAYLOAD, 2 * PAYLOAD + 1, 10 << 20] {
        let body: Vec<u8> = (0..size).map(|place| (place * 7 + place / 251) as u8).collect();
        let seen = outcome(&mut *producer, &Route::queue(&queue), Message::new(body.clone()))?;
        ensure_eq!(seen, Outcome::Confirmed, format_args!("{size} bytes"));
        let delivery = take(&*consumer)?;
        ensure!(delivery.message.body == body, "{size} bytes arrived as {} others", delivery.message.body.len());
        consumer.ack(delivery.tag)?;
    }
    let published = broker.stats().published;
    let refused = producer.publish(&Route::queue(&queue), Message::new(vec![0; LIMIT + 1]), soon());
    ensure_eq!(refused, Err(PublishError::TooLarge { size: LIMIT + 1, limit: LIMIT }), "a body that is too large");
    ensure_eq!(broker.stats().published, published, "publishes, with the refused one");
    ensure_eq!(outcome(&mut *producer, &Route::queue(&queue), body(1))?, Outcome::Confirmed, "the next");
    ensure_eq!(take_all(&mut *consumer, 1)?, [1], "the next");
    Ok(())
}

pub(in super::super) fn any_bytes(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let all: Vec<u8> = (0..=255).collect();
    for body in [&all[..], &[0; 9], &[0xff; 9], &[0xc3, 0x28, 0xed, 0xa0, 0x80], &[0xce]] {
        let seen = outcome(&mut *producer, &Route::queue(&queue), Message::new(body.to_vec()))?;
        ensure_eq!(seen, Outcome::Confirmed, "a publish");
        let delivery = take(&*consumer)?;
        ensure_eq!(&delivery.message.body[..], body, "a body");
        consumer.ack(delivery.tag)?;
    }

    let (long, longest) = ("x".repeat(256), "é".repeat(127));
    ensure_eq!(Name::new(&long), Err(NameError::TooLong(256)), "a long name");
    ensure_eq!(RoutingKey::new(&long), Err(NameError::TooLong(256)), "a long key");
    let plain = Properties::default;
    let nested = Value::List(vec![Value::Table(Headers::from([(long.clone(), Value::from(1))]))]);
    for properties in [
        plain().message_id(long.clone()),
        plain().correlation_id(long.clone()),
        plain().reply_to(long.clone()),
        plain().header(long.clone(), 1),
        plain().header("nested", nested),
    ] {
        let refused = producer.publish(&Route::queue(&queue), body(0).with(properties), soon());
        ensure_eq!(refused, Err(PublishError::Property(NameError::TooLong(256).into())), "a long property");
    }
    let refused = producer.publish(&Route::queue(&queue), body(0).with(deep(MAX_NESTING + 1)), soon());
    ensure_eq!(refused, Err(PublishError::Property(PropertyError::TooDeep)), "deep properties");
    let large = plain().header("large", "x".repeat(MAX_PROPERTIES_BYTES).as_str());
    let refused = producer.publish(&Route::queue(&queue), body(0).with(large), soon());
    ensure_matches!(refused, Err(PublishError::Property(PropertyError::TooLarge(_))), "large properties");
    let message = body(7).with(plain().message_id(longest.clone()).header(longest.clone(), 1));
    ensure_eq!(outcome(&mut *producer, &Route::queue(&queue), message.clone())?, Outcome::Confirmed, "the longest");
    ensure_eq!(take(&*consumer)?.message, message, "the longest property");
    let name = subject.name("é ☕ \"'{}%")?;
    let queue = declare(&*broker, &QueueSpec::named(name))?;
    publish(&*broker, &queue, 0..1)?;
    ensure_eq!(take_all(&mut *self::consumer(&*broker, &queue, 1)?, 1)?, [0], "by a queue of an odd name");
    Ok(())
}

/// A header of lists that lie in each other.
fn deep(lists: usize) -> Properties {
    Properties::default().header("deep", (0..lists).fold(Value::from(1), |inner, _| Value::List(vec![inner])))
}

pub(in super::super) fn properties(subject: &dyn Subject) -> Verified {
    let broker = subject.connect()?;
    let queue = work_queue(subject, &*broker)?;
    let inner = Headers::from([("deep".into(), Value::from(true)), ("none".into(), Value::Table(Headers::new()))]);
    let list = vec![Value::from(1), Value::from("two"), Value::List(vec![]), Value::Table(inner.clone())];
    let mut all = Properties::default()
        .message_id("m-1")
        .correlation_id("c-1")
        .reply_to("answers")
        .header("least", i64::MIN)
        .header("most", i64::MAX)
        .header("no", false)
        .header("empty", "")
        .header("name", "é ☕")
        .header("long", "x".repeat(3000).as_str())
        .header("at", Value::Timestamp(1_700_000_000))
        .header("nested", Value::Table(inner))
        .header("list", Value::List(list));
    all.content_type = Some("text/plain".into());
    all.timestamp = Some(1_700_000_000);
    let mut producer = broker.producer(ProducerOptions::default())?;
    let mut consumer = consumer(&*broker, &queue, 1)?;
    let empty = Properties::default().message_id("");
    for message in [body(0), body(1).with(all), body(2).with(empty), body(3).with(deep(MAX_NESTING))] {
        outcome(&mut *producer, &Route::queue(&queue), message.clone())?;
        let delivery = take(&*consumer)?;
        ensure_eq!(delivery.message.properties(), message.properties(), "the properties");
        ensure_eq!(delivery.message.body, message.body, "the body");
        ensure_eq!(delivery.route, Route::queue(&queue), "the route");
        consumer.ack(delivery.tag)?;
    }
    consumer.close(soon())?;
    a_request_and_its_reply(&*broker, &queue)
}

fn a_request_and_its_reply(broker: &dyn Broker, requests: &Name) -> Verified {
    let replies = declare(broker, &QueueSpec::anonymous())?;
    let request = body(5).with(Properties::default().reply_to(replies.as_str()).correlation_id("r-5"));
    let mut producer = broker.producer(ProducerOptions::default())?;
    outcome(&mut *producer, &Route::queue(requests), request)?;
    let request = take(&*consumer(broker, requests, 1)?)?;
    let properties = request.message.properties();
    let to = properties.reply_to.as_deref().ok_or_else(|| Failure::new("no address for the reply"))?;
    let id = properties.correlation_id.clone().ok_or_else(|| Failure::new("no id for the reply"))?;
    let reply = body(number(&request)? + 1).with(Properties::default().correlation_id(id));
    outcome(&mut *producer, &Route::queue(&Name::new(to)?), reply)?;
    let reply = take(&*consumer(broker, &replies, 1)?)?;
    ensure_eq!(number(&reply)?, 6, "the reply");
    ensure_eq!(reply.message.properties().correlation_id.as_deref(), Some("r-5"), "the id of the reply");
    Ok(())
}
