//! Targets for fuzzers: functions of any bytes that fail by a panic where a decoder or parser breaks a promise. With the
//! feature `fuzzing` alone, and no part of the API.

mod csv;
mod frame;
mod node;
mod text;

use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::codec;

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("frame", frame::frame),
    ("chunk", frame::chunk),
    ("node", node::node),
    ("csv", csv::csv),
    ("placement", text::placement),
    ("values", text::values),
];

/// The value that these bytes begin with, if they do; fails where it does not come back out of its encoding.
pub fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug>(mut bytes: &[u8]) -> Option<T> {
    let value = codec::decode::<T>(&mut bytes).ok()?;
    let mut encoded = Vec::new();
    codec::encode(&value, &mut encoded).unwrap();
    let mut rest = encoded.as_slice();
    assert_eq!(codec::decode::<T>(&mut rest).as_ref(), Ok(&value));
    assert!(rest.is_empty(), "more was encoded than is decoded: {value:?}");
    Some(value)
}

/// The value of a text, if it is one; fails where it does not come back out of its own text.
pub fn parsed<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&value), "shown as {shown:?}");
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
