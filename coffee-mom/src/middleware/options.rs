//! What an endpoint may be asked to be like.

use std::time::{Duration, Instant};

use crate::consumer::ConsumerOptions;
use crate::deadline;
use crate::producer::ProducerOptions;

use super::PanicPolicy;

/// What an endpoint is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointOptions {
    /// How it sends.
    pub producer: ProducerOptions,
    /// How it consumes.
    pub consumer: ConsumerOptions,
    /// What happens when the callback panics.
    pub on_panic: PanicPolicy,
    /// How long its making may take.
    pub setup: Duration,
}

impl Default for EndpointOptions {
    /// The defaults of producers and consumers, [`PanicPolicy::RequeueOnce`], 30 seconds to be made.
    fn default() -> Self {
        Self {
            producer: ProducerOptions::default(),
            consumer: ConsumerOptions::default(),
            on_panic: PanicPolicy::default(),
            setup: Duration::from_secs(30),
        }
    }
}

impl EndpointOptions {
    pub(super) fn setup_deadline(&self) -> Instant {
        deadline::after(self.setup)
    }

    /// Sets how long its making may take.
    #[must_use]
    pub fn setup(mut self, limit: Duration) -> Self {
        self.setup = limit;
        self
    }

    /// Sets how it sends.
    #[must_use]
    pub fn producer(mut self, options: ProducerOptions) -> Self {
        self.producer = options;
        self
    }

    /// Sets how it consumes.
    #[must_use]
    pub fn consumer(mut self, options: ConsumerOptions) -> Self {
        self.consumer = options;
        self
    }

    /// Sets what happens when the callback panics.
    #[must_use]
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }
}
