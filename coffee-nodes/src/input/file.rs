//! One open file: its bytes in order, decompressed if its name ends with `.gz`, and how much of it was read from disk.
//! Lines and chunks are cut elsewhere; the header line alone is split off here.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::bufread::MultiGzDecoder;

use super::{InputError, LINE_LIMIT};

/// Compressed bytes are read in pieces of this size; the header line is looked for in such pieces as well.
const PIECE: usize = 16 * 1024;

/// An open file of a table.
#[derive(Debug)]
pub(super) struct InputFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The file itself and how much of it was read: a wrapper's `Read` would have to zero the memory it reads into.
    Plain(File, u64),
    Gzip(Box<MultiGzDecoder<BufReader<Counted>>>),
}

impl InputFile {
    /// Opens `path`. Blocks for the disk.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let file = File::open(path).map_err(|source| InputError::reading(path, false, source))?;
        let content = if is_compressed(path) {
            let file = BufReader::with_capacity(PIECE, Counted { file, read: 0 });
            Content::Gzip(Box::new(MultiGzDecoder::new(file)))
        } else {
            Content::Plain(file, 0)
        };
        Ok(InputFile { path: path.to_owned(), content })
    }

    /// Opens `path` and splits off its header, the first line that isn't empty; leaves in `rest` what was read behind
    /// it.
    pub fn open_behind_header(path: &Path, rest: &mut Vec<u8>) -> Result<Opened, InputError> {
        let mut file = InputFile::open(path)?;
        rest.clear();
        let (mut text, mut searched) = (Vec::new(), 0);
        let (mut line, mut offset) = (1, 0);
        loop {
            let at_end = file.read(&mut text, PIECE)? < PIECE;
            while let Some(end) = memchr::memchr(b'\n', text.get(searched..).unwrap_or_default()) {
                let end = searched + end;
                let header = without_cr(text.get(..end).unwrap_or_default());
                if header.len() > LINE_LIMIT {
                    return Err(InputError::HeaderTooLong { path: file.path });
                }
                (line, offset, searched) = (line + 1, offset + end as u64 + 1, 0);
                if header.is_empty() {
                    text.drain(..=end);
                    continue;
                }
                rest.extend_from_slice(text.get(end + 1..).unwrap_or_default());
                text.truncate(end);
                return Ok(Opened { file, header: text, line, offset });
            }
            searched = text.len();
            // A CR at the end may be the line end's.
            let header = without_cr(&text);
            if header.len() > LINE_LIMIT {
                return Err(InputError::HeaderTooLong { path: file.path });
            }
            if at_end && header.is_empty() {
                return Err(InputError::NoHeader { path: file.path });
            }
            if at_end {
                return Ok(Opened { file, line: line + 1, offset: offset + text.len() as u64 + 1, header: text });
            }
        }
    }

    /// What tells whether the file is the one that it was.
    ///
    /// # Errors
    /// Where the system won't say.
    pub fn identity(&self) -> Result<Identity, InputError> {
        let file = match &self.content {
            Content::Plain(file, _) => file,
            Content::Gzip(file) => &file.get_ref().get_ref().file,
        };
        Identity::of(file).map_err(|source| InputError::reading(&self.path, false, source))
    }

    /// Passes over the next `amount` bytes: a plain file's without reading them. False if there are not so many, and
    /// then nothing is known of where it stands.
    pub fn pass_over(&mut self, amount: u64) -> Result<bool, InputError> {
        let compressed = matches!(self.content, Content::Gzip(_));
        let passed = match &mut self.content {
            Content::Plain(file, read) => {
                *read = read.saturating_add(amount);
                seek(file, *read)
            }
            Content::Gzip(file) => io::copy(&mut file.take(amount), &mut io::sink()).map(|passed| passed == amount),
        };
        passed.map_err(|source| InputError::reading(&self.path, compressed, source))
    }

    /// Appends the next `amount` bytes to `to`, fewer only at the file's end. Returns how many. After an error nothing
    /// is known of what was appended.
    pub fn read(&mut self, to: &mut Vec<u8>, amount: usize) -> Result<usize, InputError> {
        to.reserve(amount);
        let limit = amount as u64;
        match &mut self.content {
            Content::Plain(file, read) => {
                let count = file
                    .take(limit)
                    .read_to_end(to)
                    .map_err(|source| InputError::reading(&self.path, false, source))?;
                *read += count as u64;
                Ok(count)
            }
            Content::Gzip(file) => {
                file.take(limit).read_to_end(to).map_err(|source| InputError::reading(&self.path, true, source))
            }
        }
    }

    /// The error for a file that isn't what it was.
    pub fn changed(&self) -> InputError {
        InputError::Changed { path: self.path.clone() }
    }

    /// How many bytes of the file, as it is on disk, were read so far.
    pub fn read_from_disk(&self) -> u64 {
        match &self.content {
            Content::Plain(_, read) => *read,
            Content::Gzip(file) => file.get_ref().get_ref().read,
        }
    }
}

/// Goes to a place of a file; false, without going there, if it lies behind the file's end.
fn seek(file: &mut File, place: u64) -> io::Result<bool> {
    if place > file.metadata()?.len() {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(place)).map(|_| true)
}

/// A file's size and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    bytes: u64,
    changed: SystemTime,
}

impl Identity {
    /// What an open file has now.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Identity { bytes: metadata.len(), changed: metadata.modified()? })
    }
}

/// A file whose header was read.
#[derive(Debug)]
pub(super) struct Opened {
    pub file: InputFile,
    /// The header line, without its LF.
    pub header: Vec<u8>,
    /// The number of the line behind it, and its place in the content.
    pub line: u64,
    pub offset: u64,
}

/// Whether the file's name says that it is compressed.
pub(crate) fn is_compressed(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b".gz")
}

/// The line without the CR at its end, if there is one.
pub(super) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A file that counts what the decompressor has read of it.
#[derive(Debug)]
struct Counted {
    file: File,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}
