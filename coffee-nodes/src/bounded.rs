//! Decodes what strangers send within bounds: each is kept while it is decoded, before there is memory for more.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// A text of at most so many bytes.
pub(crate) fn text<'de, D: Deserializer<'de>, const MOST: usize>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text { most: MOST })
}

/// At most so many bytes, encoded as a sequence of them is.
pub(crate) fn bytes<'de, D: Deserializer<'de>, const MOST: usize>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_bytes(Bytes { most: MOST })
}

/// At most so many items.
pub(crate) fn items<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    weighed(deserializer, MOST, |_| 1)
}

/// Items that weigh at most so much together.
pub(crate) fn weighed<'de, D, T>(deserializer: D, most: usize, weigh: fn(&T) -> usize) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Items { most, weigh, item: PhantomData })
}

struct Text {
    most: usize,
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of at most {} bytes", self.most)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        if text.len() > self.most { Err(E::invalid_length(text.len(), &self)) } else { Ok(text.to_owned()) }
    }
}

struct Bytes {
    most: usize,
}

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} bytes", self.most)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        if bytes.len() > self.most { Err(E::invalid_length(bytes.len(), &self)) } else { Ok(bytes.to_vec()) }
    }
}

struct Items<T> {
    most: usize,
    weigh: fn(&T) -> usize,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "items that weigh at most {} together", self.most)
    }

    /// What was announced is no reason to make room: only what has come is.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        let mut weight = 0_usize;
        while let Some(item) = sequence.next_element()? {
            weight = weight.saturating_add((self.weigh)(&item));
            if weight > self.most {
                return Err(A::Error::invalid_length(weight, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde::de::value::{Error, SeqDeserializer};

    use super::*;

    #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    struct Within {
        #[serde(deserialize_with = "text::<_, 3>")]
        text: String,
        #[serde(deserialize_with = "bytes::<_, 4>")]
        bytes: Vec<u8>,
        #[serde(deserialize_with = "items::<_, _, 2>")]
        items: Vec<u64>,
    }

    fn within(text: &str, bytes: &[u8], items: &[u64]) -> bool {
        let value = Within { text: text.into(), bytes: bytes.into(), items: items.into() };
        let decoded = postcard::from_bytes::<Within>(&postcard::to_stdvec(&value).unwrap());
        decoded.is_ok_and(|decoded| decoded == value)
    }

    #[test]
    fn what_is_within_comes_out_as_it_was_and_nothing_else_does() {
        assert!(within("", &[], &[]));
        assert!(within("abc", &[1, 2, 200, 4], &[1, 300]));
        assert!(!within("abcd", &[], &[]));
        assert!(!within("", &[1, 2, 3, 4, 5], &[]));
        assert!(!within("", &[], &[1, 2, 3]));
    }

    #[test]
    fn no_more_is_decoded_than_one_item_too_many() {
        let decoded = Cell::new(0);
        let endless = std::iter::repeat_n(7_u32, 1_000_000).inspect(|_| decoded.set(decoded.get() + 1));
        let sequence = SeqDeserializer::<_, Error>::new(endless);
        assert!(weighed::<_, u32>(sequence, 70, |n| *n as usize).is_err());
        assert_eq!(decoded.get(), 11);
    }
}
