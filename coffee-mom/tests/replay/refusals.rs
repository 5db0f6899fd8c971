//! Brokers that close the channel over a publish.

use super::*;

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
        if message.body[0] == 4 {
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
    // Not from 0, which is what a body that is made up has.
    for number in 1..=10 {
        producer.publish(&route, Message::new(vec![number]), soon()).unwrap();
    }
    let mut expected: BTreeMap<_, _> = (0..10).map(|id| (id, Outcome::Confirmed)).collect();
    expected.insert(3, Outcome::Refused(refusal));
    assert_eq!(outcomes(producer.as_ref(), 10), expected);
    let sent = publishes(&peer.calls());
    for number in 1..=10 {
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
