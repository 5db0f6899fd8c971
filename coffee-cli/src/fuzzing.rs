//! Targets for fuzzers: functions of any bytes that fail by a panic where a parser breaks a promise. With the feature
//! `fuzzing` alone, and no part of the API.

use std::{path::Path, sync::LazyLock};

use coffee_core::fuzzing::{Target, parsed};

use crate::{cluster::Counts, config::fuzzing::refusal, duration, monitors::Peers, sales, size, store};

/// The targets of this crate.
pub const TARGETS: &[Target] = &[("config", config), ("arguments", arguments)];

/// What must not be shown.
const SECRET: &str = "hidden-word";

static COMMAND: LazyLock<clap::Command> = LazyLock::new(sales::command);

/// The text of a `--config` file; a password stands behind it.
fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for text in [text, &format!("{text}\nbroker = 'amqp://me:{SECRET}@host'\n")] {
        if let Some(said) = refusal(Path::new("file"), text, &COMMAND) {
            assert!(said.starts_with("file, line ") && !said.contains(SECRET), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

/// Words of command lines.
fn arguments(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    parsed::<Counts>(text);
    parsed::<Peers>(text);
    match duration::parse(text) {
        Ok(time) => assert_eq!(duration::parse(&duration::show(time)), Ok(time)),
        Err(error) => assert!(!error.is_empty()),
    }
    if let Ok(bytes) = size::parse(text) {
        assert_eq!(size::parse(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(pause) = store::parse(text) {
        assert!(pause.first <= pause.longest && !pause.first.is_zero());
    }
}
