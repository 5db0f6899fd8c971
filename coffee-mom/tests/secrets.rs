//! What may be known to somebody who reads the log, amiquip's own records included, at the level at
//! which most is written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Mutex;

use coffee_mom::testing::rabbitmq::{OwnBroker, OwnOptions};
use coffee_mom::*;
use log::{LevelFilter, Log, Metadata, Record};
use support::soon;

const PASSWORD: &str = "a-password-that-nobody-may-see";

/// Everything that is logged.
struct Captured(Mutex<String>);

static LOG: Captured = Captured(Mutex::new(String::new()));

impl Log for Captured {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push_str(&line);
    }

    fn flush(&self) {}
}

#[test]
fn no_record_holds_the_password_of_a_login_that_works() {
    let own = OwnBroker::start(OwnOptions::default()).unwrap();
    own.add_user("bob", PASSWORD).unwrap();
    own.set_permissions("bob", "/", [".*"; 3]).unwrap();
    log::set_logger(&LOG).unwrap();
    log::set_max_level(LevelFilter::Trace);

    let login = |password| {
        let config = RabbitConfig::new("127.0.0.1", own.port()).credentials(Credentials::plain("bob", password));
        RabbitBroker::connect(config, soon())
    };
    let broker = login(PASSWORD).unwrap();
    broker.declare_queue(&QueueSpec::anonymous(), soon()).unwrap();
    drop(broker);
    let wrong = "a-password-that-is-wrong";
    let refused = login(wrong).unwrap_err();

    let text = LOG.0.lock().unwrap().clone() + &format!("{refused} {refused:?}");
    assert!(text.contains("sending handshake"), "amiquip's records are among them");
    for secret in [PASSWORD, wrong] {
        assert!(text.lines().all(|line| !line.contains(secret)));
    }
}
