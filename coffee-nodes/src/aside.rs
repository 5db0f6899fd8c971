//! Files that are written aside, and put in place once they are complete.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

/// A file that is not in place yet. Dropped, it is gone, and what was in its place is as it was.
#[derive(Debug)]
pub struct AsideFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl AsideFile {
    /// Makes an empty file for this path, in the same folder.
    ///
    /// # Errors
    /// Where the folder is not there or takes no files, or the path does not end in a file's name.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let prefix = format!(".{}.", name.display());
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        share(&mut builder);
        Ok(AsideFile { path: path.to_owned(), file: builder.tempfile_in(folder)? })
    }

    /// Puts the file in place, over one that may be there, and returns its path.
    ///
    /// # Errors
    /// The old file is in place then.
    pub fn put_in_place(self) -> io::Result<PathBuf> {
        self.file.persist(&self.path).map_err(|error| error.error)?;
        Ok(self.path)
    }
}

impl Write for AsideFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Temporary files are made for their owner alone; these have the permissions that the user's umask gives a file.
fn share(builder: &mut Builder<'_, '_>) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let _ = builder;
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_old_file_is_there_until_the_new_one_is_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        fs::write(&path, "old").unwrap();
        for _ in 0..2 {
            let mut file = AsideFile::create(&path).unwrap();
            file.write_all(b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        let mut file = AsideFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(file.put_in_place().unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn no_folder_and_no_name_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AsideFile::create(&folder.path().join("none/page")).is_err());
        assert!(AsideFile::create(Path::new("/")).is_err());
    }
}
