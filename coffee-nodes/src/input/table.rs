//! A table on disk: which files it has, in reading order, and their header lines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::InputError;
use super::file::{Identity, InputFile, Opened};

/// The files of one table, in reading order.
#[derive(Clone, Debug)]
pub struct Table {
    name: String,
    files: Arc<[TableFile]>,
}

/// One file of a table.
#[derive(Clone, Debug)]
pub struct TableFile {
    path: PathBuf,
    header: Arc<[u8]>,
    bytes: u64,
    identity: Identity,
}

impl Table {
    /// Finds the files of table `name`: all `*.csv` and `*.csv.gz` of the folder `data/name`, in the byte order of
    /// their names; hidden ones (names that begin with a dot) and sub-folders are passed over. Reads each file's header
    /// line. Blocks for the disk.
    ///
    /// # Errors
    /// A folder that is missing or can't be listed, no file in it, a file that can't be opened or read, is empty, has
    /// an overlong header line, or is no gzip file although its name says so.
    pub fn open(data: &Path, name: &str) -> Result<Table, InputError> {
        if !is_folder(data)? {
            return Err(InputError::NoDataFolder { path: data.to_owned() });
        }
        let folder = data.join(name);
        if !is_folder(&folder)? {
            return Err(InputError::NoTable { table: name.to_owned(), path: folder });
        }
        let paths = csv_files(&folder)?;
        if paths.is_empty() {
            return Err(InputError::NoFiles { table: name.to_owned(), path: folder });
        }
        let files = paths.into_iter().map(TableFile::open).collect::<Result<_, _>>()?;
        Ok(Table { name: name.to_owned(), files })
    }

    /// The table's name, which is its folder's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files in reading order; a file's index is its number in chunks and lines.
    pub fn files(&self) -> &[TableFile] {
        &self.files
    }

    /// Each file's path and header line, in reading order.
    pub fn headers(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|file| (file.path(), file.header()))
    }

    /// The size of all files on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(TableFile::bytes).sum()
    }

    pub(super) fn shared_files(&self) -> Arc<[TableFile]> {
        Arc::clone(&self.files)
    }
}

impl TableFile {
    fn open(path: PathBuf) -> Result<Self, InputError> {
        let metadata = fs::metadata(&path).map_err(|source| InputError::reading(&path, false, source))?;
        if !metadata.is_file() {
            // Opening a pipe, for one, could wait for good.
            return Err(InputError::NoFile { path });
        }
        let Opened { file, header, .. } = InputFile::open_behind_header(&path, &mut Vec::new())?;
        Ok(TableFile { identity: file.identity()?, path, header: header.into(), bytes: metadata.len() })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without its folder, for people: what isn't UTF-8 in it is replaced.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file's first line that isn't empty, without its LF; otherwise as it is: a BOM and a CR may be there.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The file's size on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn shared_header(&self) -> Arc<[u8]> {
        Arc::clone(&self.header)
    }
}

/// Whether there is a folder at `path`; an error if the system won't say.
fn is_folder(path: &Path) -> Result<bool, InputError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(InputError::Folder { path: path.to_owned(), source }),
    }
}

fn csv_files(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let unreadable = |source| InputError::Folder { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        if is_csv(name.as_encoded_bytes()) && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn is_csv(name: &[u8]) -> bool {
    !name.starts_with(b".") && (name.ends_with(b".csv") || name.ends_with(b".csv.gz"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::input::LINE_LIMIT;
    use crate::input::testing::folder_with;

    #[test]
    fn files_are_in_byte_order_and_others_are_passed_over() {
        let data = folder_with(&[
            ("b.csv", b"x\n1\n"),
            ("B.csv", b"y"),
            ("a10.csv", b"z\r\n"),
            ("a9.csv", b"\xef\xbb\xbfz"),
            ("a.txt", b""),
            (".a.csv", b""),
        ]);
        fs::create_dir(data.path().join("t/folder.csv")).unwrap();
        let table = Table::open(data.path(), "t").unwrap();
        let names: Vec<_> = table.files().iter().map(TableFile::name).collect();
        assert_eq!(names, ["B.csv", "a10.csv", "a9.csv", "b.csv"]);
        let headers: Vec<_> = table.headers().map(|(_, header)| header).collect();
        assert_eq!(headers, [b"y".as_slice(), b"z\r", b"\xef\xbb\xbfz", b"x"]);
        assert_eq!(table.bytes(), 1 + 3 + 4 + 4);
    }

    #[test]
    fn what_is_missing_is_named() {
        let data = folder_with(&[]);
        let missing = data.path().join("nowhere");
        assert!(matches!(Table::open(&missing, "t"), Err(InputError::NoDataFolder { path }) if path == missing));
        assert!(matches!(Table::open(data.path(), "u"), Err(InputError::NoTable { table, .. }) if table == "u"));
        assert!(matches!(Table::open(data.path(), "t"), Err(InputError::NoFiles { table, .. }) if table == "t"));
        fs::write(data.path().join("file"), "").unwrap();
        assert!(matches!(Table::open(data.path(), "file"), Err(InputError::NoTable { .. })));
        assert!(matches!(Table::open(&data.path().join("file"), "t"), Err(InputError::NoDataFolder { .. })));
    }

    #[test]
    fn files_without_a_header_that_can_be_read_are_refused() {
        let empty = folder_with(&[("a.csv", b"")]);
        assert!(
            matches!(Table::open(empty.path(), "t"), Err(InputError::NoHeader { path }) if path.ends_with("a.csv"))
        );
        let longest = vec![b'x'; LINE_LIMIT];
        let data = folder_with(&[("a.csv", &[&longest[..], b"\r\n1"].concat())]);
        assert_eq!(Table::open(data.path(), "t").unwrap().files()[0].header().len(), LINE_LIMIT + 1);
        for end in [&b"x"[..], b"x\n", b"xx\nx"] {
            let data = folder_with(&[("a.csv", &[&longest[..], end].concat())]);
            assert!(matches!(Table::open(data.path(), "t"), Err(InputError::HeaderTooLong { .. })));
        }
    }

    #[test]
    fn a_file_that_is_no_gzip_is_refused() {
        let data = folder_with(&[("a.csv.gz", b"a,b\n1,2\n")]);
        assert!(
            matches!(Table::open(data.path(), "t"), Err(InputError::Gzip { path, .. }) if path.ends_with("a.csv.gz"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nowhere_is_an_unreadable_file() {
        let data = folder_with(&[]);
        std::os::unix::fs::symlink("nowhere", data.path().join("t/a.csv")).unwrap();
        assert!(matches!(Table::open(data.path(), "t"), Err(InputError::File { .. })));
    }
}
