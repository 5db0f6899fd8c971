//! What a target for fuzzers asserts of what hosts say to each other.

use bytes::Bytes;

pub(in crate::rpc) use super::transfer::HEADERS;
use super::transfer::Notice;
use crate::message::Message;

/// Fails where the message is a notice that does not come back out of its own message.
pub(in crate::rpc) fn notice(message: &Message) {
    if let Some(notice) = Notice::of(message) {
        assert_eq!(Notice::of(&notice.message(Bytes::new())), Some(notice));
    }
}
