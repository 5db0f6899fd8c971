//! What a client may send next, by the protocol and by its manifest.

use coffee_core::{frame::ChunkMeta, plan::SourceInfo};

use super::{Phase, Session, Table, progress::Progress};
use crate::{gateway::refused::Refused, job::Place};

/// No file has more lines or bytes: so nothing that counts on from there overflows.
const MAX_LINE: u64 = 1 << 53;

/// What a table waits for.
enum Next {
    Number(u64),
    None,
    NotNeeded,
}

impl Session {
    /// Checks that a chunk is the next of its table. `None`: the job has ended, and nothing of it is needed any more.
    ///
    /// # Errors
    /// Where the protocol does not allow it.
    pub fn expect_chunk(
        &self,
        table: u16,
        seq: u64,
        at: Place,
        bytes: u32,
    ) -> Result<Option<(&SourceInfo, ChunkMeta<'_>)>, Refused> {
        let place = usize::from(table);
        let file = self.manifest.tables.get(place).and_then(|table| table.files.get(at.file as usize));
        let (Some(source), Some(file)) = (self.sources.get(place), file) else {
            return Err(Refused::protocol("a chunk of a table or file that the manifest does not have"));
        };
        // None has no bytes: it would count for no limit.
        if bytes == 0 || bytes > self.manifest.chunk_bytes || at.line > MAX_LINE || at.offset > MAX_LINE {
            return Err(Refused::protocol("a chunk that is no part of any file that the manifest may have"));
        }
        let meta = ChunkMeta { file: at.file, first_line: at.line, header: &file.header };
        let next = self.expect(table, Progress::expects_chunk)?;
        match next {
            Next::NotNeeded => Ok(None),
            Next::Number(number) if number == seq && at.line > 0 => {
                self.expect_bytes(place, bytes)?;
                Ok(Some((source, meta)))
            }
            _ => Err(Refused::protocol("a chunk that is not the next of its table")),
        }
    }

    /// Checks that a table has no more bytes than its manifest says: a job's limits count these.
    fn expect_bytes(&self, table: usize, bytes: u32) -> Result<(), Refused> {
        let state = self.state();
        let fits = |table: &Table| table.progress.bytes().saturating_add(bytes.into()) <= table.most_bytes;
        if state.tables.get(table).is_some_and(fits) {
            return Ok(());
        }
        Err(Refused::protocol("more bytes of a table than its manifest says"))
    }

    /// Checks that a table has as many chunks as its client says. `None`: as for [`expect_chunk`](Self::expect_chunk).
    ///
    /// # Errors
    /// Where the protocol does not allow it.
    pub fn expect_end(&self, table: u16, chunks: u64) -> Result<Option<&SourceInfo>, Refused> {
        let next = self.expect(table, Progress::expects_end)?;
        match (next, self.sources.get(usize::from(table))) {
            (Next::NotNeeded, _) => Ok(None),
            (Next::Number(number), Some(source)) if number == chunks => Ok(Some(source)),
            _ => Err(Refused::protocol("a table's end that is not behind its last chunk")),
        }
    }

    fn expect(&self, table: u16, number: impl FnOnce(&Progress) -> Option<u64>) -> Result<Next, Refused> {
        let state = self.state();
        match (&state.phase, state.tables.get(usize::from(table))) {
            (Phase::Waiting { .. }, _) => Err(Refused::protocol("data of a job that waits")),
            (Phase::Ended(_) | Phase::Over(_), _) => Ok(Next::NotNeeded),
            (Phase::Running, Some(table)) => Ok(number(&table.progress).map_or(Next::None, Next::Number)),
            (Phase::Running, None) => Err(Refused::protocol("a table that the manifest does not have")),
        }
    }
}
