//! What a table is, told before its data: enough to see later whether it is still the same.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;

use super::file::Identity;
use super::table::TableFile;
use super::{InputError, Table};
use crate::job::{FileManifest, TableManifest};

/// So many of a file's first and of its last bytes are hashed (64 KiB each): a file that grows, or is written anew, has
/// others, and reading them costs next to nothing.
const END: u64 = 64 * 1024;

impl Table {
    /// Describes the table. Blocks for the disk: reads both ends of each file.
    ///
    /// # Errors
    /// A file that can't be read, or isn't the one that the table was opened with.
    pub fn manifest(&self) -> Result<TableManifest, InputError> {
        let files = self.files().iter().map(describe).collect::<Result<_, _>>()?;
        Ok(TableManifest { name: self.name().to_owned(), files })
    }
}

fn describe(known: &TableFile) -> Result<FileManifest, InputError> {
    let path = known.path();
    let unreadable = |source| InputError::reading(path, false, source);
    let mut file = File::open(path).map_err(unreadable)?;
    if Identity::of(&file).map_err(unreadable)? != known.identity() {
        return Err(InputError::Changed { path: path.to_owned() });
    }
    let ends = ends(&mut file, known.bytes()).map_err(unreadable)?;
    Ok(FileManifest { name: known.name(), bytes: known.bytes(), ends, header: known.header().to_vec() })
}

/// The CRC-32 of the first bytes on disk, and that of the last.
fn ends(file: &mut File, bytes: u64) -> io::Result<u64> {
    let first = crc(file)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(END)))?;
    Ok(u64::from(first) << 32 | u64::from(crc(file)?))
}

fn crc(file: &File) -> io::Result<u32> {
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    let mut crc = Crc::new();
    crc.update(&end);
    Ok(crc.sum())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::input::testing::{gzip, table};

    #[test]
    fn a_table_is_described_by_its_files() {
        let (_data, table) = table(&[("a.csv", b"x,y\r\n1,2".to_vec()), ("b.csv.gz", gzip(b"y\n"))]);
        let manifest = table.manifest().unwrap();
        assert_eq!(manifest.name, "t");
        let files: Vec<_> = manifest.files.iter().map(|file| (file.name.as_str(), file.bytes, &file.header)).collect();
        assert_eq!(files, [("a.csv", 8, &b"x,y\r".to_vec()), ("b.csv.gz", gzip(b"y\n").len() as u64, &b"y".to_vec())]);
        assert_eq!(table.manifest().unwrap(), manifest);
    }

    #[test]
    fn a_change_at_either_end_shows() {
        let content = [b"x\n".to_vec(), b"1\n".repeat(200_000)].concat();
        let ends = |content: &[u8]| table(&[("a.csv", content.to_vec())]).1.manifest().unwrap().files[0].ends;
        let known = ends(&content);
        for at in [2, 60_000, content.len() - 60_000, content.len() - 2] {
            let mut changed = content.clone();
            changed[at] = b'2';
            assert_ne!(ends(&changed), known, "{at}");
        }
    }

    #[test]
    fn a_file_that_has_changed_is_not_described() {
        let (data, table) = table(&[("a.csv", b"a,b\n1,2".to_vec())]);
        fs::write(data.path().join("t/a.csv"), "a,b\n1,2,3").unwrap();
        assert!(matches!(table.manifest(), Err(InputError::Changed { .. })));
    }
}
