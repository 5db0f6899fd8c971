//! What a producer on RabbitMQ does about answers that come late, in a mess or never: against a peer
//! that gives them by script.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use coffee_mom::testing::peer::{Call, FromClient, Link, ScriptedPeer, ToClient};
use coffee_mom::*;
use support::*;

fn connect(peer: &ScriptedPeer) -> RabbitBroker {
    connect_to(peer.address())
}

fn connect_to(address: SocketAddr) -> RabbitBroker {
    let config = RabbitConfig::new(address.ip().to_string(), address.port())
        .backoff(Duration::from_millis(1), Duration::from_millis(10));
    RabbitBroker::connect(config, soon()).unwrap()
}

fn route() -> Route {
    Route::queue(&name("queue"))
}

/// The publishes that the peer has got: of which connection, the number in the body, and whether
/// they are marked as sent again.
fn publishes(calls: &[Call]) -> Vec<(usize, u8, bool)> {
    let publishes = calls.iter().filter_map(|call| match &call.method {
        FromClient::Publish { message, .. } => Some((call.connection, message)),
        _ => None,
    });
    publishes.map(|(of, message)| (of, message.body[0], !message.properties().headers.is_empty())).collect()
}

fn publish_all(producer: &mut dyn Producer, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let message = Message::new(vec![number]).with(Properties::default().message_id(number.to_string()));
        producer.publish(&route(), message, soon()).unwrap();
    }
}

/// The outcomes of that many publishes by number; each has one.
fn outcomes(producer: &dyn Producer, count: usize) -> BTreeMap<u64, Outcome> {
    let mut outcomes = BTreeMap::new();
    while outcomes.len() < count {
        let settled = producer.settled().recv_deadline(soon()).unwrap();
        for id in settled.ids() {
            assert_eq!(outcomes.insert(id, settled.outcome), None);
        }
    }
    assert!(producer.settled().is_empty());
    outcomes
}

/// Answers publishes by `answer`, and everything else as a broker does.
fn peer(mut answer: impl FnMut(&Call, u64, &Message, &mut Link) + Send + 'static) -> ScriptedPeer {
    ScriptedPeer::start(move |call, link| match &call.method {
        FromClient::Publish { tag, message, .. } => answer(call, *tag, message, link),
        _ => link.standard(call),
    })
    .unwrap()
}

#[test]
fn a_nack_that_a_later_ack_passes_is_a_nack() {
    let peer = peer(|call, tag, _, link| match tag {
        3 => link.nack(call.channel, 3),
        6 => link.send(call.channel, ToClient::Ack { tag: 6, multiple: true }),
        _ => {}
    });
    let broker = connect(&peer);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..6);
    let mut expected: BTreeMap<_, _> = (0..6).map(|id| (id, Outcome::Confirmed)).collect();
    expected.insert(2, Outcome::Nacked);
    assert_eq!(outcomes(producer.as_ref(), 6), expected);
    assert_eq!((broker.stats().nacked, broker.stats().in_flight()), (1, 0));
}

#[test]
fn what_had_no_answer_is_sent_again_in_order_and_before_anything_newer() {
    let peer = peer(|call, tag, message, link| match (call.connection_of_publishes(), message.body[0]) {
        (true, 4) => {
            link.ack(call.channel, 2);
            link.hang_up();
        }
        (true, _) => {}
        (false, _) => link.ack(call.channel, tag),
    });
    let broker = connect(&peer);
    let events = broker.events();
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..5);
    let lost = |event| matches!(event, Event::Disconnected(Side::Publishing, _));
    while !lost(events.recv_deadline(soon()).unwrap()) {}
    publish_all(producer.as_mut(), 5..8);
    assert!(outcomes(producer.as_ref(), 8).values().all(|outcome| *outcome == Outcome::Confirmed));
    let again: Vec<_> = publishes(&peer.calls()).into_iter().filter(|(of, ..)| *of == 3).collect();
    let expected = [(0, true), (2, true), (3, true), (4, true), (5, false), (6, false), (7, false)];
    assert_eq!(again, expected.map(|(number, replayed)| (3, number, replayed)));
    assert_eq!((broker.stats().replayed, broker.stats().reconnects), (4, 1));
}

trait OfPublishes {
    /// Whether it came on the first publishing connection: the second, after that of declarations.
    fn connection_of_publishes(&self) -> bool;
}

impl OfPublishes for Call {
    fn connection_of_publishes(&self) -> bool {
        self.connection <= 2
    }
}

#[test]
fn a_missing_exchange_fails_its_publishes_and_no_others() {
    let peer = peer(|call, tag, _, link| match &call.method {
        FromClient::Publish { exchange, .. } if exchange == "missing" => {
            let text = "NOT_FOUND - no exchange 'missing' in vhost '/'".into();
            link.send(call.channel, ToClient::ChannelClose { code: 404, text });
        }
        // Answers nothing that comes before the missing one.
        _ if call_is_replay(call) => link.ack(call.channel, tag),
        _ => {}
    });
    let broker = connect(&peer);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..3);
    let missing = Route::exchange(&name("missing"), RoutingKey::default());
    producer.publish(&missing, Message::new(vec![9]), soon()).unwrap();
    let mut expected: BTreeMap<_, _> = (0..3).map(|id| (id, Outcome::Confirmed)).collect();
    expected.insert(3, Outcome::Refused(Refusal::UnknownExchange));
    assert_eq!(outcomes(producer.as_ref(), 4), expected);
    assert_eq!(broker.stats().reconnects, 0, "the link stays");
}

fn call_is_replay(call: &Call) -> bool {
    matches!(&call.method, FromClient::Publish { message, .. } if !message.properties().headers.is_empty())
}

#[test]
fn a_broker_that_closes_each_channel_ends_in_unknown_not_in_a_loop() {
    let peer = peer(|call, _, _, link| {
        let text = "PRECONDITION_FAILED - for no reason".into();
        link.send(call.channel, ToClient::ChannelClose { code: 406, text });
    });
    let broker = connect(&peer);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..3);
    assert!(outcomes(producer.as_ref(), 3).values().all(|outcome| *outcome == Outcome::Unknown));
}

#[test]
fn a_window_without_answers_is_back_pressure_and_closing_tells_what_is_unknown() {
    let peer = peer(|_, _, _, _| {});
    let broker = connect(&peer);
    let options = ProducerOptions::default().window(3, 1 << 20);
    let mut producer = broker.producer(options).unwrap();
    publish_all(producer.as_mut(), 0..3);
    let full = producer.publish(&route(), Message::new("late"), past());
    assert_eq!(full, Err(PublishError::WindowFull));
    assert_eq!(broker.close(past() + Duration::from_millis(50)), Err(CloseError::Deadline));
    assert!(outcomes(producer.as_ref(), 3).values().all(|outcome| *outcome == Outcome::Unknown));
    assert_eq!(producer.publish(&route(), Message::new("late"), soon()), Err(PublishError::Closed));
}

#[test]
fn a_blocked_broker_takes_nothing_until_it_is_free_again() {
    let peer = peer(|call, tag, _, link| {
        if tag == 1 {
            link.send(0, ToClient::Blocked { reason: "low on memory".into() });
        }
        link.ack(call.channel, tag);
    });
    let broker = connect(&peer);
    let events = broker.events();
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..1);
    assert_eq!(events.recv_deadline(soon()).unwrap(), Event::Blocked("low on memory".into()));
    assert_eq!(producer.publish(&route(), Message::new("2"), past()), Err(PublishError::Blocked));
    assert!(peer.tell(2, |link| link.send(0, ToClient::Unblocked)));
    publish_all(producer.as_mut(), 1..2);
    assert!(outcomes(producer.as_ref(), 2).values().all(|outcome| *outcome == Outcome::Confirmed));
}
