//! All results of a request while they come.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use coffee_core::{
    exec::RejectedRow,
    operator::Row,
    plan::{Plan, SinkId},
    sales::ResultRow,
};

use super::{
    ResultSummary, SalesError,
    files::{self, CsvFile, ResultFile, TakeResult},
    rejected,
};
use crate::{embedded::Piece, input::Table};

/// Makes a result's file in a folder, aside.
type Create = fn(&Path, &str) -> Result<Box<dyn TakeResult>, SalesError>;

/// A result that is asked for.
pub(super) struct Answer {
    /// Its sink.
    pub sink: String,
    create: Create,
}

impl Answer {
    /// The result of a sink.
    pub fn of<R: Row + ResultRow>(sink: &SinkId<R>) -> Self {
        Answer {
            sink: sink.name().to_owned(),
            create: |folder, sink| Ok(Box::new(ResultFile::<R>::create(folder, sink)?)),
        }
    }
}

/// The files that are being written.
pub(super) struct Results<'a> {
    folder: &'a Path,
    files: BTreeMap<String, Box<dyn TakeResult>>,
    rejected: Vec<RejectedRow>,
}

impl<'a> Results<'a> {
    /// Makes a file for each, aside.
    pub fn create(folder: &'a Path, answers: &[Answer]) -> Result<Self, SalesError> {
        let create = |Answer { sink, create }: &Answer| Ok((sink.clone(), create(folder, sink)?));
        let files = answers.iter().map(create).collect::<Result<_, SalesError>>()?;
        Ok(Results { folder, files, rejected: Vec::new() })
    }

    /// Takes the next piece of a result, or of the list of rejected rows.
    pub fn take(&mut self, piece: &Piece<'_>) -> Result<(), SalesError> {
        if let Some(file) = self.files.get_mut(piece.sink) {
            return file.take(piece);
        }
        for row in piece.rows() {
            let path = || self.folder.join(rejected::FILE);
            self.rejected
                .push(row.map_err(|error| SalesError::Write { path: path(), error: io::Error::other(error) })?);
        }
        Ok(())
    }

    /// A result can't be had: it has no file.
    pub fn give_up(&mut self, sink: &str) {
        self.files.remove(sink);
    }

    /// Puts the files in place, over those of earlier runs; of results that are not here, those are removed.
    pub fn put_in_place(
        self,
        plan: &Plan,
        tables: &[Table],
    ) -> Result<(Vec<ResultSummary>, Option<PathBuf>), SalesError> {
        // All that can fail for other reasons than the file system's is done before the first file is in place.
        let rejected = rejected::write(self.folder, self.rejected, tables)?;
        let absent: Vec<String> =
            plan.sinks().filter(|sink| !self.files.contains_key(*sink)).map(files::file_name).collect();
        let results = self.files.into_values().map(|file| file.put_in_place()).collect::<Result<_, _>>()?;
        let none_rejected = rejected.is_none().then(|| rejected::FILE.to_owned());
        for old in absent.into_iter().chain(none_rejected) {
            files::remove(&self.folder.join(old))?;
        }
        Ok((results, rejected.map(CsvFile::put_in_place).transpose()?))
    }
}
