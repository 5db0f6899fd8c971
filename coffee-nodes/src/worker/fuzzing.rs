//! A target for fuzzers: what replicas say to each other.

use coffee_core::fuzzing::decoded;

use super::replicas::Said;

/// A message.
pub(crate) fn said(bytes: &[u8]) {
    decoded::<Said>(bytes);
}
