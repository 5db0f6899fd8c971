//! Publish and subscribe: a fanout exchange gives every subscriber a copy of each message.
//!
//! ```text
//! cargo run --example publish_subscribe -- [URL]    memory: without one; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::{
    Binding, Delivery, Endpoint, EndpointOptions, ExchangeKind, ExchangeSpec, Message, MessageMiddleware, Name,
    RoutingKey, Verdict, open,
};

const PRICES: [&str; 3] = ["espresso 2.10", "cortado 2.60", "espresso 2.20"];

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("memory:".to_owned());
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = open(&url, deadline)?;
    let run = UNIX_EPOCH.elapsed()?.as_nanos(); // so that it is nobody else's exchange
    let name = Name::new(&format!("prices-{run}"))?;
    let exchange = ExchangeSpec::new(name, ExchangeKind::Fanout);
    let endpoint = |bindings: &[Binding]| {
        let key = RoutingKey::default(); // a fanout exchange does not look at it
        Endpoint::exchange(Arc::clone(&broker), &exchange, key, bindings, EndpointOptions::default())
    };

    // Each subscriber has a queue of its own, which the exchange fills from now on.
    let (print, printed) = mpsc::channel();
    let mut shops = Vec::new();
    for shop in ["Palermo", "Once"] {
        let subscriber = endpoint(&[Binding::default()])?;
        let print = print.clone();
        let on_price = move |price: &Delivery| {
            let text = String::from_utf8_lossy(&price.message.body).into_owned();
            if print.send((shop, text)).is_ok() { Verdict::Ack } else { Verdict::Requeue }
        };
        subscriber.start_consuming(Box::new(on_price), deadline)?;
        shops.push(subscriber);
    }

    let office = endpoint(&[])?;
    for price in PRICES {
        office.send(Message::new(price), deadline)?;
    }

    let mut seen = Vec::new();
    while seen.len() < 2 * PRICES.len() {
        let (shop, price) = printed.recv_timeout(deadline - Instant::now())?;
        println!("{shop}: {price}");
        seen.push((shop, price));
    }
    for shop in ["Palermo", "Once"] {
        // One publisher and one subscriber: in the order of the publishes.
        if !seen.iter().filter(|(to, _)| *to == shop).map(|(_, price)| price).eq(PRICES) {
            return Err(format!("{shop} is to see all prices in order: {seen:?}").into());
        }
    }
    shops.iter().try_for_each(|shop| shop.shutdown(deadline))?;
    office.delete(deadline)?;
    Ok(())
}
