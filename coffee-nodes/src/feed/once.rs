//! Rows that can be gone through once.

use parking_lot::Mutex;

use coffee_core::operator::Row;

use super::{Chunks, Feed, FeedError, rows::RowChunks};
use crate::job::{Place, TableManifest};

/// Rows that are gone once they are read.
pub(crate) struct OnceFeed<I> {
    name: String,
    rows: Mutex<Option<I>>,
}

impl<I> OnceFeed<I> {
    /// The rows of the source of that name.
    pub fn new(name: &str, rows: I) -> Self {
        OnceFeed { name: name.to_owned(), rows: Mutex::new(Some(rows)) }
    }
}

impl<R: Row, I: Iterator<Item = R> + Send> Feed for OnceFeed<I> {
    /// Always an error: what is described may have to be sent again.
    fn manifest(&self, _chunk_bytes: u32) -> Result<TableManifest, FeedError> {
        Err(FeedError::Once(self.name.clone()))
    }

    fn chunks(&self, chunk_bytes: usize, from: Place) -> Result<Box<dyn Chunks + '_>, FeedError> {
        let rows = self.rows.lock().take().filter(|_| from == Place::default());
        let rows = rows.ok_or_else(|| FeedError::Once(self.name.clone()))?;
        Ok(Box::new(RowChunks::new(&self.name, rows, chunk_bytes)))
    }

    fn bytes(&self) -> u64 {
        0
    }
}
