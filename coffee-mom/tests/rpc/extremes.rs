//! Calls with options at their limits, and with types that panic.

use std::sync::Arc;
use std::time::Duration;

use coffee_mom::rpc::{CallError, Client, ClientOptions, NoError, Semantics, Server, ServerOptions};
use coffee_mom::*;
use serde::{Deserialize, Deserializer, Serialize};

use crate::support::*;
use crate::{own_queue, shortly};

fn alone() -> Arc<dyn Broker> {
    Arc::new(MemoryBroker::new())
}

#[test]
fn no_span_of_time_is_too_long_or_too_short() {
    let broker = alone();
    let handler = |n: u32| Ok::<_, NoError>(n);
    let options = ServerOptions::default().patience(Duration::MAX).setup(Duration::MAX);
    let server = Server::start(broker.clone(), &own_queue(), options, handler).unwrap();
    for semantics in [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce] {
        let options = ClientOptions::default().semantics(semantics).retry(Duration::MAX).setup(Duration::MAX);
        let client = Client::<u32, u32>::new(broker.clone(), server.queue(), options).unwrap();
        assert_eq!(client.call(&1, soon()), Ok(1), "{semantics:?}");
    }
    let silent = broker.declare_queue(&own_queue(), soon()).unwrap();
    let client = Client::<u32, u32>::new(broker, &silent, ClientOptions::default().retry(Duration::ZERO)).unwrap();
    assert_eq!(client.call(&1, shortly()), Err(CallError::Timeout));
    client.close(soon()).unwrap();
    assert!(client.stats().retries < 1000);
}

/// A value that can't be read.
#[derive(Debug, Serialize)]
struct Bomb;

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("planned")
    }
}

#[test]
fn a_decoder_that_panics_is_answered() {
    let broker = alone();
    let handler = |_: Bomb| Ok::<_, NoError>(1);
    let server = Server::start(broker.clone(), &own_queue(), ServerOptions::default(), handler).unwrap();
    let client = Client::<Bomb, u32>::new(broker.clone(), server.queue(), ClientOptions::default()).unwrap();
    assert_eq!(client.call(&Bomb, soon()), Err(CallError::Undecodable));
    let handler = |n: u32| Ok::<_, NoError>(n);
    let server = Server::start(broker.clone(), &own_queue(), ServerOptions::default(), handler).unwrap();
    let client = Client::<u32, Bomb>::new(broker, server.queue(), ClientOptions::default()).unwrap();
    assert!(matches!(client.call(&1, soon()), Err(CallError::Reply(_))));
}
