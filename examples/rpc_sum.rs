//! Sums by remote calls: clients split a large sum into ranges, which several servers of one queue compute.
//!
//! There are two services, for two promises about repetition. What only computes may be executed again: `sum` has
//! several servers, and is called at least once. What changes something may not: `total` adds the parts up, so it has
//! one server, and is called at most once. A call that nobody answers ends at its deadline, with an error that says
//! what is known.
//!
//! ```text
//! cargo run --example rpc_sum -- [URL] [SEED]    memory: without a URL; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::rpc::{CallError, Client, ClientOptions, NoError, Semantics, Server, ServerOptions};
use coffee_mom::{Broker, DeleteOptions, Name, QueueSpec, open};
use serde::{Deserialize, Serialize};

/// How many numbers are summed up, in ranges of how many, by how many clients at once.
const NUMBERS: u64 = 200_000;
const RANGE: u64 = 1_000;
const CLIENTS: u64 = 4;

/// The numbers `from..to` of the series of a seed.
#[derive(Debug, Serialize, Deserialize)]
struct Range {
    seed: u64,
    from: u64,
    to: u64,
}

/// Errors have types as well, and travel like results.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refused {
    Backwards,
    TooMany { most: u64 },
}

/// Any number of a series can be had without the others.
fn number(seed: u64, index: u64) -> u64 {
    fastrand::Rng::with_seed(seed.wrapping_add(index)).u32(..).into()
}

fn sum(range: Range) -> Result<u64, Refused> {
    match range.to.checked_sub(range.from) {
        None => Err(Refused::Backwards),
        Some(count) if count > RANGE => Err(Refused::TooMany { most: RANGE }),
        Some(_) => Ok((range.from..range.to).map(|index| number(range.seed, index)).sum()),
    }
}

/// That of a thread can be handed to the one that joins it.
type Failure = Box<dyn Error + Send + Sync>;

type Sums = Client<Range, u64, Refused>;
type Totals = Client<u64, u64>;

/// Has every fourth range computed and added to the total. Each call waits for its result: hence several clients.
fn take_share(client: u64, seed: u64, sums: &Sums, totals: &Totals, deadline: Instant) -> Result<(), Failure> {
    for range in (client..NUMBERS / RANGE).step_by(CLIENTS as usize) {
        let part = sums.call(&Range { seed, from: range * RANGE, to: (range + 1) * RANGE }, deadline)?;
        totals.call(&part, deadline)?;
    }
    Ok(())
}

/// Calls that have no result, and what is known then.
fn fail(broker: &Arc<dyn Broker>, sums: &Sums, queue: &Name, deadline: Instant) -> Result<(), Failure> {
    let long = sums.call(&Range { seed: 0, from: 0, to: NUMBERS }, deadline);
    assert_eq!(long, Err(CallError::Handler(Refused::TooMany { most: RANGE })));
    let backwards = sums.call(&Range { seed: 0, from: 1, to: 0 }, deadline);
    assert_eq!(backwards, Err(CallError::Handler(Refused::Backwards)));

    // No server of a shared queue knows what the others have executed.
    let strict = Sums::new(broker.clone(), queue, ClientOptions::default().semantics(Semantics::AtMostOnce))?;
    let unsupported = strict.call(&Range { seed: 0, from: 0, to: 1 }, deadline);
    assert_eq!(unsupported, Err(CallError::Unsupported));

    // Whoever does not answer may be slow; where there is no queue, nobody has executed anything.
    let unserved = broker.declare_queue(&QueueSpec::anonymous(), deadline)?;
    let patient = Totals::new(broker.clone(), &unserved, ClientOptions::default())?;
    let unanswered = patient.call(&1, Instant::now() + Duration::from_secs(1));
    assert_eq!(unanswered, Err(CallError::Timeout));
    broker.delete_queue(&unserved, DeleteOptions::default(), deadline)?;
    let unroutable = patient.call(&1, deadline);
    assert_eq!(unroutable, Err(CallError::Unroutable));
    for error in [unanswered, unroutable].into_iter().filter_map(Result::err) {
        println!("{error}: it {} have been executed", if error.may_have_executed() { "may" } else { "can't" });
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or("memory:".to_owned());
    let seed: u64 = args.next().map_or(Ok(1), |text| text.parse())?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = open(&url, deadline)?;
    let run = UNIX_EPOCH.elapsed()?.as_nanos(); // so that it is nobody else's queue

    let queue = QueueSpec::named(Name::new(&format!("sums-{run}"))?).transient().exclusive();
    let start = |_| Server::start(broker.clone(), &queue, ServerOptions::default().shared(), sum);
    let mut servers: Vec<Server> = (0..3).map(start).collect::<Result<_, _>>()?;
    let total = AtomicU64::new(0);
    let add = move |part: u64| Ok::<_, NoError>(total.fetch_add(part, Ordering::Relaxed) + part);
    let adder = Server::start(broker.clone(), &QueueSpec::anonymous(), ServerOptions::default(), add)?;

    // Any number of threads may call by the same client.
    let sums = Sums::new(broker.clone(), servers[0].queue(), ClientOptions::default())?; // at least once
    let once = ClientOptions::default().semantics(Semantics::AtMostOnce);
    let totals = Totals::new(broker.clone(), adder.queue(), once)?;
    thread::scope(|scope| -> Result<(), Failure> {
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let (sums, totals) = (&sums, &totals);
            let share = move || take_share(client, seed, sums, totals, deadline);
            clients.push(thread::Builder::new().name(format!("client {client}")).spawn_scoped(scope, share)?);
        }
        // A server may leave in the middle: it finishes what it has in hand, and the others take the rest.
        servers.remove(0).stop(deadline)?;
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })?;
    let answer = totals.call(&0, deadline)?;
    println!("the sum is {answer}, in {} parts", NUMBERS / RANGE);
    assert_eq!(answer, (0..NUMBERS).map(|index| number(seed, index)).sum::<u64>());
    assert_eq!(adder.stats().executed, NUMBERS / RANGE + 1, "each part is added once");

    fail(&broker, &sums, servers[0].queue(), deadline)?;
    servers.iter().chain([&adder]).try_for_each(|server| server.stop(deadline))?;
    broker.close(deadline)?;
    Ok(())
}
