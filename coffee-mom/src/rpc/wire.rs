//! Requests and replies as messages: the body is the value, all else is in the properties.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Message, Properties, Value};
use crate::name::Name;
use crate::route::Route;

use super::Semantics;

const SEMANTICS: &str = "rpc-semantics";
const CALLER: &str = "rpc-caller";
/// All calls of the caller with lower numbers are over: their replies need not be kept.
const LOW: &str = "rpc-low";
pub(super) const OBJECT: &str = "rpc-object";
const HOPS: &str = "rpc-hops";
const STATUS: &str = "rpc-status";
#[cfg(feature = "fuzzing")]
pub(super) const HEADERS: [&str; 6] = [SEMANTICS, CALLER, LOW, OBJECT, HOPS, STATUS];

/// Who called, and its how-manieth call it is: the same for all tries of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallId {
    pub(super) caller: String,
    pub(super) number: u64,
}

/// A request's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: CallId,
    pub(super) low: u64,
    pub(super) semantics: Semantics,
    pub(super) reply_to: Name,
    pub(super) object: Option<String>,
    /// How often it was passed on.
    pub(super) hops: u64,
}

impl Request {
    pub(super) fn message(&self, body: Bytes) -> Message {
        let CallId { caller, number } = &self.id;
        let semantics = match self.semantics {
            Semantics::Maybe => "maybe",
            Semantics::AtLeastOnce => "at-least-once",
            Semantics::AtMostOnce => "at-most-once",
        };
        let mut properties = Properties::default()
            .message_id(format!("{caller}:{number}"))
            .correlation_id(number.to_string())
            .reply_to(self.reply_to.as_str())
            .header(SEMANTICS, semantics)
            .header(CALLER, caller.as_str())
            .header(LOW, int(self.low));
        if let Some(object) = &self.object {
            properties = properties.header(OBJECT, object.as_str()).header(HOPS, int(self.hops));
        }
        Message::new(body).with(properties)
    }

    /// None if it is not a request that can be answered.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let properties = message.properties();
        let semantics = match text(properties, SEMANTICS)? {
            "maybe" => Semantics::Maybe,
            "at-least-once" => Semantics::AtLeastOnce,
            "at-most-once" => Semantics::AtMostOnce,
            _ => return None,
        };
        Some(Self {
            id: CallId { caller: text(properties, CALLER)?.to_owned(), number: correlation(properties)? },
            low: number(properties, LOW)?,
            semantics,
            reply_to: Name::new(properties.reply_to.as_deref()?).ok()?,
            object: text(properties, OBJECT).map(str::to_owned),
            hops: number(properties, HOPS).unwrap_or_default(),
        })
    }

    /// Where its reply goes, and the call that it is of.
    pub(super) fn return_address(&self) -> ReturnAddress {
        ReturnAddress { to: Route::queue(&self.reply_to), number: self.id.number }
    }
}

#[derive(Debug, Clone)]
pub(super) struct ReturnAddress {
    pub(super) to: Route,
    number: u64,
}

/// How a call ended, as the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    /// The body is the result.
    Done,
    /// The body is the handler's error.
    Failed,
    Panicked,
    Undecodable,
    Unsendable,
    Forgotten,
    Unsupported,
    UnknownObject,
}

impl Status {
    const ALL: [(&'static str, Self); 8] = [
        ("done", Self::Done),
        ("failed", Self::Failed),
        ("panicked", Self::Panicked),
        ("undecodable", Self::Undecodable),
        ("unsendable", Self::Unsendable),
        ("forgotten", Self::Forgotten),
        ("unsupported", Self::Unsupported),
        ("unknown-object", Self::UnknownObject),
    ];
}

/// A reply as it is kept and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) status: Status,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn empty(status: Status) -> Self {
        Self { status, body: Vec::new() }
    }

    pub(super) fn message(self, address: &ReturnAddress) -> Message {
        let status = Status::ALL.iter().find(|(_, status)| *status == self.status).map_or("", |(text, _)| text);
        let properties = Properties::default().correlation_id(address.number.to_string()).header(STATUS, status);
        Message::new(self.body).with(properties)
    }

    /// The number of the call and how it ended; none if the message is not a reply.
    pub(super) fn of(message: &Message) -> Option<(u64, Status)> {
        let properties = message.properties();
        let status = text(properties, STATUS)?;
        let (_, status) = Status::ALL.iter().find(|(text, _)| *text == status)?;
        Some((correlation(properties)?, *status))
    }
}

fn correlation(properties: &Properties) -> Option<u64> {
    properties.correlation_id.as_deref()?.parse().ok()
}

pub(super) fn text<'a>(properties: &'a Properties, header: &str) -> Option<&'a str> {
    match properties.headers.get(header)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn number(properties: &Properties, header: &str) -> Option<u64> {
    match properties.headers.get(header)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Numbers count from 0, so none gets near the largest.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
