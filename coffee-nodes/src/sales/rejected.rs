//! `rejected.csv`: the rows that were left out.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use coffee_core::{
    exec::RejectedRow,
    rejection::{Line, RAW_LIMIT},
};

use super::{SalesError, files::AsideFile, tables};
use crate::input::{Table, lines};

pub(super) const FILE: &str = "rejected.csv";

/// Writes the file, if there is anything to be in it; the rows come in table, file and line order.
pub(super) fn write(
    folder: &Path,
    mut rows: Vec<RejectedRow>,
    opened: &BTreeMap<String, Table>,
) -> Result<Option<PathBuf>, SalesError> {
    if rows.is_empty() {
        super::files::remove(&folder.join(FILE))?;
        return Ok(None);
    }
    fill_in(&mut rows, opened)?;
    let mut file = AsideFile::create(folder, FILE, &["file", "line", "column", "reason", "raw"])?;
    for RejectedRow { source, rejection } in &rows {
        let name = opened.get(source).map(|table| tables::file_name(table, rejection.line.file)).unwrap_or_default();
        let raw = rejection.raw.as_deref().unwrap_or_default();
        let raw = String::from_utf8_lossy(raw.get(..RAW_LIMIT).unwrap_or(raw));
        let fields = [&name, &rejection.line.number.to_string(), &rejection.column, &rejection.reason, raw.as_ref()];
        file.write(|field| fields.iter().for_each(|text| field(text.as_bytes())))?;
    }
    file.put_in_place().map(Some)
}

/// Looks up the text of rows that were rejected by whoever did not have it.
fn fill_in(rows: &mut [RejectedRow], opened: &BTreeMap<String, Table>) -> Result<(), SalesError> {
    for (name, table) in opened {
        let mut missing: Vec<&mut RejectedRow> =
            rows.iter_mut().filter(|row| row.source == *name && row.rejection.raw.is_none()).collect();
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
