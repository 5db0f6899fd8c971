//! What amiquip 0.4.2 does that its users must work around.

use amiquip::{
    Confirm, ConfirmPayload, ConfirmSmoother, Connection, ConsumerMessage, ConsumerOptions, Delivery, Error, Exchange,
    Publish,
};
use coffee_mom::Message;
use coffee_mom::testing::peer::{Call, FromClient, Link, Malformed, ScriptedPeer, ToClient};
use crossbeam_channel::Receiver;

use crate::{connect, is_publish, soon, wait_for};

/// Publishes `count` messages to a peer that answers publishes by `script`; the confirms that come.
fn confirms_of(
    count: usize,
    mut script: impl FnMut(u64, &mut Link) + Send + 'static,
) -> (ScriptedPeer, Connection, Receiver<Confirm>) {
    let peer = ScriptedPeer::start(move |call, link| match call.method {
        FromClient::Publish { tag, .. } => script(tag, link),
        _ => link.standard(call),
    })
    .unwrap();
    let mut connection = connect(peer.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let confirms = channel.listen_for_publisher_confirms().unwrap();
    channel.enable_publisher_confirms().unwrap();
    for _ in 0..count {
        Exchange::direct(&channel).publish(Publish::new(b"message", "queue")).unwrap();
    }
    peer.wait_for(|calls| (calls.iter().filter(|call| is_publish(call)).count() == count).then_some(()), soon())
        .unwrap();
    (peer, connection, confirms)
}

fn ack(delivery_tag: u64, multiple: bool) -> Confirm {
    Confirm::Ack(ConfirmPayload { delivery_tag, multiple })
}

fn nack(delivery_tag: u64, multiple: bool) -> Confirm {
    Confirm::Nack(ConfirmPayload { delivery_tag, multiple })
}

#[test]
fn trap_the_smoother_turns_a_nack_into_an_ack() {
    let (_peer, _connection, confirms) = confirms_of(5, |tag, link| match tag {
        3 => link.nack(1, 3),
        5 => link.send(1, ToClient::Ack { tag: 5, multiple: true }),
        _ => {}
    });
    let raw: Vec<_> = (0..2).map(|_| confirms.recv_deadline(soon()).unwrap()).collect();
    assert_eq!(raw, [nack(3, false), ack(5, true)]);

    let mut smoother = ConfirmSmoother::new();
    let smoothed: Vec<_> = raw.into_iter().flat_map(|confirm| smoother.process(confirm).collect::<Vec<_>>()).collect();
    assert_eq!(smoothed, (1..=5).map(|tag| ack(tag, false)).collect::<Vec<_>>());
}

#[test]
fn confirms_come_as_raw_as_they_were_sent() {
    let (_peer, _connection, confirms) = confirms_of(4, |tag, link| {
        if tag == 4 {
            link.ack(1, 3);
            link.nack(1, 1);
            link.send(1, ToClient::Nack { tag: 4, multiple: true });
        }
    });
    let raw: Vec<_> = (0..3).map(|_| confirms.recv_deadline(soon()).unwrap()).collect();
    assert_eq!(raw, [ack(3, false), nack(1, false), nack(4, true)]);
}

fn delivery(receiver: &Receiver<ConsumerMessage>) -> Delivery {
    match receiver.recv_deadline(soon()).unwrap() {
        ConsumerMessage::Delivery(delivery) => delivery,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn trap_an_ack_from_before_a_reconnect_acks_another_message() {
    let peer = ScriptedPeer::start(|call: &Call, link: &mut Link| {
        link.standard(call);
        if matches!(call.method, FromClient::Consume { .. }) {
            let body = format!("of connection {}", call.connection);
            link.deliver(call.channel, "ctag-1", 1, Message::new(body));
        }
    })
    .unwrap();
    let consume = |connection: &mut Connection| {
        let channel = connection.open_channel(None).unwrap();
        let receiver = {
            let consumer = channel.basic_consume("queue", ConsumerOptions::default()).unwrap();
            let receiver = consumer.receiver().clone();
            // Dropped, it would be cancelled.
            std::mem::forget(consumer);
            receiver
        };
        (channel, receiver)
    };
    let mut first = connect(peer.address()).unwrap();
    let (_channel, receiver) = consume(&mut first);
    let stale = delivery(&receiver);
    assert!(peer.tell(1, Link::reset));
    assert!(receiver.recv_deadline(soon()).is_err(), "no message tells of the loss");

    let mut second = connect(peer.address()).unwrap();
    let (channel, receiver) = consume(&mut second);
    let fresh = delivery(&receiver);
    assert_eq!((&stale.body[..], &fresh.body[..]), (&b"of connection 1"[..], &b"of connection 2"[..]));
    stale.ack(&channel).unwrap();
    let acked = wait_for(&peer, |call| matches!(call.method, FromClient::Ack { .. }));
    assert_eq!((acked.connection, acked.method), (2, FromClient::Ack { tag: 1, multiple: false }));
}

#[test]
fn trap_a_delivery_after_a_cancel_by_the_server_ends_the_connection() {
    let peer = ScriptedPeer::start(|call, link| link.standard(call)).unwrap();
    let mut connection = connect(peer.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let consumer = channel.basic_consume("queue", ConsumerOptions::default()).unwrap();
    assert!(peer.tell(1, |link| link.send(1, ToClient::Cancel { consumer_tag: "ctag-1".into(), nowait: true })));
    let cancelled = consumer.receiver().recv_deadline(soon()).unwrap();
    assert!(matches!(cancelled, ConsumerMessage::ServerCancelled));
    assert!(peer.tell(1, |link| link.deliver(1, "ctag-1", 2, Message::new("late"))));
    wait_for(&peer, |call| call.method == FromClient::Gone);
    assert!(matches!(connection.close(), Err(Error::UnknownConsumerTag { .. })));
}

#[test]
fn trap_a_routing_key_that_is_not_utf8_ends_the_connection() {
    let peer = ScriptedPeer::start(|call, link| link.standard(call)).unwrap();
    let mut connection = connect(peer.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let _consumer = channel.basic_consume("queue", ConsumerOptions::default()).unwrap();
    // Consumer tag, delivery tag, not redelivered, default exchange, the key 0xFF.
    let arguments = [&b"\x06ctag-1"[..], &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0], b"\x01\xff"].concat();
    assert!(peer.tell(1, |link| link.send(1, ToClient::Raw { class: 60, method: 60, arguments })));
    wait_for(&peer, |call| call.method == FromClient::Gone);
    assert!(matches!(connection.close(), Err(Error::MalformedFrame)));
}

#[test]
fn trap_a_routing_key_of_300_bytes_is_sent_as_a_broken_frame() {
    let peer = ScriptedPeer::start(|call, link| link.standard(call)).unwrap();
    let mut connection = connect(peer.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    // Fails if the answer comes before its last frame is handed over.
    let _ = channel.basic_publish("", Publish::new(b"message", "k".repeat(300)));
    let broken = wait_for(&peer, |call| matches!(call.method, FromClient::Malformed(_)));
    assert!(matches!(broken.method, FromClient::Malformed(Malformed::Trailing(_))));
    wait_for(&peer, |call| call.method == FromClient::ConnectionCloseOk);
    assert!(matches!(connection.close(), Err(Error::ServerClosedConnection { code: 502, .. })));
}
