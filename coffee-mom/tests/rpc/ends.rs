//! How servers and clients end, and what they leave.

use std::thread;
use std::time::Instant;

use coffee_mom::rpc::{CallError, Client, ClientOptions, NoError, Server, ServerOptions, SetupError};
use coffee_mom::*;
use crossbeam_channel::bounded;

use crate::support::*;
use crate::{connect, half, own_queue, shortly, unique};

pub fn a_stop_finishes_what_is_in_hand(url: &str) {
    let broker = connect(url);
    let spec = QueueSpec::named(unique("stopping"));
    let (arrive, arrived) = bounded(10);
    let (let_go, go) = bounded::<()>(0);
    let slow = move |n: u32| {
        arrive.send(n).unwrap();
        let _ = go.recv();
        Ok::<_, NoError>(n)
    };
    let options = ServerOptions::default().in_hand(1.try_into().unwrap());
    let server = Server::start(broker.clone(), &spec, options, slow).unwrap();
    let client = Client::<u32, u32>::new(connect(url), server.queue(), ClientOptions::default()).unwrap();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..3)
            .map(|n| {
                scope.spawn({
                    let client = &client;
                    move || client.call(&n, soon())
                })
            })
            .collect();
        arrived.recv_deadline(soon()).unwrap();
        assert_eq!(server.stop(shortly()), Err(StopError::Deadline));
        drop(let_go);
        while status(&*broker, server.queue()).consumers > 0 {
            thread::yield_now();
        }
        // What was not taken, and what was not replied to in time, is served by the next.
        let next =
            Server::start(broker.clone(), &spec, ServerOptions::default(), |n: u32| Ok::<_, NoError>(n)).unwrap();
        for (n, call) in (0..).zip(calls) {
            assert_eq!(call.join().unwrap(), Ok(n));
        }
        next.stop(soon()).unwrap();
    });
    broker.delete_queue(server.queue(), DeleteOptions::default(), soon()).unwrap();
}

pub fn a_queue_has_one_server_unless_it_is_shared(url: &str) {
    let broker = connect(url);
    let spec = QueueSpec::named(unique("alone")).exclusive();
    let server = Server::start(broker.clone(), &spec, ServerOptions::default(), half).unwrap();
    let second = Server::start(broker.clone(), &spec, ServerOptions::default(), half).err().unwrap();
    assert!(matches!(second, SetupError::Attach(AttachError::InUse(queue)) if queue == *server.queue()));
    server.stop(soon()).unwrap();
    server.stop(soon()).unwrap();
}

pub fn a_closed_client_tells_those_who_wait(url: &str) {
    let (broker, (arrive, arrived)) = (connect(url), bounded(1));
    let queue = broker.declare_queue(&own_queue(), soon()).unwrap();
    let client = Client::<u32, u32>::new(connect(url), &queue, ClientOptions::default()).unwrap();
    let mut consumer = consumer(&*broker, &queue, 1);
    thread::scope(|scope| {
        let call = scope.spawn(|| client.call(&1, soon()));
        let request = take(&*consumer);
        consumer.ack(request.tag).unwrap();
        arrive.send(()).unwrap();
        client.close(soon()).unwrap();
        assert_eq!(call.join().unwrap(), Err(CallError::Closed));
    });
    arrived.recv_deadline(soon()).unwrap();
    assert_eq!(client.call(&2, soon()), Err(CallError::Closed));
}

pub fn a_dropped_client_leaves_no_queue(url: &str) {
    let broker = connect(url);
    let queue = broker.declare_queue(&own_queue(), soon()).unwrap();
    let mut requests = consumer(&*broker, &queue, 1);
    let client = Client::<u32, u32>::new(broker.clone(), &queue, ClientOptions::default()).unwrap();
    assert_eq!(client.call(&1, shortly()), Err(CallError::Timeout));
    let request = take(&*requests);
    let replies = name(request.message.properties().reply_to.as_deref().unwrap());
    assert_eq!(status(&*broker, &replies).consumers, 1);
    drop(client);
    assert_eq!(broker.queue_status(&replies, soon()), Err(AttachError::UnknownQueue(replies)));
    requests.close(soon()).unwrap();
}

pub fn a_server_says_why_it_has_ended(url: &str) {
    let broker = connect(url);
    let server = Server::start(broker.clone(), &own_queue(), ServerOptions::default(), half).unwrap();
    assert_eq!(server.ended(), None);
    broker.delete_queue(server.queue(), DeleteOptions::default(), soon()).unwrap();
    while server.ended().is_none() {
        assert!(Instant::now() < soon());
        thread::yield_now();
    }
    assert_eq!(server.ended(), Some(ConsumerEnd::QueueDeleted));
    let stopped = Server::start(broker, &own_queue(), ServerOptions::default(), half).unwrap();
    stopped.stop(soon()).unwrap();
    assert_eq!(stopped.ended(), None);
}
