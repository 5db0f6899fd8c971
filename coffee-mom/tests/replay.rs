//! What a producer on RabbitMQ does about answers that come late, in a mess or never: against a peer
//! that gives them by script.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};
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
    closing_peer(move |call, tag, message, link| {
        answer(call, tag, message, link);
        None
    })
}

/// As [`peer`], and closes the channel where `answer` says so; then what was sent on it before the
/// client heard of that is not looked at, as by a broker.
fn closing_peer(
    mut answer: impl FnMut(&Call, u64, &Message, &mut Link) -> Option<(u16, String)> + Send + 'static,
) -> ScriptedPeer {
    let mut closed = HashSet::new();
    ScriptedPeer::start(move |call, link| {
        let channel = (call.connection, call.channel);
        match &call.method {
            FromClient::Publish { .. } if closed.contains(&channel) => {}
            FromClient::Publish { tag, message, .. } => {
                if let Some((code, text)) = answer(call, *tag, message, link) {
                    closed.insert(channel);
                    link.send(call.channel, ToClient::ChannelClose { code, text });
                }
            }
            FromClient::ChannelOpen => {
                closed.remove(&channel);
                link.standard(call);
            }
            _ => link.standard(call),
        }
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
    let peer = closing_peer(|call, tag, _, link| {
        if matches!(&call.method, FromClient::Publish { exchange, .. } if exchange == "missing") {
            return Some((404, "NOT_FOUND - no exchange 'missing' in vhost '/'".into()));
        }
        // Answers nothing that comes before the missing one.
        if call_is_replay(call) {
            link.ack(call.channel, tag);
        }
        None
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

/// Publishes ten, over the fourth of which the broker closes the channel: that one alone is refused,
/// and no other is sent more than twice.
fn one_offender(code: u16, text: &'static str, refusal: Refusal) {
    let (mut closed, mut answers) = (false, false);
    let peer = closing_peer(move |call, tag, message, link| {
        // Silent on the first channel.
        answers |= closed && tag == 1;
        if message.body[0] == 3 {
            closed = true;
            return Some((code, text.into()));
        }
        if answers {
            link.ack(call.channel, tag);
        }
        None
    });
    let broker = connect(&peer);
    let events = broker.events();
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let route = Route::exchange(&name("tx"), RoutingKey::default());
    for number in 0..10 {
        producer.publish(&route, Message::new(vec![number]), soon()).unwrap();
    }
    let mut expected: BTreeMap<_, _> = (0..10).map(|id| (id, Outcome::Confirmed)).collect();
    expected.insert(3, Outcome::Refused(refusal));
    assert_eq!(outcomes(producer.as_ref(), 10), expected);
    let sent = publishes(&peer.calls());
    for number in 0..10 {
        let times = sent.iter().filter(|(_, sent, _)| *sent == number).count();
        assert!(times <= 2, "{number} was sent {times} times");
    }
    assert!(events.is_empty(), "the link stays: {:?}", events.try_iter().collect::<Vec<_>>());
}

#[test]
fn the_one_that_closes_the_channel_is_found_whatever_the_broker_says() {
    one_offender(406, "PRECONDITION_FAILED - for no reason", Refusal::Other);
    one_offender(403, "ACCESS_REFUSED - access to topic 'a' in exchange 'tx' in vhost '/' refused", Refusal::Denied);
    one_offender(404, "NOT_FOUND - no exchange 'tx' in vho...", Refusal::UnknownExchange);
    one_offender(406, "PRECONDITION_FAILED - message size 1 is larger than configured max size 0", Refusal::TooLarge);
}

#[test]
fn a_broker_that_closes_each_channel_ends_in_refusals_not_in_a_loop() {
    let peer = closing_peer(|_, _, _, _| Some((406, "PRECONDITION_FAILED - for no reason".into())));
    let broker = connect(&peer);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..3);
    let refused = Outcome::Refused(Refusal::Other);
    assert!(outcomes(producer.as_ref(), 3).values().all(|outcome| *outcome == refused));
}

#[test]
fn what_comes_back_without_a_header_is_returned_all_the_same() {
    let peer = peer(|call, tag, message, link| {
        let mut properties = message.properties().clone();
        properties.headers.remove("BCC");
        let message = Message::new(message.body.clone()).with(properties);
        link.send(call.channel, returned(message));
        link.ack(call.channel, tag);
    });
    let broker = connect(&peer);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    let copies = Properties::default().header("BCC", Value::List(vec![Value::Text("nobody".into())]));
    producer.publish(&route(), Message::new("m").with(copies), soon()).unwrap();
    assert_eq!(outcomes(producer.as_ref(), 1), BTreeMap::from([(0, Outcome::Returned)]));
}

fn returned(message: Message) -> ToClient {
    let (exchange, routing_key) = (String::new(), "queue".into());
    ToClient::Return { code: 312, text: "NO_ROUTE".into(), exchange, routing_key, message }
}

#[test]
fn publishes_count_before_there_is_a_channel() {
    let peer = ScriptedPeer::start(|call, link| match &call.method {
        FromClient::ChannelOpen => {}
        _ => link.standard(call),
    })
    .unwrap();
    let broker = connect(&peer);
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..3);
    assert_eq!((broker.stats().published, broker.stats().in_flight()), (3, 3));
    let is_open = |call: &&Call| call.method == FromClient::ChannelOpen;
    let opened = |calls: &[Call]| calls.iter().find(is_open).map(|call| (call.connection, call.channel));
    let (connection, channel) = peer.wait_for(opened, soon()).unwrap();
    assert!(peer.tell(connection, move |link| link.send(channel, ToClient::ChannelOpenOk)));
    assert!(outcomes(producer.as_ref(), 3).values().all(|outcome| *outcome == Outcome::Confirmed));
}

/// The connection that publishes came on; which of the two it is is left to chance.
fn publishing(peer: &ScriptedPeer) -> usize {
    publishes(&peer.calls())[0].0
}

#[test]
fn a_producer_without_a_channel_waits_for_that_of_another() {
    let peer = ScriptedPeer::start(|call, link| match &call.method {
        FromClient::StartOk { .. } => {
            link.send(0, ToClient::Tune { channel_max: 1, frame_max: 131_072, heartbeat: 60 });
        }
        _ => link.standard(call),
    })
    .unwrap();
    let broker = connect(&peer);
    let mut one = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(one.as_mut(), 0..1);
    outcomes(one.as_ref(), 1);
    let mut other = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(other.as_mut(), 1..2);
    drop(one);
    assert_eq!(outcomes(other.as_ref(), 1), BTreeMap::from([(0, Outcome::Confirmed)]));
    assert_eq!(broker.stats().reconnects, 0, "the link stays");
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
    assert!(peer.tell(publishing(&peer), |link| link.send(0, ToClient::Unblocked)));
    publish_all(producer.as_mut(), 1..2);
    assert!(outcomes(producer.as_ref(), 2).values().all(|outcome| *outcome == Outcome::Confirmed));
}

/// A peer that says it is blocked after the first of all publishes, and a producer that has heard
/// of it.
fn blocked() -> (ScriptedPeer, RabbitBroker, Box<dyn Producer>) {
    let mut first = true;
    let peer = peer(move |call, tag, _, link| {
        if std::mem::take(&mut first) {
            link.send(0, ToClient::Blocked { reason: "low on memory".into() });
        }
        link.ack(call.channel, tag);
    });
    let broker = connect(&peer);
    let events = broker.events();
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    publish_all(producer.as_mut(), 0..1);
    while !matches!(events.recv_deadline(soon()).unwrap(), Event::Blocked(_)) {}
    outcomes(producer.as_ref(), 1);
    (peer, broker, producer)
}

#[test]
fn a_publish_behind_an_alarm_goes_on_with_the_next_link() {
    let (peer, broker, mut producer) = blocked();
    let waiting = std::thread::spawn(move || {
        publish_all(producer.as_mut(), 1..2);
        producer
    });
    assert!(peer.tell(publishing(&peer), |link| link.hang_up()));
    let producer = waiting.join().unwrap();
    assert_eq!(outcomes(producer.as_ref(), 1), BTreeMap::from([(1, Outcome::Confirmed)]));
    drop(broker);
}

#[test]
fn channels_are_opened_and_closed_when_the_alarm_is_over() {
    let (peer, broker, producer) = blocked();
    let channels = |calls: &[Call]| {
        let of_channels = |call: &&Call| {
            let closes = matches!(call.method, FromClient::ChannelClose { .. });
            closes || call.method == FromClient::ChannelOpen
        };
        calls.iter().filter(of_channels).count()
    };
    let settled = producer.settled().clone();
    drop(producer);
    let mut next = broker.producer(ProducerOptions::default()).unwrap();
    assert!(settled.recv_deadline(soon()).is_err_and(|error| error.is_disconnected()));
    assert_eq!(channels(&peer.calls()), 1, "nothing is asked of a broker that would not answer");
    assert!(peer.tell(publishing(&peer), |link| link.send(0, ToClient::Unblocked)));
    assert!(peer.wait_for(|calls| (channels(calls) == 3).then_some(()), soon()).is_some());
    publish_all(next.as_mut(), 1..2);
    assert_eq!(outcomes(next.as_ref(), 1), BTreeMap::from([(0, Outcome::Confirmed)]));
    assert_eq!(broker.stats().reconnects, 0, "the link stays");
}
