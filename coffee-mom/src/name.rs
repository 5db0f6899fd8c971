//! Names of queues and exchanges, and routing keys: validated once, shared after.
//!
//! Limits are those of the AMQP 0-9-1 short string, because a longer one would
//! corrupt the frame that carries it; so both brokers refuse the same names.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Most bytes a name, a routing key or a short property may have.
pub const MAX_SHORT_BYTES: usize = 255;

/// Prefix that brokers keep for names of their own.
pub(crate) const RESERVED_PREFIX: &str = "amq.";

/// Why a text is no name, routing key or short property.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// A queue or an exchange has to have a name.
    #[error("the name is empty")]
    Empty,
    /// Brokers drop line breaks from names, and it would be another name.
    #[error("the name has a line break")]
    LineBreak,
    /// The text has more than [`MAX_SHORT_BYTES`] bytes.
    #[error("{0} bytes are more than the {MAX_SHORT_BYTES} that a name may have")]
    TooLong(usize),
}

/// Fails if `text` does not fit a short string.
pub(crate) fn check_short(text: &str) -> Result<(), NameError> {
    if text.len() > MAX_SHORT_BYTES {
        return Err(NameError::TooLong(text.len()));
    }
    Ok(())
}

/// The name of a queue or an exchange: 1 to [`MAX_SHORT_BYTES`] bytes without line breaks. Cloning
/// shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks and keeps `text`.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, too long, or has a line break.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.contains(['\r', '\n']) {
            return Err(NameError::LineBreak);
        }
        check_short(text)?;
        Ok(Self(text.into()))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name lies in the brokers' own name space and can't be declared.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED_PREFIX)
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A routing key or a binding's pattern: 0 to [`MAX_SHORT_BYTES`] bytes. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingKey(Arc<str>);

impl RoutingKey {
    /// Checks and keeps `text`; the empty key is a key.
    ///
    /// # Errors
    /// [`NameError::TooLong`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_short(text)?;
        Ok(Self(text.into()))
    }

    /// The text of the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RoutingKey {
    fn default() -> Self {
        Self("".into())
    }
}

impl TryFrom<&str> for RoutingKey {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// A name is as long as a key may be, so a queue's name is the key that leads to it.
impl From<Name> for RoutingKey {
    fn from(name: Name) -> Self {
        Self(name.0)
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_255_bytes() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert!(Name::new(&"n".repeat(255)).is_ok());
        assert_eq!(Name::new(&"n".repeat(256)), Err(NameError::TooLong(256)));
        assert_eq!(Name::new(&"é".repeat(128)), Err(NameError::TooLong(256)));
        assert_eq!(Name::new("two\nlines"), Err(NameError::LineBreak));
    }

    #[test]
    fn keys_may_be_empty() {
        assert_eq!(RoutingKey::new("").unwrap(), RoutingKey::default());
        assert_eq!(RoutingKey::new(&"k".repeat(300)), Err(NameError::TooLong(300)));
    }

    #[test]
    fn brokers_keep_a_prefix() {
        assert!(Name::new("amq.gen-1").unwrap().is_reserved());
        assert!(!Name::new("amqp").unwrap().is_reserved());
    }
}
