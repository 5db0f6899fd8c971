//! A mess by chance: consumers and connections that die, stop, pause and ack late. Nothing confirmed is
//! lost, what is repeated says so, order holds where it is promised, no thread is left.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;

use crate::random::Random;

use super::super::census;
use super::super::steps::*;

const SEEDS: [u64; 3] = [1, 2, 3];
const PUBLISHERS: u64 = 2;
const EACH: u64 = 700;
const CONSUMERS: u64 = 3;

/// A consumer that gets nothing for so long ends its life: others may hold all that is left.
const BOREDOM: Duration = Duration::from_millis(20);

/// What was acked, by number: the message id. Drops `done` with the last.
struct Acked {
    ids: BTreeMap<u64, Option<String>>,
    done: Option<Sender<()>>,
}

impl Acked {
    fn add(&mut self, delivery: &Delivery) -> Verified {
        let number = number(delivery)?;
        let id = delivery.message.properties().message_id.clone();
        ensure!(id.is_some(), "{number} has lost its message id");
        if let Some(before) = self.ids.insert(number, id.clone()) {
            ensure!(delivery.redelivered, "{number} came twice and does not say so");
            ensure_eq!(id, before, "the message id of a repeated delivery");
        }
        if self.ids.len() as u64 == PUBLISHERS * EACH {
            self.done = None;
        }
        Ok(())
    }
}

pub(in super::super) fn a_mess(subject: &dyn Subject) -> Verified {
    SEEDS.into_iter().try_for_each(|seed| {
        nothing_is_lost(subject, seed)?;
        order_is_kept(subject, seed)
    })
}

fn nothing_is_lost(subject: &dyn Subject, seed: u64) -> Verified {
    let broker = subject.connect()?;
    let spec = QueueSpec::named(subject.name("soak")?).bounded(100, 1 << 20);
    let queue = declare(&*broker, &spec)?;
    let (done, is_done) = bounded(0);
    let acked = Mutex::new(Acked { ids: BTreeMap::new(), done: Some(done) });
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for publisher in 0..PUBLISHERS {
            let sender = endpoint(&broker, &spec, EndpointOptions::default())?;
            threads.push(scope.spawn(move || {
                (publisher * EACH..(publisher + 1) * EACH).try_for_each(|number| {
                    let message = body(number).with(Properties::default().message_id(format!("id {number}")));
                    Ok(sender.send(message, soon())?)
                })
            }));
        }
        for who in 0..CONSUMERS {
            let (broker, queue, acked, is_done) = (&*broker, &queue, &acked, &is_done);
            threads.push(scope.spawn(move || {
                let mut chance = Random::new(seed * 1000 + who);
                let end = soon();
                while live(subject, broker, queue, &mut chance, acked, is_done)? {
                    ensure!(std::time::Instant::now() < end, "{} acked by the deadline", acked.lock().ids.len());
                }
                Ok(())
            }));
        }
        threads.into_iter().map(joined).collect::<Result<Vec<()>, _>>()
    })?;
    ensure_eq!(acked.into_inner().ids.len() as u64, PUBLISHERS * EACH, "messages acked");
    // Those that were acked by a connection that died may be there once more.
    Ok(())
}

/// One life of a consumer: takes some, acks, nacks or keeps them, pauses, and ends one way or another.
/// False when all is done.
fn live(
    subject: &dyn Subject,
    shared: &dyn Broker,
    queue: &Name,
    chance: &mut Random,
    acked: &Mutex<Acked>,
    done: &Receiver<()>,
) -> Result<bool, Failure> {
    let own = if chance.below(4) == 0 { Some(subject.connect()?) } else { None };
    let mut consumer = consumer(own.as_deref().unwrap_or(shared), queue, 1 + chance.below(30) as u16)?;
    let mut late = Vec::new();
    for _ in 0..chance.below(100) {
        let delivery = select! {
            recv(consumer.deliveries()) -> delivery => delivery?,
            recv(done) -> _ => return Ok(false),
            default(BOREDOM) => break,
        };
        match chance.below(10) {
            0 => consumer.nack(delivery.tag, Nack::Requeue)?,
            1 => {}
            2 => late.push(delivery),
            3 => {
                consumer.pause()?;
                late.push(delivery);
                consumer.resume()?;
            }
            _ => settle(&mut *consumer, &delivery, acked)?,
        }
    }
    late.iter().try_for_each(|delivery| settle(&mut *consumer, delivery, acked))?;
    match (chance.below(3), own) {
        (0, _) => consumer.close(soon())?,
        (1, Some(own)) => own.close(soon())?,
        _ => {}
    }
    Ok(true)
}

fn settle(consumer: &mut dyn Consumer, delivery: &Delivery, acked: &Mutex<Acked>) -> Verified {
    // Under the lock, as another consumer could be heard of before this one.
    let mut acked = acked.lock();
    consumer.ack(delivery.tag)?;
    acked.add(delivery)
}

/// What has come of one key.
#[derive(Default)]
struct Order {
    /// The highest number that came for the first time.
    newest: Option<u64>,
    seen: BTreeSet<u64>,
    broken: Option<String>,
}

impl Order {
    /// First deliveries come in order; what was in the hands of a consumer that stopped comes again
    /// at any time.
    fn handle(&mut self, number: u64, redelivered: bool) {
        if !redelivered {
            if self.newest >= Some(number) {
                self.broken.get_or_insert(format!("{number} after {:?}", self.newest));
            }
            self.newest = self.newest.max(Some(number));
        }
        self.seen.insert(number);
    }
}

/// One key: a queue of a single active consumer, whose consumers stop and start by chance.
fn order_is_kept(subject: &dyn Subject, seed: u64) -> Verified {
    const ALL: u64 = 500;
    let spec = QueueSpec::named(subject.name("order")?).single_active();
    let order = Arc::new(Mutex::new(Order::default()));
    let (progress, progressed) = bounded(16 * ALL as usize);
    let handler = || {
        let (order, progress) = (order.clone(), progress.clone());
        Box::new(move |delivery: &Delivery| {
            let Ok(number) = number(delivery) else { return Verdict::DeadLetter };
            let mut order = order.lock();
            order.handle(number, delivery.redelivered);
            let told = progress.try_send(order.seen.len() as u64).is_ok();
            if told { Verdict::Ack } else { Verdict::Requeue }
        })
    };
    let options = EndpointOptions::default().consumer(ConsumerOptions::default().prefetch(20.try_into()?));
    let members = (0..3)
        .map(|_| {
            let member = endpoint(&subject.connect()?, &spec, options.clone())?;
            member.start_consuming(handler(), soon())?;
            Ok(member)
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    // Or it would mean nothing that none is left in the end.
    let told = census::threads() > 0;
    eventually(
        "each member has a consuming thread",
        soon(),
        || Ok(!told || consuming_threads(&spec) >= members.len()),
    )?;
    let sender = endpoint(&subject.connect()?, &spec, options)?;
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&*sender, 0..ALL));
        let mut chance = Random::new(seed);
        let mut next = 0;
        while next < ALL {
            for _ in 0..chance.below(60) {
                if next < ALL {
                    next = progressed.recv_deadline(soon())?;
                }
            }
            let member = &members[chance.below(3)];
            member.stop_consuming(soon())?;
            member.start_consuming(handler(), soon())?;
        }
        joined(sending)
    })?;
    for member in members.iter().chain([&sender]) {
        member.close(soon())?;
    }
    if let Some(broken) = &order.lock().broken {
        return Err(Failure::new(format_args!("out of order: {broken}")));
    }
    eventually("no consuming thread is left", soon(), || Ok(consuming_threads(&spec) == 0))
}

/// The system keeps 15 bytes of a thread's name: `consume `, then the number that the queue's begins with.
fn consuming_threads(spec: &QueueSpec) -> usize {
    let queue = spec.name.as_ref().map_or("", |name| name.as_str());
    let prefix: String = format!("consume {queue}").chars().take(15).collect();
    census::thread_names().iter().filter(|name| name.starts_with(&prefix)).count()
}
