//! A work queue: several workers compete for the tasks of one queue; each task is done by one of them.
//!
//! A worker that dies in the middle loses nothing: what it has not acked goes to another.
//!
//! ```text
//! cargo run --example work_queue -- [URL]    memory: without one; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::{
    ConsumerOptions, Delivery, Endpoint, EndpointOptions, Message, MessageMiddleware, Name, QueueSpec, Verdict, open,
};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("memory:".to_owned());
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = open(&url, deadline)?;
    let run = UNIX_EPOCH.elapsed()?.as_nanos(); // so that it is nobody else's queue
    let queue = QueueSpec::named(Name::new(&format!("beans-to-roast-{run}"))?).transient().exclusive();

    // One task at a time for each worker, so that a fast one does more.
    let one_at_a_time = EndpointOptions::default().consumer(ConsumerOptions::default().prefetch(1.try_into()?));
    let (report, reports) = mpsc::channel();
    let mut workers = Vec::new();
    for worker in ["Ana", "Beto", "Caro"] {
        let endpoint = Endpoint::queue(Arc::clone(&broker), &queue, one_at_a_time.clone())?;
        let report = report.clone();
        let mut clumsy = worker == "Ana";
        let roast = move |task: &Delivery| {
            if std::mem::take(&mut clumsy) {
                return Verdict::Requeue; // dropped it: another, or the same, will do it
            }
            let kilos = task.message.body.len();
            if report.send((worker, kilos)).is_ok() { Verdict::Ack } else { Verdict::Requeue }
        };
        endpoint.start_consuming(Box::new(roast), deadline)?;
        workers.push(endpoint);
    }

    let roastery = Endpoint::queue(broker, &queue, EndpointOptions::default())?;
    for kilos in 1..=20 {
        roastery.send(Message::new(vec![b'*'; kilos]), deadline)?;
    }

    let mut roasted = Vec::new();
    while roasted.len() < 20 {
        let (worker, kilos) = reports.recv_timeout(deadline - Instant::now())?;
        println!("{worker} has roasted {kilos} kg");
        roasted.push(kilos);
    }
    for worker in workers {
        worker.shutdown(deadline)?;
    }
    roasted.sort_unstable();
    if roasted != (1..=20).collect::<Vec<_>>() {
        return Err(format!("each task is to be done once: {roasted:?}").into());
    }
    roastery.delete(deadline)?;
    Ok(())
}
