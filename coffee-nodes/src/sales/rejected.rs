//! `rejected.csv`: the rows that were left out.

use std::path::Path;

use coffee_core::{
    exec::RejectedRow,
    rejection::{Line, RAW_LIMIT},
};

use super::{SalesError, files::CsvFile, tables};
use crate::input::{Table, lines};

pub(super) const FILE: &str = "rejected.csv";

/// Writes the file aside, if there is anything to be in it; the rows come in table, file and line order.
pub(super) fn write(
    folder: &Path,
    mut rows: Vec<RejectedRow>,
    opened: &[Table],
) -> Result<Option<CsvFile>, SalesError> {
    if rows.is_empty() {
        return Ok(None);
    }
    fill_in(&mut rows, opened)?;
    let mut file = CsvFile::create(folder, FILE, &["file", "line", "column", "reason", "raw"])?;
    for RejectedRow { source, rejection } in &rows {
        let table = opened.iter().find(|table| table.name() == source);
        let name = table.map(|table| tables::file_name(table, rejection.line.file)).unwrap_or_default();
        let raw = String::from_utf8_lossy(whole_characters(rejection.raw.as_deref().unwrap_or_default()));
        let fields = [&name, &rejection.line.number.to_string(), &rejection.column, &rejection.reason, raw.as_ref()];
        file.write(|field| fields.iter().for_each(|text| field(text.as_bytes())))?;
    }
    Ok(Some(file))
}

/// The text without the part of a character that a cut may have left at its end. What else is not UTF-8 is shown as
/// U+FFFD, so that the file can be read.
fn whole_characters(raw: &[u8]) -> &[u8] {
    let Some(raw) = raw.get(..RAW_LIMIT) else { return raw };
    let tail = raw.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
    let unended = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if unended { raw.get(..raw.len() - tail.len()).unwrap_or(raw) } else { raw }
}

/// Looks up the text of rows that were rejected by whoever did not have it.
fn fill_in(rows: &mut [RejectedRow], opened: &[Table]) -> Result<(), SalesError> {
    for table in opened {
        let mut missing: Vec<&mut RejectedRow> =
            rows.iter_mut().filter(|row| row.source == table.name() && row.rejection.raw.is_none()).collect();
        let wanted: Vec<Line> = missing.iter().map(|row| row.rejection.line).collect();
        if wanted.is_empty() {
            continue;
        }
        for (row, raw) in missing.iter_mut().zip(lines::raw(table, &wanted).map_err(SalesError::Read)?) {
            row.rejection.raw = Some(raw);
        }
    }
    Ok(())
}
