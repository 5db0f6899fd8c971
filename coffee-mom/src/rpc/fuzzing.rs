//! Targets for fuzzers: requests, replies and notices out of messages with any properties, and what hosts keep of calls.

#![expect(clippy::unwrap_used, reason = "a target fails by a panic")]

use bytes::Bytes;
use serde::Deserialize;

use super::{
    codec::{decode, encode},
    objects::fuzzing::{self, notice},
    table::{Limits, Table},
    wire::{CallId, HEADERS, Reply, Request, Status},
};
use crate::message::{Message, Properties, Value};

/// What a message says beside its body.
#[derive(Deserialize)]
struct Said {
    correlation_id: Option<String>,
    reply_to: Option<String>,
    /// Some of the headers that are known, by their indices.
    headers: Vec<(u8, Header)>,
}

#[derive(Deserialize)]
enum Header {
    Text(String),
    Int(i64),
    Bool(bool),
}

/// A message: of any properties that it may have.
pub(crate) fn messages(bytes: &[u8]) {
    let Ok(Said { correlation_id, reply_to, headers }) = decode::<Said>(bytes) else { return };
    let mut properties = Properties { correlation_id, reply_to, ..Properties::default() };
    let known = [&HEADERS[..], &fuzzing::HEADERS].concat();
    for (name, value) in headers {
        let value = match value {
            Header::Text(text) => Value::Text(text),
            Header::Int(number) => Value::Int(number),
            Header::Bool(value) => Value::Bool(value),
        };
        properties = properties.header(known[usize::from(name) % known.len()], value);
    }
    let message = Message::new(Bytes::new()).with(properties);
    if let Some(request) = Request::of(&message) {
        // Only what is sent to an object has hops.
        let request = Request { hops: if request.object.is_some() { request.hops } else { 0 }, ..request };
        assert_eq!(Request::of(&request.message(Bytes::new())).as_ref(), Some(&request));
        if let Some((number, status)) = Reply::of(&message) {
            let reply = Reply::empty(status).message(&request.return_address());
            assert_eq!(Reply::of(&reply), Some((number, status)));
        }
    }
    notice(&message);
}

/// A reply that is kept, and the table of calls that moves with an object: it takes more calls, whatever it holds.
pub(crate) fn state(bytes: &[u8]) {
    if let Ok(reply) = decode::<Reply>(bytes) {
        assert_eq!(decode(&encode(&reply).unwrap()).as_ref(), Ok(&reply));
    }
    if let Ok(table) = decode::<Table>(bytes) {
        let mut table = decode::<Table>(&encode(&table).unwrap()).unwrap().adopt(Limits::default());
        for number in 0..4 {
            let id = CallId { caller: "caller".into(), number };
            table.admit(&id, number / 2);
            table.keep(&id, &Reply { status: Status::Done, body: vec![7; 10] });
        }
    }
}
