//! What travels: a body of bytes and its properties. Nothing here knows a broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::name::{NameError, check_short};

/// Most bytes that the properties of a message may have together: they travel in one frame, and the
/// smallest that AMQP 0-9-1 allows has 4,096 bytes.
pub const MAX_PROPERTIES_BYTES: usize = 4000;

/// Most lists and tables that may lie in each other in the value of a header. What others publish and lies
/// deeper is cut off there.
pub const MAX_NESTING: usize = 63;

/// Headers by name. Names have at most [`MAX_SHORT_BYTES`](crate::MAX_SHORT_BYTES) bytes.
pub type Headers = BTreeMap<String, Value>;

/// The value of a header.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// UTF-8 text.
    Text(String),
    /// Seconds since 1970-01-01T00:00:00Z.
    Timestamp(u64),
    /// Values in order.
    List(Vec<Value>),
    /// Headers within a header.
    Table(Headers),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// What a message says about itself, all of it optional.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Properties {
    /// The sender's id of the message; the same when the message is sent again.
    pub message_id: Option<String>,
    /// What ties a reply to its request.
    pub correlation_id: Option<String>,
    /// The queue that a reply goes to.
    pub reply_to: Option<String>,
    /// The kind of the body, for its reader.
    pub content_type: Option<String>,
    /// When it was sent, in seconds since 1970-01-01T00:00:00Z.
    pub timestamp: Option<u64>,
    /// Anything else.
    pub headers: Headers,
}

static NO_PROPERTIES: Properties = Properties {
    message_id: None,
    correlation_id: None,
    reply_to: None,
    content_type: None,
    timestamp: None,
    headers: Headers::new(),
};

impl Properties {
    /// Sets the message id.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = Some(id.into());
        self
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Sets the queue that a reply goes to.
    #[must_use]
    pub fn reply_to(mut self, queue: impl Into<String>) -> Self {
        self.reply_to = Some(queue.into());
        self
    }

    /// Adds a header, or replaces the one of that name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Fails if a property or a header's name is too long for any broker, a header is too deep, or all are too
    /// large.
    pub(crate) fn check(&self) -> Result<(), PropertyError> {
        self.shorts().try_for_each(|text| check_short(text))?;
        check_headers(&self.headers)?;
        match self.wire_size() {
            size if size > MAX_PROPERTIES_BYTES => Err(PropertyError::TooLarge(size)),
            _ => Ok(()),
        }
    }

    fn shorts(&self) -> impl Iterator<Item = &String> {
        [&self.message_id, &self.correlation_id, &self.reply_to, &self.content_type].into_iter().flatten()
    }

    /// How many bytes they take in a frame of AMQP 0-9-1, at most.
    pub(crate) fn wire_size(&self) -> usize {
        let texts: usize = self.shorts().map(|text| 1 + text.len()).sum();
        // The timestamp, the delivery mode, the length of the headers, and the mark of a replay.
        texts + 8 + 1 + 4 + 24 + table_size(&self.headers)
    }
}

/// Why the properties of a message can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// One of them, or a header's name, is too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Lists and tables of a header lie deeper in each other than any reader should have to follow.
    #[error("a header has more than {MAX_NESTING} lists and tables in each other")]
    TooDeep,
    /// All together are larger than every connection takes for sure.
    #[error("properties of {0} bytes are more than the {MAX_PROPERTIES_BYTES} that are taken")]
    TooLarge(usize),
}

fn table_size(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| 1 + name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    1 + match value {
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Timestamp(_) => 8,
        Value::Text(text) => 4 + text.len(),
        Value::List(values) => 4 + values.iter().map(value_size).sum::<usize>(),
        Value::Table(headers) => 4 + table_size(headers),
    }
}

/// Fails if a name is too long at any depth, or a value too deep.
pub(crate) fn check_headers(headers: &Headers) -> Result<(), PropertyError> {
    check_table(headers, MAX_NESTING)
}

/// `room` is how many lists and tables may lie in each other below.
fn check_table(headers: &Headers, room: usize) -> Result<(), PropertyError> {
    headers.iter().try_for_each(|(name, value)| {
        check_short(name)?;
        check_value(value, room)
    })
}

fn check_value(value: &Value, room: usize) -> Result<(), PropertyError> {
    let room = room.checked_sub(1).ok_or(PropertyError::TooDeep);
    match value {
        Value::Table(headers) => check_table(headers, room?),
        Value::List(values) => {
            let room = room?;
            values.iter().try_for_each(|value| check_value(value, room))
        }
        _ => Ok(()),
    }
}

/// A body and its properties. Cloning shares both: no byte of a body is copied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The body: any bytes, also none.
    pub body: Bytes,
    // Most messages of a pipeline have none, so they cost one word.
    properties: Option<Arc<Properties>>,
}

impl Message {
    /// A message without properties.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), properties: None }
    }

    /// The same body with these properties.
    #[must_use]
    pub fn with(self, properties: Properties) -> Self {
        Self { properties: Some(Arc::new(properties)), ..self }
    }

    /// The properties; those of a message without any are all empty.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        self.properties.as_deref().unwrap_or(&NO_PROPERTIES)
    }

    /// Fails if a property can't be sent over any broker.
    pub(crate) fn check(&self) -> Result<(), PropertyError> {
        self.properties.as_deref().map_or(Ok(()), Properties::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shares_body_and_properties() {
        let message = Message::new(vec![7; 300]).with(Properties::default().message_id("m"));
        let clone = message.clone();
        assert_eq!(clone.body.as_ptr(), message.body.as_ptr());
        assert!(std::ptr::eq(clone.properties(), message.properties()));
    }

    #[test]
    fn what_can_not_be_sent_is_found_at_any_depth() {
        let long = "x".repeat(256);
        let inner = Headers::from([(long.clone(), Value::Bool(true))]);
        let nested = Value::List(vec![Value::Table(inner)]);
        for properties in [
            Properties::default().message_id(long.clone()),
            Properties::default().header(long, 1),
            Properties::default().header("list", nested),
        ] {
            assert_eq!(properties.check(), Err(NameError::TooLong(256).into()));
        }
        assert_eq!(Properties::default().header("text", "x".repeat(300).as_str()).check(), Ok(()));
        let deep = |lists| (0..lists).fold(Value::from(1), |inner, _| Value::List(vec![inner]));
        assert_eq!(Properties::default().header("deep", deep(MAX_NESTING)).check(), Ok(()));
        assert_eq!(Properties::default().header("deep", deep(MAX_NESTING + 1)).check(), Err(PropertyError::TooDeep));
        let large = Properties::default().header("text", "x".repeat(MAX_PROPERTIES_BYTES).as_str());
        assert!(matches!(large.check(), Err(PropertyError::TooLarge(_))));
    }
}
