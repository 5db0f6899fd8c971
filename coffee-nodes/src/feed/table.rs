//! Files as a feed.

use super::{Chunks, Feed, FeedError, Position};
use crate::{
    input::{Chunker, Table},
    job::{Place, TableManifest},
};

impl Feed for Table {
    fn manifest(&self, _chunk_bytes: u32) -> Result<TableManifest, FeedError> {
        Ok(Table::manifest(self)?)
    }

    fn chunks(&self, chunk_bytes: usize, from: Place) -> Result<Box<dyn Chunks + '_>, FeedError> {
        Ok(Box::new(Chunker::resume(self, chunk_bytes, from)))
    }

    fn bytes(&self) -> u64 {
        Table::bytes(self)
    }
}

impl Chunks for Chunker {
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, FeedError> {
        let info = Chunker::fill(self, buffer)?;
        Ok(info.map(|info| Position { at: info.place(), next: info.next, header: info.header, bytes: info.position }))
    }
}
