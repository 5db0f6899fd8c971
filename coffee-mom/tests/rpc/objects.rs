//! Objects that are called while they move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use coffee_mom::faults::{FaultPlan, FaultyBroker};
use coffee_mom::rpc::objects::{self, Host, HostOptions, InsertError, MoveError, Object};
use coffee_mom::rpc::{CallError, ClientOptions, NoError, Semantics};
use coffee_mom::*;
use serde::{Deserialize, Serialize};

use crate::support::*;
use crate::{connect, impatient, insist, own_queue, shortly, unique};

/// Counts what is added to it.
#[derive(Debug, Serialize, Deserialize)]
struct Counter(u64);

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
