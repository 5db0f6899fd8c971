//! Scratch space in a file without a name: gone with the process, however that ends.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use coffee_core::exec::{Scratch, ScratchError};

/// A temporary file that is made when first written to.
#[derive(Debug)]
pub struct FileScratch {
    folder: PathBuf,
    file: Option<File>,
    length: u64,
}

impl FileScratch {
    /// In this folder, once it is needed; made if it is not there.
    pub fn new(folder: &Path) -> Self {
        FileScratch { folder: folder.to_owned(), file: None, length: 0 }
    }
}

impl Scratch for FileScratch {
    fn append(&mut self, bytes: &[u8]) -> Result<u64, ScratchError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                fs::create_dir_all(&self.folder)?;
                none.insert(tempfile::tempfile_in(&self.folder)?)
            }
        };
        file.seek(SeekFrom::Start(self.length))?;
        file.write_all(bytes)?;
        let offset = self.length;
        self.length += bytes.len() as u64;
        Ok(offset)
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ScratchError> {
        let missing = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let file = self.file.as_mut().ok_or_else(missing)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.read_exact(buffer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = FileScratch::new(folder.path());
        assert!(scratch.read(0, &mut [0]).is_err());
        assert_eq!(scratch.append(b"abc").unwrap(), 0);
        assert_eq!(scratch.append(b"defg").unwrap(), 3);
        let mut buffer = [0; 3];
        scratch.read(2, &mut buffer).unwrap();
        assert_eq!(&buffer, b"cde");
        assert!(scratch.read(5, &mut buffer).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
    }
}
