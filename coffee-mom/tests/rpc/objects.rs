//! Objects that are called while they move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use coffee_mom::faults::{FaultPlan, FaultyBroker};
use coffee_mom::rpc::objects::{self, Host, HostOptions, InsertError, MoveError, Object};
use coffee_mom::rpc::{CallError, ClientOptions, NoError, Semantics};
use coffee_mom::*;
use serde::{Deserialize, Serialize, Serializer};

use crate::support::*;
use crate::{connect, impatient, insist, own_queue, shortly, unique};

/// Counts what is added to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Counter(u64);

impl Object for Counter {
    type Request = u64;
    type Response = u64;
    type Error = NoError;

    fn call(&mut self, add: u64) -> Result<u64, NoError> {
        self.0 += add;
        Ok(self.0)
    }
}

const OBJECTS: usize = 6;
const CLIENTS: u64 = 4;
const MOVES: u64 = 200;

/// Numbers below `limit` that a seed decides.
fn draws(seed: u64, limit: usize) -> impl FnMut() -> usize {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    }
}

/// Clients add 1 to counters at random while those move between three hosts, a few hundred times.
fn count_while_moving(mut broker: impl FnMut() -> Arc<dyn Broker>) {
    let space = unique("counters");
    let options = HostOptions::default().retry(Duration::from_millis(5));
    let hosts: Vec<_> = (0..3).map(|_| insist(|| Host::<Counter>::start(broker(), &space, options.clone()))).collect();
    let ids: Vec<_> = (0..OBJECTS).map(|n| format!("counter {n}")).collect();
    for id in &ids {
        insist(|| {
            hosts[0].insert(id, Counter(0), soon()).or_else(|e| if e == InsertError::Exists { Ok(()) } else { Err(e) })
        });
    }
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let options = impatient(Semantics::AtMostOnce);
            insist(|| objects::Client::<Counter>::new(broker(), &space, options.clone()))
        })
        .collect();
    let moving = AtomicBool::new(true);
    let added: Vec<u64> = thread::scope(|scope| {
        let counting: Vec<_> = clients
            .iter()
            .zip(1..)
            .map(|(client, seed)| {
                let (ids, moving) = (&ids, &moving);
                scope.spawn(move || {
                    let mut object = draws(seed, OBJECTS);
                    let mut added = vec![0; OBJECTS];
                    while moving.load(Ordering::Relaxed) {
                        let object = object();
                        client.call(&ids[object], &1, soon()).unwrap();
                        added[object] += 1;
                    }
                    added
                })
            })
            .collect();
        let mut place = [0; OBJECTS];
        let (mut object, mut host) = (draws(100, OBJECTS), draws(200, 2));
        for _ in 0..MOVES {
            let object = object();
            let to = (place[object] + 1 + host()) % 3;
            hosts[place[object]].move_to(&ids[object], hosts[to].address(), soon()).unwrap();
            place[object] = to;
        }
        moving.store(false, Ordering::Relaxed);
        let added: Vec<_> = counting.into_iter().map(|counts| counts.join().unwrap()).collect();
        (0..OBJECTS).map(|object| added.iter().map(|counts| counts[object]).sum()).collect()
    });
    for (id, added) in ids.iter().zip(&added) {
        assert_eq!(clients[0].call(id, &0, soon()), Ok(*added), "{id}");
    }
    println!("{} calls while {MOVES} moves", added.iter().sum::<u64>());
    insist(|| broker().delete_exchange(&space, soon()));
}

pub fn objects_move_while_they_are_called(url: &str) {
    count_while_moving(|| connect(url));
}

#[test]
fn objects_are_called_once_over_a_broker_that_goes_wrong() {
    let world = MemoryBroker::new();
    let mut seed = 0;
    count_while_moving(|| {
        seed += 1;
        let plan = FaultPlan::new(seed).duplicates(100).delays(100).disconnects(5).failures(5).nacks(20);
        Arc::new(FaultyBroker::new(Arc::new(world.connect()), plan))
    });
}

pub fn objects_stay_if_there_is_no_other_host(url: &str) {
    let space = unique("alone");
    let broker = connect(url);
    let host = Host::<Counter>::start(broker.clone(), &space, HostOptions::default()).unwrap();
    host.insert("a", Counter(1), soon()).unwrap();
    assert_eq!(host.move_to("a", &unique("no host"), soon()), Err(MoveError::Unroutable));
    let client = objects::Client::<Counter>::new(connect(url), &space, ClientOptions::default()).unwrap();
    assert_eq!(client.call("a", &1, soon()), Ok(2));
    // A queue that nobody serves may be a host that is slow.
    let silent = broker.declare_queue(&own_queue(), soon()).unwrap();
    assert_eq!(host.move_to("a", &silent, shortly()), Err(MoveError::InDoubt));
    assert_eq!(client.call("a", &1, shortly()), Err(CallError::Timeout));
    assert_eq!(host.move_to("a", host.address(), soon()), Err(MoveError::Moving));
    host.stop(soon()).unwrap();
    assert_eq!(host.move_to("a", &silent, soon()), Err(MoveError::Closed));
    broker.delete_exchange(&space, soon()).unwrap();
}

pub fn objects_have_one_place(url: &str) {
    let space = unique("places");
    let broker = connect(url);
    let hosts = [(); 2].map(|()| Host::<Counter>::start(connect(url), &space, HostOptions::default()).unwrap());
    hosts[0].insert("a", Counter(1), soon()).unwrap();
    assert_eq!(hosts[0].insert("a", Counter(2), soon()), Err(InsertError::Exists));
    assert_eq!(hosts[1].move_to("a", hosts[0].address(), soon()), Err(MoveError::UnknownObject));
    hosts[0].move_to("a", hosts[1].address(), soon()).unwrap();
    hosts[0].move_to("a", hosts[1].address(), soon()).unwrap();
    hosts[1].move_to("a", hosts[1].address(), soon()).unwrap();
    let client = objects::Client::<Counter>::new(connect(url), &space, ClientOptions::default()).unwrap();
    assert_eq!(client.call("a", &1, soon()), Ok(2));
    assert_eq!(client.call("b", &1, soon()), Err(CallError::Unroutable));
    let long = "x".repeat(256);
    assert_eq!(client.call(&long, &1, soon()), Err(CallError::ObjectId(NameError::TooLong(256))));
    broker.delete_exchange(&space, soon()).unwrap();
}

pub fn a_dropped_host_leaves_no_queue(url: &str) {
    let (space, broker) = (unique("dropped"), connect(url));
    let host = Host::<Counter>::start(broker.clone(), &space, HostOptions::default()).unwrap();
    let address = host.address().clone();
    assert_eq!(status(&*broker, &address).consumers, 1);
    drop(host);
    assert_eq!(broker.queue_status(&address, soon()), Err(AttachError::UnknownQueue(address)));
    broker.delete_exchange(&space, soon()).unwrap();
}

pub fn a_host_says_why_it_has_ended(url: &str) {
    let (space, broker) = (unique("ended"), connect(url));
    let host = Host::<Counter>::start(broker.clone(), &space, HostOptions::default()).unwrap();
    assert_eq!(host.ended(), None);
    broker.delete_queue(host.address(), DeleteOptions::default(), soon()).unwrap();
    // It closes its end of the orders when it has ended.
    while host.move_to("a", &space, soon()) != Err(MoveError::Closed) {}
    assert_eq!(host.ended(), Some(ConsumerEnd::QueueDeleted));
    broker.delete_exchange(&space, soon()).unwrap();
}

/// Two hosts, and an offer of the object `x` to the second that the broker may repeat. The object was
/// there, and is back at the first.
struct Repeated {
    broker: Arc<dyn Broker>,
    space: Name,
    hosts: [Host<Counter>; 2],
    client: objects::Client<Counter>,
    producer: Box<dyn Producer>,
    offer: Message,
}

impl Repeated {
    fn new(options: &HostOptions) -> Self {
        let (broker, space): (Arc<dyn Broker>, _) = (Arc::new(MemoryBroker::new()), name("space"));
        let hosts = [(); 2].map(|()| Host::start(broker.clone(), &space, options.clone()).unwrap());
        hosts[0].insert("x", Counter(0), soon()).unwrap();
        let seen = broker.declare_queue(&own_queue(), soon()).unwrap();
        let spy = consumer(&*broker, &seen, 1);
        assert_eq!(hosts[0].move_to("x", &seen, shortly()), Err(MoveError::InDoubt));
        let offer = take(&*spy).message;
        let client = objects::Client::new(broker.clone(), &space, ClientOptions::default()).unwrap();
        let producer = broker.producer(ProducerOptions::default()).unwrap();
        let mut all = Self { broker, space, hosts, client, producer, offer };
        all.offer_again();
        assert_eq!(all.client.call("x", &1, soon()), Ok(1));
        all.hosts[1].move_to("x", all.hosts[0].address(), soon()).unwrap();
        all
    }

    fn send(&mut self, message: Message) {
        self.producer.publish(&Route::queue(self.hosts[1].address()), message, soon()).unwrap();
    }

    fn offer_again(&mut self) {
        self.send(self.offer.clone());
        self.wait_for_second();
    }

    /// Until the second host has handled all that it was sent: it answers a call to an object that never was.
    fn wait_for_second(&mut self) {
        let replies = self.broker.declare_queue(&own_queue(), soon()).unwrap();
        let answers = consumer(&*self.broker, &replies, 1);
        let headers = [("rpc-semantics", "at-most-once"), ("rpc-caller", "test"), ("rpc-object", "nothing")];
        let call = Properties::default().correlation_id("0").reply_to(replies.as_str()).header("rpc-low", 0);
        let call = headers.into_iter().fold(call, |call, (header, text)| call.header(header, text));
        self.send(Message::new(vec![]).with(call));
        take(&*answers);
    }
}

#[test]
fn a_repeated_offer_revives_nothing() {
    let mut options = HostOptions::default();
    options.traces = 2;
    let mut all = Repeated::new(&options);
    // Only two objects, so both are known, however often one of them moves.
    let [a, b] = &all.hosts;
    a.insert("y", Counter(0), soon()).unwrap();
    for _ in 0..3 {
        a.move_to("y", b.address(), soon()).unwrap();
        b.move_to("y", a.address(), soon()).unwrap();
    }
    all.offer_again();
    for n in 2..8 {
        assert_eq!(all.client.call("x", &1, soon()), Ok(n));
    }
}

#[test]
fn a_repeated_offer_is_not_taken_while_a_later_one_waits() {
    let mut all = Repeated::new(&HostOptions::default().retry(Duration::from_secs(60)));
    // So that the second host can't have calls led to it.
    all.broker.delete_exchange(&all.space, soon()).unwrap();
    assert_eq!(all.hosts[0].move_to("x", all.hosts[1].address(), shortly()), Err(MoveError::InDoubt));
    all.wait_for_second();
    all.broker.declare_exchange(&ExchangeSpec::new(all.space.clone(), ExchangeKind::Direct), soon()).unwrap();
    all.offer_again();
    assert_eq!(all.client.call("x", &1, soon()), Err(CallError::Unroutable));
}

/// A state that can't be sent.
#[derive(Deserialize)]
struct Rock;

impl Serialize for Rock {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("planned")
    }
}

impl Object for Rock {
    type Request = u64;
    type Response = u64;
    type Error = NoError;

    fn call(&mut self, n: u64) -> Result<u64, NoError> {
        Ok(n)
    }
}

#[test]
fn an_encoder_that_panics_takes_no_object_along() {
    let (broker, space): (Arc<dyn Broker>, _) = (Arc::new(MemoryBroker::new()), name("space"));
    let host = Host::start(broker.clone(), &space, HostOptions::default()).unwrap();
    ["x", "y"].into_iter().for_each(|id| host.insert(id, Rock, soon()).unwrap());
    assert!(matches!(host.move_to("x", &name("elsewhere"), soon()), Err(MoveError::Encode(_))));
    let client = objects::Client::<Rock>::new(broker, &space, ClientOptions::default()).unwrap();
    assert_eq!(["x", "y"].map(|id| client.call(id, &1, soon())), [Ok(1), Ok(1)]);
}
