//! Targets for fuzzers: functions of any bytes that fail by a panic where a parser breaks a promise. With the feature
//! `fuzzing` alone, and no part of the API. Those that see what is private are beside it.

use std::error::Error;

use crate::{
    Credentials, Name, NameError, RabbitConfig, RoutingKey, memory::fuzzing::topics, name::MAX_SHORT_BYTES,
    rpc::fuzzing,
};

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] =
    &[("rpc", fuzzing::messages), ("rpc_state", fuzzing::state), ("topics", topics), ("url", url), ("names", names)];

/// What must not be shown. It stands wherever a text has a `$`.
const SECRET: &str = "hidden-word";

/// A broker's URL.
fn url(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match RabbitConfig::from_url(&text.replace('$', SECRET)) {
        Ok(config) => {
            assert_eq!(config.validate(), Ok(()));
            let shown = format!("{:?}", config.credentials);
            assert!(!shown.contains(SECRET), "{shown}");
            assert!(matches!(config.credentials, Credentials::Plain { .. } | Credentials::External));
        }
        Err(error) => {
            let mut shown = format!("{error:?} {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                shown += &format!(" {error:?} {error}");
                cause = error.source();
            }
            assert!(!shown.contains(SECRET), "{shown}");
        }
    }
}

/// A name and a routing key.
fn names(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Name::new(text) {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            assert!(!text.is_empty() && text.len() <= MAX_SHORT_BYTES && text.lines().count() == 1);
        }
        Err(NameError::Empty) => assert!(text.is_empty()),
        Err(NameError::TooLong(length)) => assert!(length == text.len() && length > MAX_SHORT_BYTES),
        Err(_) => assert!(text.contains(['\r', '\n'])),
    }
    assert_eq!(RoutingKey::new(text).is_ok(), text.len() <= MAX_SHORT_BYTES);
}
