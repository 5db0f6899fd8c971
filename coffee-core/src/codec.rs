//! Rows as bytes: postcard, back to back.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// Bytes that are not what they should be: cut short, of another version, or foreign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by another version of the format.
    #[error("format version {found} is not supported, only {supported}", supported = crate::frame::FORMAT)]
    Version {
        /// The version that the bytes name.
        found: u8,
    },
    /// Ends too early, or a length runs past its end.
    #[error("the bytes end before what they promise")]
    Truncated,
    /// A value that can't be decoded.
    #[error("a value can't be decoded")]
    Value(#[source] postcard::Error),
    /// Names something that this node's plan does not have.
    #[error("it names {0}, which the plan does not have")]
    Unknown(&'static str),
}

/// A value that can't be encoded, which happens only where its serde implementation refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row can't be encoded")]
pub struct EncodeError(#[source] postcard::Error);

struct Tail<'a>(&'a mut Vec<u8>);

impl Flavor for Tail<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends the value's encoding to `out`.
///
/// # Errors
/// Where the value's serde implementation refuses; `out` may then hold a part of it.
#[inline]
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    postcard::serialize_with_flavor(value, Tail(out)).map_err(EncodeError)
}

/// Decodes one value from the front of `bytes` and moves `bytes` behind it.
///
/// # Errors
/// Where the bytes are not such a value; `bytes` is then unchanged.
#[inline]
pub fn decode<'a, T: Deserialize<'a>>(bytes: &mut &'a [u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Value)?;
    *bytes = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec(any::<(u64, i128, String, Option<u8>)>(), 0..20)) {
            let mut bytes = Vec::new();
            for value in &values {
                encode(value, &mut bytes)?;
            }
            let mut rest = bytes.as_slice();
            for value in values {
                prop_assert_eq!(decode::<(u64, i128, String, Option<u8>)>(&mut rest)?, value);
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() && decode::<(u64, String, Vec<u32>)>(&mut rest).is_ok() {}
        }
    }
}
