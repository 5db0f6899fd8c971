//! Routing: a direct exchange passes a message on to the queues that are bound by its key.
//!
//! ```text
//! cargo run --example routing -- [URL]    memory: without one; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::{
    Binding, ConsumerOptions, ExchangeKind, ExchangeSpec, Message, Name, Outcome, ProducerOptions, QueueSpec, Route,
    RoutingKey, open,
};

const LOG: [(&str, &str); 5] = [
    ("info", "open"),
    ("warning", "milk is low"),
    ("info", "a guest"),
    ("error", "the grinder is stuck"),
    ("debug", "nobody listens to this"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("memory:".to_owned());
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = open(&url, deadline)?;
    let run = UNIX_EPOCH.elapsed()?.as_nanos(); // so that it is nobody else's exchange
    let log = Name::new(&format!("log-{run}"))?;
    broker.declare_exchange(&ExchangeSpec::new(log.clone(), ExchangeKind::Direct), deadline)?;

    // One listener takes what is urgent, the other one everything but debug.
    let listen = |keys: &[&str]| -> Result<_, Box<dyn Error>> {
        let queue = broker.declare_queue(&QueueSpec::anonymous(), deadline)?;
        for key in keys {
            broker.bind(&queue, &log, &Binding::Key(RoutingKey::new(key)?), deadline)?;
        }
        Ok(broker.consumer(&queue, ConsumerOptions::default(), deadline)?)
    };
    let listeners = [("pager", 2, listen(&["warning", "error"])?), ("file", 4, listen(&["info", "warning", "error"])?)];

    // Publishes go out one after the other without waiting; what became of each is told by its number.
    let mut producer = broker.producer(ProducerOptions::default())?;
    for (key, text) in LOG {
        producer.publish(&Route::exchange(&log, RoutingKey::new(key)?), Message::new(text), deadline)?;
    }
    let mut outcomes = [None; LOG.len()];
    while outcomes.contains(&None) {
        let settled = producer.settled().recv_deadline(deadline)?;
        settled.ids().for_each(|id| outcomes[id as usize] = Some(settled.outcome));
    }
    let unheard = |outcome: &Option<Outcome>| *outcome == Some(Outcome::Returned);
    if outcomes.iter().position(unheard) != Some(4) || outcomes.iter().filter(|o| unheard(o)).count() != 1 {
        return Err(format!("only the last line is to be returned: {outcomes:?}").into());
    }

    for (listener, expected, mut consumer) in listeners {
        for _ in 0..expected {
            let delivery = consumer.deliveries().recv_deadline(deadline)?;
            let (key, text) = (delivery.route.key(), String::from_utf8_lossy(&delivery.message.body));
            println!("{listener}: [{key}] {text}");
            if key.as_str() == "debug" || (listener == "pager" && key.as_str() == "info") {
                return Err(format!("{listener} is not to hear of {key}").into());
            }
            consumer.ack(delivery.tag)?;
        }
    }
    broker.delete_exchange(&log, deadline)?;
    broker.close(deadline)?;
    Ok(())
}
