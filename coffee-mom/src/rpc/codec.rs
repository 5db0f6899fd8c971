//! Values to bytes and back: postcard.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a value has no bytes, or bytes are no value of the type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(transparent)]
pub struct CodecError(#[from] postcard::Error);

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let encoded = catch_unwind(AssertUnwindSafe(|| postcard::to_stdvec(value)));
    Ok(encoded.unwrap_or(Err(postcard::Error::SerdeSerCustom))?)
}

/// All of the bytes have to be used: what is left over is a sign of another type.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let decoded = catch_unwind(AssertUnwindSafe(|| postcard::take_from_bytes(bytes)));
    match decoded.unwrap_or(Err(postcard::Error::SerdeDeCustom))? {
        (value, []) => Ok(value),
        _ => Err(CodecError(postcard::Error::SerdeDeCustom)),
    }
}
