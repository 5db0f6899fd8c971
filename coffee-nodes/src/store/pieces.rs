//! Long values, stored in pieces: a value of redb takes pages of 4 KiB times a power of two, so one of just above 256 KiB,
//! which most frames have, would take 512 KiB of the disk and of its bandwidth.

use redb::{Key, ReadableTable, StorageError, Table, Value};

/// A piece fills 256 KiB together with its key and the page's own bytes.
const PIECE: usize = (256 << 10) - 64;

/// Stores a value under keys that end with the piece's number.
pub(crate) fn put<K>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: impl Fn(u32) -> K,
    bytes: &[u8],
) -> Result<(), StorageError>
where
    K: Key + for<'a> Value<SelfType<'a> = K> + 'static,
{
    let mut pieces = bytes.chunks(PIECE);
    table.insert(key(0), pieces.next().unwrap_or_default())?;
    for (number, piece) in (1..).zip(pieces) {
        table.insert(key(number), piece)?;
    }
    Ok(())
}

/// The value that was stored under these keys; empty where there is none.
pub(crate) fn get<K>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: impl Fn(u32) -> K,
) -> Result<Vec<u8>, StorageError>
where
    K: Key + for<'a> Value<SelfType<'a> = K> + 'static,
{
    let mut bytes = Vec::new();
    for piece in table.range(key(0)..=key(u32::MAX))? {
        bytes.extend_from_slice(piece?.1.value());
    }
    Ok(bytes)
}
