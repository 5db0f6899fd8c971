//! The file that is there while a node works, for health checks.

use std::{fs, path::PathBuf};

use coffee_nodes::up::READY;
use log::warn;
use parking_lot::Mutex;

/// Made once the node works and removed once it is to stop, whichever thread comes first.
#[derive(Debug)]
pub struct ReadyFile(Mutex<Option<PathBuf>>);

impl ReadyFile {
    /// There is none yet: one that an earlier life left, killed, is removed. With no path there never is one.
    pub fn new(path: Option<PathBuf>) -> Self {
        if let Some(path) = &path {
            let _ = fs::remove_file(path); // mostly there is none
        }
        ReadyFile(Mutex::new(path))
    }

    /// Makes it, unless it was removed for good.
    pub fn make(&self) {
        if let Some(path) = &*self.0.lock()
            && let Err(error) = fs::write(path, READY)
        {
            warn!("{}: can't be made to say that the node works: {error}", path.display());
        }
    }

    /// Removes it for good.
    pub fn remove(&self) {
        if let Some(path) = self.0.lock().take() {
            let _ = fs::remove_file(path); // there is none where the node never was ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_for_good_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        fs::write(&path, "earlier").unwrap();
        let file = ReadyFile::new(Some(path.clone()));
        assert!(!path.exists(), "an earlier life's");
        file.make();
        assert!(path.exists());
        file.remove();
        assert!(!path.exists());
        file.make();
        assert!(!path.exists(), "ready only after it was asked to stop");
    }
}
