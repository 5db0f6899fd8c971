//! What the tests of this module share.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Table;

/// A folder with the table `t`, which has these files.
pub(super) fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("t")).unwrap();
    for (name, content) in files {
        fs::write(data.path().join("t").join(name), content).unwrap();
    }
    data
}

/// The same, opened; the folder lasts as long as the first value.
pub(super) fn table(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Table) {
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_slice())).collect();
    let data = folder_with(&files);
    let table = Table::open(data.path(), "t").unwrap();
    (data, table)
}

/// The content as one gzip member.
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
