//! Answers in a mess, late or never; and channels that there are not.

use super::*;

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
    let peer = peer(|call, tag, message, link| match (is_of_first_link(call), message.body[0]) {
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

/// The first two connections are that of declarations and the first one of publishes.
fn is_of_first_link(call: &Call) -> bool {
    call.connection <= 2
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
