//! Immutable text that lies in the row itself while it is short, so that reading a row allocates nothing.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use bytemuck::NoUninit;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use thiserror::Error;

/// Texts of up to this many bytes need no heap: room for a UUID, and all that fits into 40 bytes.
const INLINE: usize = 39;

/// Immutable UTF-8 text. Up to 39 bytes lie inline; a longer one is on the heap and shared between its clones.
///
/// Equality, order and hash are those of the bytes.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Inline(Inline),
    Heap(Arc<str>),
}

/// A short text, as 40 bytes in memory: the text, valid UTF-8; bytes that mean nothing; and in the last byte one more than the
/// text's length.
///
/// It is made of whole words, written at once, because a row that is put together from bytes and then copied by the word
/// makes the processor wait for each word.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Inline {
    head: [u64; 4],
    /// Not zero, as its last byte isn't, which leaves zero to mark a text on the heap.
    tail: NonZeroU64,
}

impl Inline {
    /// From a text and what follows it; `None` if it is too long.
    #[inline(always)]
    fn new(bytes: &[u8; INLINE + 1], length: usize) -> Option<Self> {
        if length > INLINE {
            return None;
        }
        let word = |place: usize| u64::from_le_bytes(*bytes.as_chunks().0.get(place).unwrap_or(&[0; 8]));
        let length_byte = (length as u64 + 1) << 56;
        let tail = NonZeroU64::new((word(4) & (u64::MAX >> 8) | length_byte).to_le())?;
        Some(Inline { head: [word(0).to_le(), word(1).to_le(), word(2).to_le(), word(3).to_le()], tail })
    }

    #[inline(always)]
    fn as_bytes(&self) -> &[u8] {
        let length = (u64::from_le(self.tail.get()) >> 56) as usize - 1;
        bytemuck::bytes_of(self).get(..length).unwrap_or_default()
    }
}

const _: () = assert!(size_of::<Text>() == 40);

/// The bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid UTF-8")]
pub struct NotUtf8;

impl Text {
    /// The text that `bytes` hold. Fails if they are not UTF-8.
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, NotUtf8> {
        std::str::from_utf8(bytes).map(Text::from).map_err(|_| NotUtf8)
    }

    /// The text in the first `length` bytes of `rest`, which the caller knows to be UTF-8. What follows them may be
    /// copied along, because a copy of fixed size is the faster one, but makes no difference.
    #[inline(always)]
    pub(crate) fn from_utf8_prefix(rest: &[u8], length: usize) -> Self {
        match rest.first_chunk().and_then(|bytes| Inline::new(bytes, length)) {
            Some(inline) => Text(Repr::Inline(inline)),
            None => Text::copied(rest.get(..length).unwrap_or(rest)),
        }
    }

    /// Whether `bytes` are UTF-8.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), NotUtf8> {
        std::str::from_utf8(bytes).map(drop).map_err(|_| NotUtf8)
    }

    /// From bytes that the caller knows to be UTF-8.
    #[inline(never)]
    fn copied(text: &[u8]) -> Self {
        let mut bytes = [0; INLINE + 1];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        match Inline::new(&bytes, text.len()) {
            Some(inline) => Text(Repr::Inline(inline)),
            None => Text(Repr::Heap(String::from_utf8_lossy(text).into())),
        }
    }

    /// The text's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(inline) => inline.as_bytes(),
            Repr::Heap(text) => text.as_bytes(),
        }
    }

    /// The text. Costs a check of a short text's bytes; where bytes do, take [`Text::as_bytes`].
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Inline(inline) => std::str::from_utf8(inline.as_bytes()).unwrap_or_default(),
            Repr::Heap(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::copied(text.as_bytes())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::from(text.as_str())
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::from("")
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::from(text))
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Text::from_utf8(bytes).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_that_is_not_utf8_is_refused() {
        assert_eq!(Text::from_utf8(b"caf\xC3"), Err(NotUtf8));
        assert_eq!(Text::from_utf8("café".as_bytes()), Ok(Text::from("café")));
    }

    #[test]
    fn a_uuid_lies_inline_and_a_long_text_is_shared() {
        let id = Text::from("28287d2a-4126-46f6-a338-9ee12a8c6015");
        assert!(matches!(id.0, Repr::Inline(_)));
        let long = Text::from("x".repeat(INLINE + 1));
        let clone = long.clone();
        assert!(std::ptr::eq(long.as_bytes(), clone.as_bytes()));
    }

    proptest! {
        #[test]
        fn text_is_what_it_was_made_of(text in ".{0,60}", behind in ".{0,60}") {
            let made = Text::from(text.as_str());
            prop_assert_eq!(made.as_str(), text.as_str());
            prop_assert_eq!(made.to_string(), text.as_str());
            prop_assert_eq!(format!("{made:?}"), format!("{text:?}"));
            let whole = text.clone() + &behind;
            prop_assert_eq!(Text::from_utf8_prefix(whole.as_bytes(), text.len()), made.clone());
            let bytes = postcard::to_allocvec(&made).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_allocvec(&text).unwrap());
            prop_assert_eq!(postcard::from_bytes::<Text>(&bytes).unwrap(), made);
        }

        #[test]
        fn text_is_ordered_by_its_bytes(a in ".{0,45}", b in ".{0,45}") {
            prop_assert_eq!(Text::from(a.as_str()).cmp(&Text::from(b.as_str())), a.as_bytes().cmp(b.as_bytes()));
            prop_assert_eq!(Text::from(a.as_str()) == Text::from(b.as_str()), a == b);
        }
    }
}
