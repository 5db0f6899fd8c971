//! A target for fuzzers: the file of attempts.

use super::attempts::{MOST, deaths, file};

/// The file's bytes.
pub(crate) fn attempts(bytes: &[u8]) {
    let noted = deaths(bytes);
    // A file is read up to where one with so many ends.
    assert!(noted.len() <= MOST.max(bytes.len() / 32));
    assert_eq!(deaths(&file(&noted)), noted);
}
