//! Every case of the conformance suite, on every broker of this crate.

use coffee_mom::conformance::MemorySubject;
use coffee_mom::conformance_suite;

mod conformance {
    use super::*;

    conformance_suite!(memory, MemorySubject::default());

    #[cfg(unix)]
    conformance_suite!(rabbitmq, super::rabbitmq(), Control);
}

/// A missing RabbitMQ fails each of the tests.
#[cfg(unix)]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
fn rabbitmq() -> coffee_mom::conformance::RabbitSubject {
    coffee_mom::conformance::RabbitSubject::shared().expect("a RabbitMQ")
}
