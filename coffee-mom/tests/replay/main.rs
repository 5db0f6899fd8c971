//! What a producer on RabbitMQ does about answers that come late, in a mess or never: against a peer
//! that gives them by script.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod answers;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use coffee_mom::testing::peer::{Call, FromClient, Link, ScriptedPeer, ToClient};
use coffee_mom::*;
use support::*;

fn connect(peer: &ScriptedPeer) -> RabbitBroker {
    let address = peer.address();
    let config = RabbitConfig::new(address.ip().to_string(), address.port())
        .backoff(Duration::from_millis(1), Duration::from_millis(10));
    RabbitBroker::connect(config, soon()).unwrap()
}

fn route() -> Route {
    Route::queue(&name("queue"))
}

/// The publishes that the peer has got: of which connection, the number in the body, and whether
/// they are marked as sent again. But for those without a body: they are made up for what amiquip
/// forgets when the server closes the channel.
fn publishes(calls: &[Call]) -> Vec<(usize, u8, bool)> {
    let publishes = calls.iter().filter_map(|call| match &call.method {
        FromClient::Publish { message, .. } => Some((call.connection, message)),
        _ => None,
    });
    let numbered = publishes.filter_map(|(of, message)| Some((of, *message.body.first()?, message)));
    numbered.map(|(of, number, message)| (of, number, !message.properties().headers.is_empty())).collect()
}

fn publish_all(producer: &mut dyn Producer, numbers: Range<u8>) {
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
