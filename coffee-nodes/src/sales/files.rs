//! Result files: written aside, and put in place together when all are complete.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use coffee_core::{operator::Row, sales::ResultRow};

use super::{ResultSummary, SalesError};
use crate::{AsideFile, embedded::Piece};

/// Rows of a result that are kept for showing.
const SHOWN: usize = 10;

/// A CSV file that is not in place yet.
pub(super) struct CsvFile {
    path: PathBuf,
    writer: csv::Writer<AsideFile>,
}

impl CsvFile {
    pub fn create(folder: &Path, name: &str, header: &[&str]) -> Result<Self, SalesError> {
        let path = folder.join(name);
        let file = AsideFile::create(&path).map_err(|error| SalesError::Write { path: path.clone(), error })?;
        let writer = csv::WriterBuilder::new().buffer_capacity(256 << 10).from_writer(file);
        let mut csv = CsvFile { path, writer };
        csv.write(|field| header.iter().for_each(|name| field(name.as_bytes())))?;
        Ok(csv)
    }

    /// Writes a record, whose fields `fields` passes on.
    pub fn write(&mut self, fields: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Result<(), SalesError> {
        let mut result = Ok(());
        fields(&mut |field| {
            if result.is_ok() {
                result = self.writer.write_field(field);
            }
        });
        result.and_then(|()| self.writer.write_record(None::<&[u8]>)).map_err(|error| self.failed(error.into()))
    }

    /// Puts the file in place, over one that may be there.
    pub fn put_in_place(self) -> Result<PathBuf, SalesError> {
        let CsvFile { path, writer } = self;
        let file = writer.into_inner().map_err(|error| error.into_error());
        file.and_then(AsideFile::put_in_place).map_err(|error| SalesError::Write { path, error })
    }

    fn failed(&self, error: io::Error) -> SalesError {
        SalesError::Write { path: self.path.clone(), error }
    }
}

/// Removes a file of an earlier run.
pub(super) fn remove(path: &Path) -> Result<(), SalesError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SalesError::Write { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// Takes the pieces of one result.
pub(super) trait TakeResult {
    fn take(&mut self, piece: &Piece<'_>) -> Result<(), SalesError>;

    fn put_in_place(self: Box<Self>) -> Result<ResultSummary, SalesError>;
}

/// Writes a result's rows as CSV.
pub(super) struct ResultFile<R> {
    sink: String,
    file: CsvFile,
    rows: u64,
    shown: Vec<R>,
}

impl<R: Row + ResultRow> ResultFile<R> {
    pub fn create(folder: &Path, sink: &str) -> Result<Self, SalesError> {
        let file = CsvFile::create(folder, &file_name(sink), R::HEADER)?;
        Ok(ResultFile { sink: sink.to_owned(), file, rows: 0, shown: Vec::new() })
    }
}

/// The name of a result's file.
pub(super) fn file_name(sink: &str) -> String {
    format!("{sink}.csv")
}

impl<R: Row + ResultRow> TakeResult for ResultFile<R> {
    fn take(&mut self, piece: &Piece<'_>) -> Result<(), SalesError> {
        for row in piece.rows::<R>() {
            let row = row.map_err(|error| self.file.failed(io::Error::other(error)))?;
            self.file.write(|field| row.fields(field))?;
            self.rows += 1;
            if self.shown.len() < SHOWN {
                self.shown.push(row);
            }
        }
        Ok(())
    }

    fn put_in_place(self: Box<Self>) -> Result<ResultSummary, SalesError> {
        let texts = |row: &R| {
            let mut texts = Vec::new();
            row.fields(&mut |field| texts.push(String::from_utf8_lossy(field).into_owned()));
            texts
        };
        Ok(ResultSummary {
            name: self.sink,
            header: R::HEADER,
            shown: self.shown.iter().map(texts).collect(),
            rows: self.rows,
            file: self.file.put_in_place()?,
        })
    }
}
