//! What connections leave behind in their process. One test alone, as it counts what all have.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use coffee_mom::testing::peer::{FromClient, ScriptedPeer, ToClient};
use coffee_mom::*;
use support::*;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Connects to a peer that says it is blocked after the first publish, hears of that, and closes.
fn close_while_blocked(peer: &ScriptedPeer) {
    let address = peer.address();
    let broker = RabbitBroker::connect(RabbitConfig::new(address.ip().to_string(), address.port()), soon()).unwrap();
    let events = broker.events();
    let mut producer = broker.producer(ProducerOptions::default()).unwrap();
    producer.publish(&Route::queue(&name("queue")), body(0), soon()).unwrap();
    while !matches!(events.recv_deadline(soon()).unwrap(), Event::Blocked(_)) {}
    broker.close(soon()).unwrap();
}

#[test]
fn connections_that_are_closed_while_the_broker_is_blocked_leave_no_descriptor() {
    let peer = ScriptedPeer::start(|call, link| {
        link.standard(call);
        if matches!(call.method, FromClient::Publish { .. }) {
            link.send(0, ToClient::Blocked { reason: "low on memory".into() });
        }
    });
    let peer = peer.unwrap();
    let before = descriptors();
    (0..5).for_each(|_| close_while_blocked(&peer));
    // The peer closes its own ends by itself.
    let deadline = soon();
    while descriptors() > before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(descriptors(), before);
}
