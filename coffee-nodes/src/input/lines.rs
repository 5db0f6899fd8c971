//! Finds lines of a table again by their numbers, to show their text.

use coffee_core::rejection::{Line, RAW_LIMIT};

use super::file::{InputFile, without_cr};
use super::{InputError, Table};

/// Files are read in pieces of this size, in bytes.
const PIECE: usize = 256 * 1024;

/// The text of the `wanted` lines, which must be sorted, in their order: without its line end and cut to [`RAW_LIMIT`]
/// bytes; empty for a line that isn't there. Each file that is named is read once, as far as it takes, and no line is
/// held whole. Blocks for the disk.
///
/// # Errors
/// A file that can't be read or is damaged before the last line that is wanted of it.
pub fn raw(table: &Table, wanted: &[Line]) -> Result<Vec<Vec<u8>>, InputError> {
    let mut texts = Vec::with_capacity(wanted.len());
    for of_file in wanted.chunk_by(|a, b| a.file == b.file) {
        let file = of_file.first().and_then(|line| table.files().get(line.file as usize));
        let end = texts.len() + of_file.len();
        if let Some(file) = file {
            read_file(InputFile::open(file.path())?, of_file, &mut texts)?;
        }
        texts.resize(end, Vec::new());
    }
    Ok(texts)
}

/// Appends the texts of the lines that the file has.
fn read_file(mut file: InputFile, wanted: &[Line], texts: &mut Vec<Vec<u8>>) -> Result<(), InputError> {
    let mut wanted = wanted.iter().map(|line| line.number).peekable();
    let mut current = Current { number: 1, text: Vec::new() };
    let mut piece = Vec::with_capacity(PIECE);
    while wanted.peek().is_some() && file.read(&mut piece, PIECE)? > 0 {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            if wanted.peek() == Some(&current.number) {
                current.add(part);
            }
            if part.ends_with(b"\n") {
                while wanted.next_if_eq(&current.number).is_some() {
                    texts.push(current.cut());
                }
                current = Current { number: current.number + 1, text: Vec::new() };
            }
        }
        piece.clear();
    }
    while wanted.next_if_eq(&current.number).is_some() {
        texts.push(current.cut());
    }
    Ok(())
}

/// The line that is being read.
struct Current {
    number: u64,
    /// Its beginning, with one byte more than is shown, which may be the CR at its end.
    text: Vec<u8>,
}

impl Current {
    fn add(&mut self, part: &[u8]) {
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        let room = (RAW_LIMIT + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn cut(&self) -> Vec<u8> {
        let text = without_cr(&self.text);
        text.get(..RAW_LIMIT).unwrap_or(text).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lines(places: &[(u32, u64)]) -> Vec<Line> {
        places.iter().map(|&(file, number)| Line { file, number }).collect()
    }

    #[test]
    fn lines_are_found_and_cut() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("t")).unwrap();
        let long = "x".repeat(3 * PIECE);
        let fits = "y".repeat(RAW_LIMIT);
        fs::write(data.path().join("t/a.csv"), format!("h\r\n1\r\n\n{long}\n{fits}\r\n{fits}z\nlast\r")).unwrap();
        fs::write(data.path().join("t/b.csv"), "h").unwrap();
        let table = Table::open(data.path(), "t").unwrap();
        let wanted =
            lines(&[(0, 1), (0, 2), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (0, 8), (1, 1), (1, 2), (7, 1)]);
        let texts = raw(&table, &wanted).unwrap();
        let cut = "x".repeat(RAW_LIMIT);
        let expected = ["h", "1", "1", "", &cut, &fits, &fits, "last", "", "h", "", ""];
        assert_eq!(texts, expected.map(|text| text.as_bytes().to_vec()));
        assert_eq!(raw(&table, &lines(&[(0, 7)])).unwrap(), [b"last"]);
        assert!(raw(&table, &[]).unwrap().is_empty());
    }
}
