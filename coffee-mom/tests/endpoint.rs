//! What an endpoint makes of a broker that is slow, that fails, or whose queue goes away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "endpoint/watched.rs"]
mod watched;

mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coffee_mom::*;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use support::{assert_empty, body, connections, name, past, soon, status};
use watched::Watched;

/// An endpoint of a queue with some messages.
fn endpoint(broker: Arc<dyn Broker>, messages: u64) -> Arc<Endpoint> {
    let spec = QueueSpec::named(name("queue"));
    let endpoint = Endpoint::queue(broker, &spec, EndpointOptions::default()).unwrap();
    (0..messages).for_each(|number| endpoint.send(body(number), soon()).unwrap());
    Arc::new(endpoint)
}

/// Tells of each call, then defers it, but for the second one on: that waits for leave and acks.
fn defers_one() -> (impl Handler + 'static, Receiver<DeliveryTag>, Sender<()>) {
    let (tell, told) = unbounded();
    let (leave, left) = bounded::<()>(0);
    let mut first = true;
    let handler = move |delivery: &Delivery| {
        tell.send(delivery.tag).unwrap();
        if std::mem::take(&mut first) {
            return Verdict::Defer;
        }
        let _ = left.recv();
        Verdict::Ack
    };
    (handler, told, leave)
}

fn acks() -> Box<dyn Handler> {
    Box::new(|_: &Delivery| Verdict::Ack)
}

#[test]
fn a_stop_keeps_the_verdicts_that_were_taken() {
    let [broker] = connections();
    let endpoint = endpoint(broker.clone(), 2);
    let (handler, told, leave) = defers_one();
    endpoint.start_consuming(Box::new(handler), soon()).unwrap();
    let deferred = told.recv_deadline(soon()).unwrap();
    told.recv_deadline(soon()).unwrap();
    endpoint.settle(deferred, Verdict::Ack, soon()).unwrap();
    assert_eq!(endpoint.stop_consuming(past()), Err(StopError::Deadline), "a call is in hand");
    drop(leave);
    endpoint.stop_consuming(soon()).unwrap();
    assert_empty(&*broker, &name("queue"));
}

#[test]
fn a_stop_does_not_wait_for_verdicts() {
    let [broker] = connections();
    let endpoint = endpoint(broker.clone(), 2);
    let (handler, told, leave) = defers_one();
    endpoint.start_consuming(Box::new(handler), soon()).unwrap();
    let deferred = told.recv_deadline(soon()).unwrap();
    drop(leave);
    endpoint.stop_consuming(soon()).unwrap();
    assert!(status(&*broker, &name("queue")).ready > 0, "what was deferred is back");
    assert_eq!(endpoint.settle(deferred, Verdict::Ack, soon()), Err(SettleError::NotConsuming));
}

#[test]
fn a_verdict_without_room_can_be_told_later() {
    let [broker] = connections();
    let endpoint = endpoint(broker.clone(), 2);
    let (handler, told, leave) = defers_one();
    endpoint.start_consuming(Box::new(handler), soon()).unwrap();
    let deferred = told.recv_deadline(soon()).unwrap();
    let in_hand = told.recv_deadline(soon()).unwrap();
    let full = (0..10_000).find_map(|_| endpoint.settle(in_hand, Verdict::Ack, past()).err());
    assert_eq!(full, Some(SettleError::Deadline), "the room is bounded");
    assert_eq!(endpoint.settle(deferred, Verdict::Ack, past()), Err(SettleError::Deadline));
    drop(leave);
    endpoint.settle(deferred, Verdict::Ack, soon()).unwrap();
    endpoint.shutdown(soon()).unwrap();
    assert_empty(&*broker, &name("queue"));
}

#[test]
fn a_start_under_way_holds_nobody_up() {
    let [broker] = connections();
    let watched = Watched::new(broker.clone());
    let endpoint = endpoint(watched.clone(), 3);
    let held = watched.hold_consumers();
    thread::scope(|scope| {
        let start = scope.spawn(|| endpoint.start_consuming(acks(), soon()));
        let attach = held.recv_deadline(soon()).unwrap();
        endpoint.pause();
        endpoint.resume();
        assert!(matches!(endpoint.start_consuming(acks(), soon()), Err(StartError::Consuming)));
        assert_eq!(endpoint.stop_consuming(past()), Err(StopError::Deadline), "nothing is known of the start yet");
        drop(attach);
        assert!(matches!(start.join().unwrap(), Err(StartError::Stopped)));
    });
    endpoint.stop_consuming(past()).unwrap();
    assert_eq!(status(&*broker, &name("queue")), status_of(3), "it has given everything back");
    let second = thread::scope(|scope| {
        let start = scope.spawn(|| endpoint.start_consuming(acks(), soon()));
        drop(held.recv_deadline(soon()).unwrap());
        start.join().unwrap()
    });
    second.unwrap();
    endpoint.shutdown(soon()).unwrap();
}

fn status_of(ready: usize) -> QueueStatus {
    let mut status = QueueStatus::default();
    status.ready = ready;
    status
}

#[test]
fn a_close_ends_a_start_under_way() {
    let [broker] = connections();
    let watched = Watched::new(broker.clone());
    let endpoint = endpoint(watched.clone(), 0);
    let held = watched.hold_consumers();
    thread::scope(|scope| {
        let start = scope.spawn(|| endpoint.start_consuming(acks(), soon()));
        let attach = held.recv_deadline(soon()).unwrap();
        assert_eq!(endpoint.close(past()), Err(StopError::Deadline));
        let close = scope.spawn(|| endpoint.close(soon()));
        drop(attach);
        assert!(matches!(start.join().unwrap(), Err(StartError::Closed)));
        close.join().unwrap().unwrap();
    });
    assert_eq!(status(&*broker, &name("queue")).consumers, 0);
}

/// Tells when consuming has ended.
struct Ends(Sender<ConsumerEnd>);

impl Handler for Ends {
    fn on_message(&mut self, _: &Delivery) -> Verdict {
        Verdict::Ack
    }

    fn on_end(&mut self, end: ConsumerEnd) {
        self.0.send(end).unwrap();
    }
}

#[test]
fn a_stop_after_the_end_is_complete() {
    let [broker] = connections();
    let endpoint = endpoint(Watched::new(broker), 0);
    let (tell, told) = bounded(1);
    endpoint.start_consuming(Box::new(Ends(tell)), soon()).unwrap();
    endpoint.delete(soon()).unwrap();
    assert_eq!(told.recv_deadline(soon()), Ok(ConsumerEnd::QueueDeleted));
    assert_eq!(endpoint.stop_consuming(soon()), Ok(()));
}

/// Waits in its call for leave, and tells of the call and of the end.
struct Waits(Receiver<()>, Sender<Option<ConsumerEnd>>);

impl Handler for Waits {
    fn on_message(&mut self, _: &Delivery) -> Verdict {
        self.1.send(None).unwrap();
        let _ = self.0.recv();
        Verdict::Ack
    }

    fn on_end(&mut self, end: ConsumerEnd) {
        self.1.send(Some(end)).unwrap();
    }
}

#[test]
fn a_call_that_takes_longer_than_the_stop_may_leaves_time_to_close() {
    let [broker] = connections();
    let endpoint = endpoint(Watched::new(broker.clone()), 1);
    let ((leave, left), (tell, told)) = (bounded::<()>(0), bounded(2));
    endpoint.start_consuming(Box::new(Waits(left, tell)), soon()).unwrap();
    assert_eq!(told.recv_deadline(soon()), Ok(None));
    assert_eq!(endpoint.stop_consuming(past()), Err(StopError::Deadline), "a call is in hand");
    drop(leave);
    assert_eq!(told.recv_deadline(soon()), Ok(Some(ConsumerEnd::Closed)));
    assert_eq!(endpoint.stop_consuming(soon()), Ok(()));
    assert_empty(&*broker, &name("queue"));
}

#[test]
fn a_meeting_leaves_no_queue_behind() {
    let [broker] = connections();
    let watched = Watched::new(broker.clone());
    let endpoint = endpoint(watched.clone(), 0);
    let alone = endpoint.emit_barrier(&name("group"), 2, past());
    assert!(matches!(alone, Err(BarrierError::Deadline { arrived: 1, members: 2 } | BarrierError::Send(_))));
    assert_eq!(watched.left_behind(), [], "after a deadline");
    watched.refuse_consumers();
    let refused = endpoint.emit_barrier(&name("group"), 2, soon());
    assert!(matches!(refused, Err(BarrierError::Attach(_))));
    assert_eq!(watched.left_behind(), [], "after an error");
    assert_eq!(watched.deletions().len(), 2);
    assert!(watched.deletions().iter().all(|patience| !patience.is_zero()), "a grace");
}

#[test]
fn a_drop_has_time_to_delete_the_queue_of_an_exchange() {
    let [broker] = connections();
    let watched = Watched::new(broker.clone());
    let spec = ExchangeSpec::new(name("exchange"), ExchangeKind::Fanout);
    let options = EndpointOptions::default();
    let key = RoutingKey::default();
    drop(Endpoint::exchange(watched.clone(), &spec, key, &[Binding::default()], options).unwrap());
    assert_eq!(watched.left_behind(), []);
    assert!(watched.deletions()[0] > Duration::from_secs(5), "more than the callback in hand has");
}

#[test]
fn an_endpoint_that_fails_leaves_no_queue_behind() {
    let [broker] = connections();
    let watched = Watched::new(broker);
    let spec = ExchangeSpec::new(name("exchange"), ExchangeKind::Fanout);
    let wrong = Binding::Headers(HeaderMatch::All, Headers::default());
    let made = Endpoint::exchange(watched.clone(), &spec, RoutingKey::default(), &[wrong], EndpointOptions::default());
    assert!(matches!(made, Err(EndpointError::Bind(BindError::Mismatch(_)))));
    assert_eq!(watched.left_behind(), []);
}

#[test]
fn a_setup_may_take_for_ever() {
    let [broker] = connections();
    let options = EndpointOptions::default().setup(Duration::MAX);
    let endpoint = Endpoint::queue(broker, &QueueSpec::named(name("queue")), options).unwrap();
    endpoint.close(Instant::now() + Duration::from_secs(1)).unwrap();
}
