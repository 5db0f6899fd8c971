//! What tests of brokers and of programs on them need: a real RabbitMQ of their own, a proxy that
//! disturbs a connection, and a peer that plays a server by script. Proxy and peer are one `driver`
//! each, which others watch through a `watch`.

mod driver;
pub mod peer;
pub mod proxy;
pub mod rabbitmq;
mod watch;
