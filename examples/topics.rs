//! Topics: bindings are patterns over the words of the key, where `*` is one word and `#` any number.
//!
//! ```text
//! cargo run --example topics -- [URL]    memory: without one; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::{
    Binding, ConsumerOptions, ExchangeKind, ExchangeSpec, Message, Name, Outcome, ProducerOptions, QueueSpec, Route,
    RoutingKey, open,
};

/// Sales by country, city and drink.
const SALES: [&str; 5] =
    ["ar.rosario.cortado", "ar.mendoza.espresso", "uy.montevideo.cortado", "ar.rosario", "uy.salto.espresso"];

/// Who wants which of them, and what that is.
const DESKS: [(&str, &[&str], &[usize]); 4] = [
    ("all", &["#"], &[0, 1, 2, 3, 4]),
    ("argentina", &["ar.#"], &[0, 1, 3]),
    // Both patterns match the first sale: it comes once all the same.
    ("cortado or rosario", &["*.*.cortado", "ar.rosario.#"], &[0, 2, 3]),
    ("two words", &["*.*"], &[3]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("memory:".to_owned());
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = open(&url, deadline)?;
    let run = UNIX_EPOCH.elapsed()?.as_nanos(); // so that it is nobody else's exchange
    let sales = Name::new(&format!("sales-{run}"))?;
    broker.declare_exchange(&ExchangeSpec::new(sales.clone(), ExchangeKind::Topic), deadline)?;

    let mut desks = Vec::new();
    for (desk, patterns, expected) in DESKS {
        let queue = broker.declare_queue(&QueueSpec::anonymous(), deadline)?;
        for pattern in patterns {
            broker.bind(&queue, &sales, &Binding::Key(RoutingKey::new(pattern)?), deadline)?;
        }
        desks.push((desk, expected, broker.consumer(&queue, ConsumerOptions::default(), deadline)?));
    }

    let mut producer = broker.producer(ProducerOptions::default())?;
    for sale in SALES {
        producer.publish(&Route::exchange(&sales, RoutingKey::new(sale)?), Message::new(sale), deadline)?;
        let settled = producer.settled().recv_deadline(deadline)?;
        if settled.outcome != Outcome::Confirmed {
            return Err(format!("{sale} was not taken: {:?}", settled.outcome).into());
        }
    }

    for (desk, expected, mut consumer) in desks {
        for &sale in expected {
            let delivery = consumer.deliveries().recv_deadline(deadline)?;
            println!("{desk}: {}", delivery.route.key());
            if delivery.message.body != SALES[sale] {
                return Err(format!("{desk} is to get {} next", SALES[sale]).into());
            }
            consumer.ack(delivery.tag)?;
        }
    }
    broker.delete_exchange(&sales, deadline)?;
    broker.close(deadline)?;
    Ok(())
}
