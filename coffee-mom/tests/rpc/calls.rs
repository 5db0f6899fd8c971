//! Calls of one server: results and repetition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coffee_mom::faults::{FaultPlan, FaultyBroker};
use coffee_mom::rpc::{CallError, Client, ClientOptions, Limits, NoError, Semantics, Server, ServerOptions};
use coffee_mom::*;
use crossbeam_channel::bounded;

use crate::support::*;
use crate::{connect, half, impatient, insist, own_queue, shortly, unique};

pub fn results_and_errors_travel(url: &str) {
    let server = Server::start(connect(url), &own_queue(), ServerOptions::default(), half).unwrap();
    for semantics in [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce] {
        let options = ClientOptions::default().semantics(semantics);
        let client = Client::<i32, i32, String>::new(connect(url), server.queue(), options).unwrap();
        assert_eq!(client.call(&-8, soon()), Ok(-4));
        let failed = client.call(&7, soon()).unwrap_err();
        assert_eq!(failed, CallError::Handler("7 is odd".to_owned()));
        assert!(failed.may_have_executed());
        client.close(soon()).unwrap();
    }
    server.stop(soon()).unwrap();
}

pub fn panics_and_nonsense_are_answered(url: &str) {
    let broker = connect(url);
    let handler = |n: u32| -> Result<Vec<u32>, NoError> { Ok([1, 2, 3][n as usize..].to_vec()) };
    let server = Server::start(broker.clone(), &own_queue(), ServerOptions::default(), handler).unwrap();
    let options = ClientOptions::default().semantics(Semantics::AtMostOnce);
    let client = Client::<u32, Vec<u32>>::new(connect(url), server.queue(), options.clone()).unwrap();
    assert_eq!(client.call(&9, soon()), Err(CallError::Panicked));
    let texts = Client::<&str, Vec<u32>>::new(connect(url), server.queue(), options.clone()).unwrap();
    assert_eq!(texts.call(&"a text is no number", soon()), Err(CallError::Undecodable));
    let numbers = Client::<u32, (u64, String)>::new(connect(url), server.queue(), options.clone()).unwrap();
    let misread = numbers.call(&0, soon()).unwrap_err();
    assert!(matches!(misread, CallError::Reply(_)) && misread.may_have_executed());
    publish(&*broker, server.queue(), 0..3);
    assert_eq!(client.call(&1, soon()), Ok(vec![2, 3]));
    let stats = server.stats();
    assert_eq!((stats.foreign, stats.executed), (3, 4));
}

pub fn many_threads_share_a_client(url: &str) {
    let options = ServerOptions::default().workers(3);
    let server = Server::start(connect(url), &own_queue(), options, |n: u64| Ok::<_, NoError>(n * n)).unwrap();
    let options = ClientOptions::default().calls(5).semantics(Semantics::AtMostOnce);
    let client = Client::<u64, u64>::new(connect(url), server.queue(), options).unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for n in (0..100).map(|n| 1000 * thread + n) {
                    assert_eq!(client.call(&n, soon()), Ok(n * n));
                }
            });
        }
    });
    assert_eq!(server.stats().executed, 800);
}

pub fn a_call_that_nobody_serves_is_unroutable(url: &str) {
    let client = Client::<u32, u32>::new(connect(url), &unique("nobody"), ClientOptions::default()).unwrap();
    let error = client.call(&1, soon()).unwrap_err();
    assert_eq!(error, CallError::Unroutable);
    assert!(!error.may_have_executed());
}

pub fn maybe_is_one_try(url: &str) {
    let broker = connect(url);
    let queue = broker.declare_queue(&own_queue(), soon()).unwrap();
    let client = Client::<u32, u32>::new(connect(url), &queue, impatient(Semantics::Maybe)).unwrap();
    assert_eq!(client.call(&1, shortly()), Err(CallError::Timeout));
    assert_eq!((status(&*broker, &queue).ready, client.stats().retries), (1, 0));
}

pub fn at_least_once_is_executed_again(url: &str) {
    let (arrive, arrived) = bounded(100);
    let (let_go, go) = bounded::<()>(0);
    let handler = move |n: u32| {
        arrive.send(n).unwrap();
        let _ = go.recv();
        Ok::<_, NoError>(n)
    };
    let (broker, options) = (connect(url), ServerOptions::default().workers(2));
    let server = Server::start(broker.clone(), &own_queue(), options, handler).unwrap();
    let client = Client::<u32, u32>::new(connect(url), server.queue(), impatient(Semantics::AtLeastOnce)).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.call(&7, soon()));
        // The second execution is of a repetition: the first has not ended.
        assert_eq!((arrived.recv_deadline(soon()), arrived.recv_deadline(soon())), (Ok(7), Ok(7)));
        drop(let_go);
        assert_eq!(call.join().unwrap(), Ok(7));
    });
    server.stop(soon()).unwrap();
    // The queue is still there, so a call waits; meanwhile the replies to the repetitions have come.
    assert_eq!(client.call(&8, shortly()), Err(CallError::Timeout));
    assert!(server.stats().executed >= 2 && client.stats().unclaimed >= 1 && client.stats().retries >= 1);
}

pub fn at_most_once_is_executed_once(url: &str) {
    let (arrive, arrived) = bounded(100);
    let (let_go, go) = bounded::<()>(0);
    let handler = move |n: u32| {
        arrive.send(n).unwrap();
        let _ = go.recv();
        Ok::<_, NoError>(n + 1)
    };
    let options = ServerOptions::default().workers(2);
    let server = Server::start(connect(url), &own_queue(), options, handler).unwrap();
    let client = Client::<u32, u32>::new(connect(url), server.queue(), impatient(Semantics::AtMostOnce)).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.call(&7, soon()));
        assert_eq!(arrived.recv_deadline(soon()), Ok(7));
        while server.stats().repetitions < 3 {
            thread::yield_now();
        }
        drop(let_go);
        assert_eq!(call.join().unwrap(), Ok(8));
    });
    assert_eq!(server.stats().executed, 1);
    assert!(arrived.is_empty());
}

pub fn a_shared_server_refuses_at_most_once(url: &str) {
    let (one, two) = (connect(url), connect(url));
    let spec = QueueSpec::named(unique("shared"));
    let servers = [one.clone(), two].map(|broker| {
        Server::start(broker, &spec, ServerOptions::default().shared(), |n: u32| Ok::<_, NoError>(n)).unwrap()
    });
    let queue = servers[0].queue();
    let client = Client::<u32, u32>::new(connect(url), queue, impatient(Semantics::AtMostOnce)).unwrap();
    assert_eq!(client.call(&1, soon()), Err(CallError::Unsupported));
    let client = Client::<u32, u32>::new(connect(url), queue, ClientOptions::default()).unwrap();
    for n in 0..20 {
        assert_eq!(client.call(&n, soon()), Ok(n));
    }
    assert!(servers.iter().all(|server| server.stats().executed > 0));
    one.delete_queue(queue, DeleteOptions::default(), soon()).unwrap();
}

#[test]
fn calls_are_executed_once_over_a_broker_that_goes_wrong() {
    for seed in 0..10 {
        let world = MemoryBroker::new();
        let broker = |seed| -> Arc<dyn Broker> {
            let plan = FaultPlan::new(seed).duplicates(200).delays(200).disconnects(30).failures(30).nacks(50);
            Arc::new(FaultyBroker::new(Arc::new(world.connect()), plan))
        };
        let (executed, queue) = (Arc::new(AtomicU64::new(0)), QueueSpec::named(name("calls")));
        let count = executed.clone();
        let handler = move |n: u64| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, NoError>(n)
        };
        let (ours, theirs) = (broker(2 * seed), broker(2 * seed + 1));
        let options = ServerOptions::default().workers(2);
        let server = insist(|| Server::start(ours.clone(), &queue, options.clone(), handler.clone()));
        let options = impatient(Semantics::AtMostOnce);
        let client = insist(|| Client::<u64, u64>::new(theirs.clone(), server.queue(), options.clone()));
        for n in 0..50 {
            assert_eq!(client.call(&n, soon()), Ok(n));
        }
        assert_eq!(executed.load(Ordering::Relaxed), 50);
        server.stop(soon()).unwrap();
    }
}

#[test]
fn what_is_not_kept_is_not_executed_again() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let mut limits = Limits::default();
    limits.replies = 1;
    let handler = |n: u64| Ok::<_, NoError>(n);
    let options = ServerOptions::default().limits(limits);
    let server = Server::start(broker.clone(), &own_queue(), options, handler).unwrap();
    // A client whose requests are seen on their way, and sent again later.
    let spied = broker.declare_queue(&own_queue(), soon()).unwrap();
    let client =
        Client::<u64, u64>::new(broker.clone(), &spied, ClientOptions::default().semantics(Semantics::AtMostOnce));
    let client = client.unwrap();
    let mut spy = consumer(&*broker, &spied, 10);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let mut pass_on = |message: &Message| {
        producer.publish(&Route::queue(server.queue()), message.clone(), soon()).unwrap();
        producer.settled().recv_deadline(soon()).unwrap();
    };
    thread::scope(|scope| {
        // The first is kept from its server, so that it stays open.
        let first = scope.spawn(|| client.call(&1, soon()));
        let request = take(&*spy);
        spy.ack(request.tag).unwrap();
        let mut lost = request.message.clone();
        let deaf = broker.declare_queue(&own_queue(), soon()).unwrap();
        let aside = lost.properties().clone().reply_to(deaf.as_str());
        lost = lost.with(aside);
        pass_on(&lost);
        let second = scope.spawn(|| client.call(&2, soon()));
        let next = take_other(&mut *spy, &request.message);
        pass_on(&next);
        assert_eq!(second.join().unwrap(), Ok(2));
        pass_on(&request.message);
        assert_eq!(first.join().unwrap(), Err(CallError::Forgotten));
    });
    assert_eq!(server.stats().executed, 2);
}

/// The next request that is not a repetition of `known`.
fn take_other(spy: &mut dyn Consumer, known: &Message) -> Message {
    loop {
        let delivery = take(spy);
        spy.ack(delivery.tag).unwrap();
        if delivery.message.properties().message_id != known.properties().message_id {
            return delivery.message;
        }
    }
}
