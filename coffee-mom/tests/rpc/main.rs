//! Remote calls and moving objects: what is promised about results, repetition and the end, on each broker.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod calls;
mod ends;
mod extremes;
mod objects;
#[cfg(unix)]
mod starting;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coffee_mom::rpc::{ClientOptions, Semantics};
use coffee_mom::*;
use support::*;

/// Each case on each broker, as a test of its own.
macro_rules! on_each_broker {
    ($($of:ident::$case:ident)*) => {
        mod memory {
            $(#[test] fn $case() { crate::$of::$case("memory:rpc-tests"); })*
        }

        /// A missing RabbitMQ fails each of the tests.
        #[cfg(unix)]
        mod rabbitmq {
            use coffee_mom::testing::rabbitmq::TestBroker;

            $(#[test] fn $case() { crate::$of::$case(TestBroker::shared().unwrap().url()); })*
        }
    };
}

on_each_broker! {
    calls::results_and_errors_travel
    calls::panics_and_nonsense_are_answered
    calls::many_threads_share_a_client
    calls::a_call_that_nobody_serves_is_unroutable
    calls::maybe_is_one_try
    calls::at_least_once_is_executed_again
    calls::at_most_once_is_executed_once
    calls::a_shared_server_refuses_at_most_once
    ends::a_stop_finishes_what_is_in_hand
    ends::a_queue_has_one_server_unless_it_is_shared
    ends::a_closed_client_tells_those_who_wait
    ends::a_dropped_client_leaves_no_queue
    ends::a_server_says_why_it_has_ended
    objects::objects_move_while_they_are_called
    objects::objects_stay_if_there_is_no_other_host
    objects::objects_have_one_place
    objects::a_dropped_host_leaves_no_queue
    objects::a_host_says_why_it_has_ended
}

fn connect(url: &str) -> Arc<dyn Broker> {
    open(url, soon()).unwrap()
}

/// A name that no other test has, nor another run on the same broker.
fn unique(text: &str) -> Name {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    name(&format!("{text}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A handler that fails for half of its requests.
fn half(n: i32) -> Result<i32, String> {
    if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) }
}

/// A queue that goes with the connection that declares it: clients may send to it all the same.
fn own_queue() -> QueueSpec {
    QueueSpec::anonymous()
}

fn impatient(semantics: Semantics) -> ClientOptions {
    ClientOptions::default().semantics(semantics).retry(Duration::from_millis(5))
}

fn shortly() -> Instant {
    Instant::now() + Duration::from_millis(150)
}

/// Repeats what a faulty broker may fail.
fn insist<T, E: std::fmt::Debug>(mut call: impl FnMut() -> Result<T, E>) -> T {
    let mut last = None;
    for _ in 0..100 {
        match call() {
            Ok(done) => return done,
            Err(error) => last = Some(error),
        }
    }
    panic!("a hundred times in vain: {last:?}");
}
