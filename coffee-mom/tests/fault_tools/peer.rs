//! The scripted peer, as amiquip and plain sockets see it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use amiquip::{
    AmqpProperties, AmqpValue, Auth, ConnectionOptions, ConsumerMessage, ConsumerOptions, Error, Exchange, FieldTable,
    Publish, QueueDeclareOptions, QueueDeleteOptions,
};
use coffee_mom::testing::peer::{Call, FromClient, Malformed, ScriptedPeer, ToClient};
use coffee_mom::{Headers, Message, Properties};

use crate::{PATIENCE, connect, connect_with, is_publish, soon, wait_for};

fn well_behaved() -> ScriptedPeer {
    ScriptedPeer::start(|call, link| link.standard(call)).unwrap()
}

#[test]
fn a_well_behaved_peer_answers_all_that_amiquip_asks() {
    let peer = well_behaved();
    let mut connection = connect(peer.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    channel.qos(0, 7, false).unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("queue", options).unwrap();
    queue.bind(&Exchange::direct(&channel), "key", FieldTable::new()).unwrap();
    assert!(queue.get(false).unwrap().is_none());
    let consumer = queue.consume(ConsumerOptions::default()).unwrap();
    assert_eq!(consumer.consumer_tag(), "ctag-1");
    // Kept beyond the cancelling, which ends the connection if nobody is left to hear of it.
    let receiver = consumer.receiver().clone();
    drop(consumer);
    assert!(matches!(receiver.recv_deadline(soon()).unwrap(), ConsumerMessage::ClientCancelled));
    queue.purge().unwrap();
    queue.delete(QueueDeleteOptions::default()).unwrap();
    channel.recover(true).unwrap();
    channel.close().unwrap();
    connection.close().unwrap();

    let calls = peer.calls();
    let said = |method: FromClient| calls.iter().any(|call| call.method == method);
    assert!(said(FromClient::Open { virtual_host: "/".into() }));
    assert!(said(FromClient::Qos { prefetch_size: 0, prefetch_count: 7, global: false }));
    assert!(said(FromClient::QueueDeclare {
        queue: "queue".into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Headers::new(),
    }));
    assert!(said(FromClient::Cancel { consumer_tag: "ctag-1".into(), nowait: false }));
    assert_eq!(calls.last().map(|call| (call.connection, call.channel)), Some((1, 0)));
}

#[test]
fn messages_go_both_ways_with_their_properties() {
    let peer = ScriptedPeer::start(|call, link| {
        link.standard(call);
        if let FromClient::Publish { message, .. } = &call.method {
            link.deliver(call.channel, "ctag-1", 1, message.clone());
        }
    })
    .unwrap();
    let mut connection = connect(peer.address()).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let consumer = channel.basic_consume("queue", ConsumerOptions::default()).unwrap();
    let headers = FieldTable::from([("attempt".to_owned(), AmqpValue::LongInt(3))]);
    let properties = AmqpProperties::default().with_message_id("m".into()).with_headers(headers).with_delivery_mode(2);
    let body = vec![7; 300_000];
    Exchange::direct(&channel).publish(Publish::with_properties(&body, "key", properties)).unwrap();

    let publish = wait_for(&peer, is_publish);
    let message = Message::new(body.clone()).with(Properties::default().message_id("m").header("attempt", 3));
    let expected = FromClient::Publish {
        tag: 0,
        exchange: String::new(),
        routing_key: "key".into(),
        mandatory: false,
        immediate: false,
        persistent: true,
        message,
    };
    assert_eq!(publish.method, expected);
    let ConsumerMessage::Delivery(delivery) = consumer.receiver().recv_deadline(soon()).unwrap() else { panic!() };
    assert_eq!((delivery.body.len(), delivery.delivery_tag()), (body.len(), 1));
    assert_eq!(delivery.properties.message_id().as_deref(), Some("m"));
}

#[test]
fn a_silent_peer_leaves_its_client_waiting() {
    let peer = ScriptedPeer::start(|_, _| {}).unwrap();
    let options = ConnectionOptions::<Auth>::default().connection_timeout(Some(Duration::from_millis(100)));
    assert!(matches!(connect_with(peer.address(), options), Err(Error::ConnectionTimeout)));
    assert_eq!(peer.calls()[0].method, FromClient::ProtocolHeader);
    wait_for(&peer, |call| call.method == FromClient::Gone);
}

#[test]
fn heartbeats_are_answered_or_not() {
    let beating = |beats: bool| {
        ScriptedPeer::start(move |call, link| match call.method {
            FromClient::StartOk { .. } => {
                link.send(0, ToClient::Tune { channel_max: 9, frame_max: 0, heartbeat: 1 });
            }
            FromClient::Heartbeat if !beats => {}
            _ => link.standard(call),
        })
        .unwrap()
    };
    let (loud, quiet) = (beating(true), beating(false));
    let alive = connect(loud.address()).unwrap();
    let dead = connect(quiet.address()).unwrap();
    let beats = |calls: &[Call]| calls.iter().filter(|call| call.method == FromClient::Heartbeat).count();
    assert!(loud.wait_for(|calls| (beats(calls) >= 3).then_some(()), soon()).is_some());
    alive.close().unwrap();
    wait_for(&quiet, |call| call.method == FromClient::Gone);
    assert!(matches!(dead.close(), Err(Error::MissedServerHeartbeats)));
}

#[test]
fn a_connection_is_closed_while_a_channel_opens() {
    let peer = ScriptedPeer::start(|call, link| match call.method {
        FromClient::ChannelOpen => {
            link.send(0, ToClient::ConnectionClose { code: 320, text: "CONNECTION_FORCED".into() });
        }
        _ => link.standard(call),
    })
    .unwrap();
    let mut connection = connect(peer.address()).unwrap();
    assert!(connection.open_channel(None).is_err());
    assert!(matches!(connection.close(), Err(Error::ServerClosedConnection { code: 320, .. })));
    wait_for(&peer, |call| call.method == FromClient::ConnectionCloseOk);
}

#[test]
fn a_test_sends_out_of_turn() {
    let peer = well_behaved();
    let mut connection = connect(peer.address()).unwrap();
    let blocked = connection.listen_for_connection_blocked().unwrap();
    // Listening begins some time after the call, but before the answer to a later one.
    connection.open_channel(None).unwrap();
    assert!(peer.tell(1, |link| link.send(0, ToClient::Blocked { reason: "low on memory".into() })));
    blocked.recv_deadline(soon()).unwrap();
    assert!(peer.tell(1, |link| link.send(0, ToClient::Unblocked)));
    blocked.recv_deadline(soon()).unwrap();
    assert!(!peer.tell(2, |link| link.send(0, ToClient::Unblocked)));
    connection.close().unwrap();
}

#[test]
fn garbage_ends_the_connection_and_a_huge_frame_never_comes() {
    let peer = well_behaved();
    let garbled = connect(peer.address()).unwrap();
    assert!(peer.tell(1, |link| link.raw(b"\x05\0\0\0\0\0\x01garbage")));
    wait_for(&peer, |call| call.method == FromClient::Gone);
    assert!(matches!(garbled.close(), Err(Error::MalformedFrame)));

    let waiting = connect(peer.address()).unwrap();
    assert!(peer.tell(2, |link| link.huge_frame(1, 64 << 20)));
    assert!(peer.tell(2, |link| link.hang_up()));
    assert!(matches!(waiting.close(), Err(Error::UnexpectedSocketClose)));
}

#[test]
fn a_socket_is_dropped_at_any_point() {
    for reset in [false, true] {
        let peer = ScriptedPeer::start(move |call, link| match call.method {
            FromClient::Publish { .. } if reset => link.reset(),
            FromClient::Publish { .. } => link.hang_up(),
            _ => link.standard(call),
        })
        .unwrap();
        let mut connection = connect(peer.address()).unwrap();
        let channel = connection.open_channel(None).unwrap();
        let confirms = channel.listen_for_publisher_confirms().unwrap();
        channel.enable_publisher_confirms().unwrap();
        Exchange::direct(&channel).publish(Publish::new(b"lost", "queue")).unwrap();
        assert_eq!(confirms.recv_deadline(soon()), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
        match (reset, connection.close()) {
            (false, Err(Error::UnexpectedSocketClose)) | (true, Err(Error::IoErrorReadingSocket { .. })) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_that_speaks_no_amqp_is_told_so() {
    let peer = well_behaved();
    let mut client = TcpStream::connect(peer.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let call = wait_for(&peer, |_| true);
    assert_eq!(call.method, FromClient::Malformed(Malformed::ProtocolHeader));
    // The beginning of connection.close on channel 0.
    let mut answer = [0; 11];
    client.read_exact(&mut answer).unwrap();
    assert_eq!((answer[..3].to_vec(), answer[7..].to_vec()), (vec![1, 0, 0], vec![0, 10, 0, 50]));
    drop(client);
    wait_for(&peer, |call| call.method == FromClient::Gone);
}
