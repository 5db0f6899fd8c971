//! What is left of clients and hosts that could not be started.

use coffee_mom::faults::{FaultPlan, FaultyBroker};
use coffee_mom::rpc::objects::{Host, HostOptions};
use coffee_mom::rpc::{Client, ClientOptions};
use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions};

use super::objects::Counter;
use super::*;

#[test]
fn a_failed_start_leaves_no_queue() {
    let own = OwnBroker::start(OwnOptions::default()).unwrap();
    let inner = connect(&own.url());
    let queues = || own.eval("length(rabbit_amqqueue:list())").unwrap();
    let failing_at = |operation| Arc::new(FaultyBroker::new(inner.clone(), FaultPlan::new(7).fail_at(operation)));

    // A client declares its queue and attaches to it.
    let client = Client::<u32, u32>::new(failing_at(1), &unique("nobody"), ClientOptions::default());
    assert!(client.is_err());
    assert_eq!(queues(), "0");
    // A host declares the space before.
    let host = Host::<Counter>::start(failing_at(2), &unique("space"), HostOptions::default());
    assert!(host.is_err());
    assert_eq!(queues(), "0");
}
