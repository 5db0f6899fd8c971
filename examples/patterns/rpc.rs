//! Remote calls: a typed client and a typed server, and what each promises about repetition.
//!
//! ```text
//! cargo run --example rpc -- [URL]    memory: without one; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use coffee_mom::rpc::{CallError, Client, ClientOptions, Semantics, Server, ServerOptions};
use coffee_mom::{QueueSpec, open};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    drink: String,
    cups: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bill {
    cents: u32,
}

/// Errors have types as well, and travel like results.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refused {
    UnknownDrink,
    TooMany { most: u32 },
}

fn bill(order: Order) -> Result<Bill, Refused> {
    let cents = match order.drink.as_str() {
        "espresso" => 210,
        "cortado" => 260,
        _ => return Err(Refused::UnknownDrink),
    };
    if order.cups > 10 {
        return Err(Refused::TooMany { most: 10 });
    }
    Ok(Bill { cents: cents * order.cups })
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("memory:".to_owned());
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = open(&url, deadline)?;

    // An anonymous queue goes with its connection; a service that is to be found by name has a named one.
    let server = Server::start(broker.clone(), &QueueSpec::anonymous(), ServerOptions::default().workers(4), bill)?;

    // Sent again until there is a reply, and executed once all the same.
    let options = ClientOptions::default().semantics(Semantics::AtMostOnce);
    let client = Client::<Order, Bill, Refused>::new(broker.clone(), server.queue(), options)?;
    let call = |drink: &str, cups| client.call(&Order { drink: drink.to_owned(), cups }, deadline);

    let (bill, unknown, many) = (call("cortado", 2), call("tea", 1), call("espresso", 11));
    println!("{bill:?}\n{unknown:?}\n{many:?}");
    let expected = bill == Ok(Bill { cents: 520 })
        && unknown == Err(CallError::Handler(Refused::UnknownDrink))
        && many == Err(CallError::Handler(Refused::TooMany { most: 10 }));
    if !expected {
        return Err("these are not the bills of that order".into());
    }

    client.close(deadline)?;
    server.stop(deadline)?;
    broker.close(deadline)?;
    Ok(())
}
