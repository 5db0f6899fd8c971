//! Message-oriented middleware: one synchronous, thread-based contract over queues and exchanges.
//!
//! - [`MessageMiddleware`] is a queue or an exchange to send to and to be called back from:
//!   [`send`](MessageMiddleware::send), [`start_consuming`](MessageMiddleware::start_consuming),
//!   [`stop_consuming`](MessageMiddleware::stop_consuming), [`close`](MessageMiddleware::close),
//!   [`delete`](MessageMiddleware::delete). [`Endpoint`] implements it once, for every broker.
//! - [`Broker`] lies below: it makes a [`Producer`] with pipelined confirms and a [`Consumer`] with
//!   manual acks, for owners that select over several things at once. Object-safe, bytes only.
//! - [`open`] picks the broker by URL; [`MemoryBroker`] is the one within the process.
//!
//! Every wait has a deadline, every buffer a bound, and nothing ends in silence.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use coffee_mom::{ConsumerOptions, Message, Name, Outcome, ProducerOptions, QueueSpec, Route, open};
//!
//! let soon = Instant::now() + Duration::from_secs(5);
//! let broker = open("memory:", soon)?;
//! let queue = broker.declare_queue(&QueueSpec::named(Name::new("orders")?), soon)?;
//!
//! let mut producer = broker.producer(ProducerOptions::default())?;
//! producer.publish(&Route::queue(&queue), Message::new("one espresso"), soon)?;
//! assert_eq!(producer.settled().recv_deadline(soon)?.outcome, Outcome::Confirmed);
//!
//! let mut consumer = broker.consumer(&queue, ConsumerOptions::default(), soon)?;
//! let delivery = consumer.deliveries().recv_deadline(soon)?;
//! assert_eq!(&delivery.message.body[..], b"one espresso");
//! consumer.ack(delivery.tag)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod broker;
pub mod conformance;
mod consumer;
mod deadline;
mod event;
pub mod faults;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod message;
mod middleware;
mod name;
mod open;
mod producer;
mod rabbitmq;
mod random;
mod route;
pub mod rpc;
pub mod testing;
mod thread;
pub mod tls;
mod topology;
mod unacked;

pub use broker::{AttachError, BindError, Broker, CloseError, ConnectionError, DeclareError, DeleteError};
pub use consumer::{AckError, Consumer, ConsumerEnd, ConsumerOptions, Delivery, DeliveryTag, Nack};
pub use event::{Event, Side, Stats};
pub use memory::MemoryBroker;
pub use message::{Headers, MAX_NESTING, MAX_PROPERTIES_BYTES, Message, Properties, PropertyError, Value};
pub use middleware::{
    BarrierError, Endpoint, EndpointError, EndpointOptions, Handler, MessageMiddleware, PanicPolicy, SendError,
    SettleError, StartError, StopError, Verdict,
};
pub use name::{MAX_SHORT_BYTES, Name, NameError, RoutingKey};
pub use open::{OpenError, open};
pub use producer::{Outcome, Producer, ProducerOptions, PublishError, PublishId, Refusal, Settled};
pub use rabbitmq::{
    ConfigError, ConnectError, Credentials, Host, PLAIN_PORT, RabbitBroker, RabbitConfig, TLS_PORT, UrlError,
};
pub use route::Route;
pub use topology::{
    Binding, DeleteOptions, ExchangeKind, ExchangeSpec, HeaderMatch, QueueKind, QueueSpec, QueueStatus,
};
