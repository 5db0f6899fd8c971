//! What a connection to RabbitMQ does about links that come and go, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffee_mom::testing::peer::ScriptedPeer;
use coffee_mom::testing::proxy::Proxy;
use coffee_mom::testing::rabbitmq::TestBroker;
use coffee_mom::*;
use support::*;

/// A connection to the shared test broker through a proxy.
fn through_proxy() -> (Arc<dyn Broker>, Proxy, String) {
    let url = TestBroker::shared().unwrap().url().to_owned();
    let mut config = RabbitConfig::from_url(&url).unwrap();
    let upstream = (config.hosts[0].name.as_str(), config.hosts[0].port).to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(upstream).unwrap();
    config.hosts = vec![Host::new("127.0.0.1", proxy.address().port())];
    let config = config.backoff(Duration::from_millis(10), Duration::from_millis(50));
    (Arc::new(RabbitBroker::connect(config, soon()).unwrap()), proxy, url)
}

fn config(address: SocketAddr) -> RabbitConfig {
    RabbitConfig::new(address.ip().to_string(), address.port())
}

#[test]
fn links_that_die_at_once_are_not_opened_in_a_hurry() {
    const PAUSE: Duration = Duration::from_millis(50);
    let peer = ScriptedPeer::start(|call, link| link.standard(call)).unwrap();
    let broker = RabbitBroker::connect(config(peer.address()).backoff(PAUSE, 2 * PAUSE), soon()).unwrap();
    let events = broker.events();
    let hang_up_all = || {
        let connections = peer.calls().iter().map(|call| call.connection).max().unwrap();
        for connection in 1..=connections {
            // False for those that are over.
            let _ = peer.tell(connection, |link| link.hang_up());
        }
    };
    let start = Instant::now();
    for _ in 0..5 {
        hang_up_all();
        while events.recv_deadline(soon()).unwrap() != Event::Connected(Side::Consuming) {}
    }
    assert!(start.elapsed() >= 4 * PAUSE, "5 links in {:?}", start.elapsed());
}

#[test]
fn a_private_queue_goes_with_its_endpoint_also_while_the_broker_is_away() {
    let (broker, proxy, url) = through_proxy();
    let events = broker.events();
    let news = ExchangeSpec::new(name("news-of-links"), ExchangeKind::Fanout);
    let options = EndpointOptions::default();
    let endpoint =
        Endpoint::exchange(broker.clone(), &news, RoutingKey::default(), &[Binding::default()], options).unwrap();
    let queue = endpoint.queue_name().unwrap().clone();
    proxy.refuse(true).unwrap();
    proxy.reset();
    while !matches!(events.recv_deadline(soon()).unwrap(), Event::Disconnected(Side::Consuming, _)) {}
    let _ = endpoint.close(past());
    drop(endpoint);
    proxy.refuse(false).unwrap();
    // Declarations are taken in their order, so the deletion is done when this is.
    broker.declare_exchange(&news, soon()).unwrap();
    let other = open(&url, soon()).unwrap();
    assert_eq!(other.queue_status(&queue, soon()), Err(AttachError::UnknownQueue(queue)));
    other.delete_exchange(&news.name, soon()).unwrap();
}

#[test]
fn a_broker_that_says_nothing_is_left_in_time() {
    let (broker, proxy, _) = through_proxy();
    let queue = broker.declare_queue(&QueueSpec::anonymous(), soon()).unwrap();
    let _consumer = consumer(&*broker, &queue, 5);
    proxy.pause();
    let start = Instant::now();
    let limit = Duration::from_millis(300);
    assert_eq!(broker.close(start + limit), Err(CloseError::Deadline));
    assert!(start.elapsed() < limit + Duration::from_secs(2), "{:?}", start.elapsed());
    // The proxy sees that both sockets are gone.
    proxy.resume();
    assert!(proxy.wait_for_connections(0, Instant::now() + Duration::from_secs(5)));
}

#[test]
fn a_refusal_amid_other_publishes_costs_no_link() {
    let broker = RabbitBroker::connect(RabbitConfig::from_url(TestBroker::shared().unwrap().url()).unwrap(), soon());
    let broker = broker.unwrap();
    let queue = broker.declare_queue(&QueueSpec::anonymous(), soon()).unwrap();
    let missing = Route::exchange(&name("missing-for-links"), RoutingKey::default());
    let mut producer = broker.producer(ProducerOptions::default().window(100, 64 << 20)).unwrap();
    let mut consumer = consumer(&broker, &queue, 1);
    let large = Message::new(vec![7; 8 << 20]);
    for round in 0..10 {
        producer.publish(&missing, body(round), soon()).unwrap();
        // The broker's refusal comes while this is handed over, piece by piece.
        producer.publish(&Route::queue(&queue), large.clone(), soon()).unwrap();
        let mut settled = [Outcome::Unknown; 2];
        while settled.contains(&Outcome::Unknown) {
            let range = producer.settled().recv_deadline(soon()).unwrap();
            range.ids().for_each(|id| settled[(id - 2 * round) as usize] = range.outcome);
        }
        assert_eq!(settled, [Outcome::Refused(Refusal::UnknownExchange), Outcome::Confirmed]);
        let delivery = take(&*consumer);
        assert!(delivery.message.body == large.body, "a message that was made up");
        consumer.ack(delivery.tag).unwrap();
    }
    assert_nothing(&*consumer);
    assert_eq!(broker.stats().reconnects, 0, "a link was lost");
    broker.delete_queue(&queue, DeleteOptions::default(), soon()).unwrap();
}
