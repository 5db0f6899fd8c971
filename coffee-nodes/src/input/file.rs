//! One open file: its bytes in order, decompressed if its name ends with `.gz`, and how much of it was read from disk.
//! Lines and chunks are cut elsewhere; the header line alone is split off here.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

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

    /// Opens `path` and splits off its header line: returns the line without its LF, and leaves in `rest` what was
    /// read behind it.
    pub fn open_behind_header(path: &Path, rest: &mut Vec<u8>) -> Result<(Self, Vec<u8>), InputError> {
        let mut file = InputFile::open(path)?;
        let mut header = Vec::new();
        rest.clear();
        loop {
            let searched = header.len();
            let at_end = file.read(&mut header, PIECE)? < PIECE;
            let line_end = memchr::memchr(b'\n', header.get(searched..).unwrap_or_default());
            let length = line_end.map_or(header.len(), |at| searched + at);
            // A CR at the end may be the line end's.
            if without_cr(header.get(..length).unwrap_or_default()).len() > LINE_LIMIT {
                return Err(InputError::HeaderTooLong { path: file.path });
            }
            if line_end.is_some() {
                rest.extend_from_slice(header.get(length + 1..).unwrap_or_default());
                header.truncate(length);
                return Ok((file, header));
            }
            if at_end && header.is_empty() {
                return Err(InputError::NoHeader { path: file.path });
            }
            if at_end {
                return Ok((file, header));
            }
        }
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

    /// How many bytes of the file, as it is on disk, were read so far.
    pub fn read_from_disk(&self) -> u64 {
        match &self.content {
            Content::Plain(_, read) => *read,
            Content::Gzip(file) => file.get_ref().get_ref().read,
        }
    }
}

/// Whether the file's name says that it is compressed.
fn is_compressed(path: &Path) -> bool {
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
