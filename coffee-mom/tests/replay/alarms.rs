//! Brokers that take no publishes for a while.

use super::*;

/// The connection that publishes came on; which of the two it is is left to chance.
fn publishing(peer: &ScriptedPeer) -> usize {
    publishes(&peer.calls())[0].0
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
