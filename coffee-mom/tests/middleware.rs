//! The promises of `MessageMiddleware`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffee_mom::*;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use support::*;

fn work(broker: &Arc<dyn Broker>, spec: &QueueSpec) -> Arc<Endpoint> {
    Arc::new(Endpoint::queue(broker.clone(), spec, EndpointOptions::default()).unwrap())
}

fn plain(broker: &Arc<dyn Broker>) -> Arc<Endpoint> {
    work(broker, &QueueSpec::named(name("queue")))
}

/// Tells of each call, and acks.
struct Tell(Sender<Event>);

#[derive(Debug, PartialEq)]
enum Event {
    Message(u64, bool),
    End(ConsumerEnd),
}

impl Handler for Tell {
    fn on_message(&mut self, delivery: &Delivery) -> Verdict {
        self.0.send(Event::Message(number(delivery), delivery.redelivered)).unwrap();
        Verdict::Ack
    }

    fn on_end(&mut self, end: ConsumerEnd) {
        self.0.send(Event::End(end)).unwrap();
    }
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_deadline(soon()).unwrap()
}

fn send(endpoint: &Endpoint, numbers: std::ops::Range<u64>) {
    numbers.for_each(|n| endpoint.send(body(n), soon()).unwrap());
}

#[test]
fn what_is_sent_is_handled_until_the_stop() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    let (tell, events) = unbounded();
    endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
    send(&endpoint, 0..100);
    for n in 0..100 {
        assert_eq!(next(&events), Event::Message(n, false));
    }
    endpoint.stop_consuming(soon()).unwrap();
    assert_eq!(next(&events), Event::End(ConsumerEnd::Closed));
    send(&endpoint, 100..101);
    assert!(events.is_empty());
    assert_eq!(status(&*broker, &name("queue")).ready, 1);
}

#[test]
fn stop_and_start_in_any_number_lose_nothing() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    endpoint.stop_consuming(soon()).unwrap();
    let (tell, events) = unbounded();
    for n in 0..100 {
        endpoint.start_consuming(Box::new(Tell(tell.clone()))).unwrap();
        let second = endpoint.start_consuming(Box::new(Tell(tell.clone())));
        assert!(matches!(second, Err(StartError::Consuming)));
        send(&endpoint, n..n + 1);
        endpoint.stop_consuming(soon()).unwrap();
        endpoint.stop_consuming(soon()).unwrap();
    }
    endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
    let mut expected = 0;
    while expected < 100 {
        if let Event::Message(n, _) = next(&events) {
            assert_eq!(n, expected);
            expected += 1;
        }
    }
}

#[test]
fn a_stop_from_within_the_callback_keeps_its_verdict() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    send(&endpoint, 0..3);
    let (tell, told) = unbounded();
    let inner = endpoint.clone();
    endpoint
        .start_consuming(Box::new(move |delivery: &Delivery| {
            inner.stop_consuming(soon()).unwrap();
            tell.send(number(delivery)).unwrap();
            Verdict::Ack
        }))
        .unwrap();
    assert_eq!(told.recv_deadline(soon()), Ok(0));
    endpoint.stop_consuming(soon()).unwrap();
    assert!(told.is_empty());
    assert_eq!(status(&*broker, &name("queue")).ready, 2);
    assert_eq!(number(&take(&*consumer(&*broker, &name("queue"), 1))), 1);
}

#[test]
fn a_stop_waits_for_the_callback_in_hand_until_the_deadline() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    send(&endpoint, 0..1);
    let (entered, has_entered) = bounded(1);
    let (leave, may_leave) = bounded::<()>(1);
    endpoint
        .start_consuming(Box::new(move |_: &Delivery| {
            entered.send(()).unwrap();
            may_leave.recv_deadline(soon()).unwrap();
            Verdict::Ack
        }))
        .unwrap();
    has_entered.recv_deadline(soon()).unwrap();
    let short = Instant::now() + Duration::from_millis(10);
    assert_eq!(endpoint.stop_consuming(short), Err(StopError::Deadline));
    leave.send(()).unwrap();
    endpoint.stop_consuming(soon()).unwrap();
    assert_eq!(status(&*broker, &name("queue")), QueueStatus::default());
}

#[test]
fn several_threads_may_close_at_once_while_a_callback_runs() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    let (tell, events) = unbounded();
    endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
    send(&endpoint, 0..1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| endpoint.close(soon()).unwrap());
        }
    });
    assert_eq!(endpoint.send(body(0), soon()), Err(SendError::Closed));
    let started = endpoint.start_consuming(Box::new(|_: &Delivery| Verdict::Ack));
    assert!(matches!(started, Err(StartError::Closed)));
    assert_eq!(events.try_iter().last(), Some(Event::End(ConsumerEnd::Closed)));
}

#[test]
fn a_panic_requeues_once_and_then_dead_letters() {
    let [broker] = connections();
    let dead = broker.declare_queue(&QueueSpec::named(name("dead"))).unwrap();
    let spec = QueueSpec::named(name("queue")).dead_letter(Route::queue(&dead));
    let endpoint = work(&broker, &spec);
    send(&endpoint, 0..2);
    let (tell, told) = unbounded();
    endpoint
        .start_consuming(Box::new(move |delivery: &Delivery| {
            tell.send((number(delivery), delivery.redelivered)).unwrap();
            assert_ne!(number(delivery), 0, "poison, as the test wants it");
            Verdict::Ack
        }))
        .unwrap();
    assert_eq!(number(&take(&*consumer(&*broker, &dead, 1))), 0);
    endpoint.stop_consuming(soon()).unwrap();
    let mut told: Vec<_> = told.try_iter().collect();
    told.sort();
    assert_eq!(told[..2], [(0, false), (0, true)]);
    assert_eq!(status(&*broker, &name("queue")).ready, 0);
}

#[test]
fn verdicts_are_carried_out() {
    let [broker] = connections();
    let dead = broker.declare_queue(&QueueSpec::named(name("dead"))).unwrap();
    let spec = QueueSpec::named(name("queue")).dead_letter(Route::queue(&dead));
    let endpoint = work(&broker, &spec);
    endpoint
        .start_consuming(Box::new(
            |delivery: &Delivery| {
                if delivery.redelivered { Verdict::DeadLetter } else { Verdict::Requeue }
            },
        ))
        .unwrap();
    send(&endpoint, 5..6);
    assert_eq!(number(&take(&*consumer(&*broker, &dead, 1))), 5);
}

#[test]
fn paused_means_no_callback() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    let (tell, events) = unbounded();
    endpoint.pause();
    endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
    send(&endpoint, 0..10);
    assert!(events.is_empty());
    endpoint.resume();
    for n in 0..10 {
        assert_eq!(next(&events), Event::Message(n, false));
    }
}

#[test]
fn the_end_of_the_queue_is_heard_and_consuming_can_start_anew() {
    let [broker] = connections();
    let endpoint = plain(&broker);
    let (tell, events) = unbounded();
    endpoint.start_consuming(Box::new(Tell(tell.clone()))).unwrap();
    endpoint.delete().unwrap();
    endpoint.delete().unwrap();
    assert_eq!(next(&events), Event::End(ConsumerEnd::QueueDeleted));
    assert_eq!(endpoint.send(body(0), soon()), Err(SendError::Unroutable));
    endpoint.stop_consuming(soon()).unwrap();
    let gone = endpoint.start_consuming(Box::new(Tell(tell.clone())));
    assert!(matches!(gone, Err(StartError::Attach(AttachError::UnknownQueue(_)))));
    broker.declare_queue(&QueueSpec::named(name("queue"))).unwrap();
    endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
    send(&endpoint, 1..2);
    assert_eq!(next(&events), Event::Message(1, false));
}

#[test]
fn an_exchange_calls_back_by_its_bindings() {
    let [broker] = connections();
    let spec = ExchangeSpec::new(name("sales"), ExchangeKind::Topic);
    let endpoint = |bindings: &[Binding]| {
        let key = RoutingKey::new("sales.north").unwrap();
        let options = EndpointOptions::default();
        Endpoint::exchange(broker.clone(), &spec, key, bindings, options).unwrap()
    };
    let pattern = |text| Binding::Key(RoutingKey::new(text).unwrap());
    let sender = endpoint(&[]);
    let north = endpoint(&[pattern("*.north")]);
    let south = endpoint(&[pattern("*.south")]);
    let start = |endpoint: &Endpoint| {
        let (tell, events) = unbounded();
        endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
        events
    };
    let (north_events, south_events) = (start(&north), start(&south));
    let nothing = sender.start_consuming(Box::new(|_: &Delivery| Verdict::Ack));
    assert!(matches!(nothing, Err(StartError::NoBindings)));
    sender.send(body(1), soon()).unwrap();
    let key = RoutingKey::new("sales.south").unwrap();
    sender.send_to(&Route::exchange(&spec.name, key), body(2), soon()).unwrap();
    assert_eq!(next(&north_events), Event::Message(1, false));
    assert_eq!(next(&south_events), Event::Message(2, false));
    let own = north.queue_name().unwrap().clone();
    north.close(soon()).unwrap();
    assert!(broker.queue_status(&own).is_err());
    assert_eq!(sender.send(body(3), soon()), Err(SendError::Unroutable));
}

#[test]
fn a_full_queue_fails_the_send_at_its_deadline() {
    let [broker] = connections();
    let endpoint = work(&broker, &QueueSpec::named(name("queue")).bounded(1, 100));
    endpoint.send(body(0), soon()).unwrap();
    let refused = endpoint.send(body(1), past());
    assert_eq!(refused, Err(SendError::Publish(PublishError::QueueFull(name("queue")))));
}

#[test]
fn a_drop_stops_the_thread() {
    let [broker] = connections();
    let (tell, events) = unbounded();
    let endpoint = plain(&broker);
    endpoint.start_consuming(Box::new(Tell(tell))).unwrap();
    drop(endpoint);
    assert_eq!(next(&events), Event::End(ConsumerEnd::Closed));
    assert!(events.recv_deadline(soon()).is_err(), "the handler is gone");
}
