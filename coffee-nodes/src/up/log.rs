//! The log of one node: what it says on stderr, in a file that is rotated.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

/// A log has at most this many bytes, and one older file of the same size beside it.
const LIMIT: u64 = 4 << 20;

/// A line is cut at this many bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Appends lines to `NAME.log`, which becomes `NAME.log.1` when it is full.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    /// Goes on with the file of an earlier life.
    pub fn open(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Log { path, file, size })
    }

    /// Writes down all that comes until its end; returns the last line that was not empty.
    pub fn follow(mut self, from: impl Read) -> String {
        let (mut reader, mut line, mut last) = (BufReader::new(from), Vec::new(), String::new());
        loop {
            line.clear();
            match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return last,
                Ok(_) => {}
            }
            // A node must not stop for a full disk of its logs.
            let _ = self.write(&line);
            let text = line.trim_ascii();
            if !text.is_empty() {
                last = String::from_utf8_lossy(text).into_owned();
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size >= LIMIT {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = File::options().create(true).append(true).open(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_rotated_and_its_end_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let line = "x".repeat(1023) + "\n";
        let text = line.repeat(5000) + "the end\n\n";
        assert_eq!(Log::open(folder.path(), "a").unwrap().follow(text.as_bytes()), "the end");
        let sizes = ["a.log.1", "a.log"].map(|name| fs::metadata(folder.path().join(name)).unwrap().len());
        assert_eq!(sizes[0], LIMIT);
        assert_eq!(sizes[0] + sizes[1], text.len() as u64);
        assert_eq!(Log::open(folder.path(), "a").unwrap().follow(&b"no line end"[..]), "no line end");
        assert!(fs::read_to_string(folder.path().join("a.log")).unwrap().ends_with("the end\n\nno line end"));
    }
}
