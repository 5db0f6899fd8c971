//! A file of tokens that may change while a gateway works.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{Caller, Denied, Tokens, TokensError};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A file that was changed less long ago may still be written to.
const FRESH: Duration = Duration::from_secs(1);

/// The tokens of a file, as it was at most two seconds ago: once it has changed, it is read again by whoever asks next. A file that
/// is no good any more is an error in the log, and its last good tokens stay. Clones share it.
#[derive(Clone, Debug)]
pub struct TokensFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    tokens: Mutex<Tokens>,
    looked: Mutex<Looked>,
}

#[derive(Debug)]
struct Looked {
    at: Instant,
    /// Of the file that the tokens are from.
    taken: Option<Stamp>,
    /// Of the file that was said to be no good, which is tried again all the same: what the system refuses may go well the next time.
    refused: Option<Option<Stamp>>,
}

/// What is another once a file has been written, replaced, or has other permissions: its number, its length, and when it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    number: u64,
    length: u64,
    changed: Duration,
}

impl TokensFile {
    /// Reads the file, as [`Tokens::read`] does. Blocks for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        // Before it is read: what is written meanwhile is another one.
        let looked = Looked { at: Instant::now(), taken: stamp(path), refused: None };
        let tokens = Mutex::new(Tokens::read(path)?);
        Ok(TokensFile(Arc::new(Shared { path: path.to_owned(), tokens, looked: Mutex::new(looked) })))
    }

    /// Whom a token stands for, as [`Tokens::caller`]. May block for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn caller(&self, token: Option<&str>) -> Result<Caller, Denied> {
        self.look(Instant::now(), SystemTime::now());
        let tokens = self.0.tokens.lock().clone();
        tokens.caller(token).cloned()
    }

    /// Reads the file again, if it has changed. Where another thread is at it, there is nothing to wait for.
    fn look(&self, now: Instant, clock: SystemTime) {
        let Shared { path, tokens, looked } = &*self.0;
        let Some(mut looked) = looked.try_lock().filter(|looked| now.saturating_duration_since(looked.at) >= EVERY)
        else {
            return;
        };
        looked.at = now;
        let stamp = stamp(path);
        if looked.taken == stamp || stamp.is_some_and(|stamp| stamp.is_fresh(clock)) {
            return;
        }
        match Tokens::read(path) {
            Ok(read) => {
                log::info!("{} is read again: {read:?}", path.display());
                (looked.taken, looked.refused) = (stamp, None);
                *tokens.lock() = read;
            }
            Err(error) if looked.refused.replace(stamp) != Some(stamp) => {
                log::error!("the tokens stay as they were: {error}");
            }
            Err(_) => {}
        }
    }
}

impl Stamp {
    /// Whether it was changed just now. One of the future is not, as clocks of file servers differ.
    fn is_fresh(&self, clock: SystemTime) -> bool {
        let since = clock.duration_since(UNIX_EPOCH).ok().and_then(|now| now.checked_sub(self.changed));
        since.is_some_and(|since| since < FRESH)
    }
}

#[cfg(unix)]
fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path).ok()?;
    let (seconds, nanos) = (u64::try_from(file.ctime()).ok()?, u32::try_from(file.ctime_nsec()).ok()?);
    Some(Stamp { number: file.ino(), length: file.len(), changed: Duration::new(seconds, nanos) })
}

#[cfg(not(unix))]
fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Stamp { number: 0, length: file.len(), changed })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OLD: &str = "alice-0123456789abcdef";
    const NEW: &str = "alice-fedcba9876543210";

    #[test]
    fn the_file_is_read_again_once_it_has_changed_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        // Aside and renamed, so that each is another file.
        let write = |text: &str, mode| {
            let aside = folder.path().join("aside");
            fs::write(&aside, text).unwrap();
            fs::set_permissions(&aside, fs::Permissions::from_mode(mode)).unwrap();
            fs::rename(&aside, &path).unwrap();
        };
        write(&format!("client alice {OLD}"), 0o600);
        let file = TokensFile::open(&path).unwrap();
        let mut now = Instant::now();
        let mut known = |file: &TokensFile| {
            now += EVERY;
            file.look(now, SystemTime::now() + FRESH);
            let tokens = file.0.tokens.lock().clone();
            [OLD, NEW].map(|token| tokens.caller(Some(token)).is_ok())
        };
        assert_eq!(known(&file), [true, false]);
        let new = format!("client alice {NEW}");
        for (broken, mode) in [("client alice", 0o600), ("", 0o600), (new.as_str(), 0o644)] {
            write(broken, mode);
            assert_eq!(known(&file), [true, false], "{broken:?} {mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(known(&file), [false, true], "what others could read is mended");
        fs::remove_file(&path).unwrap();
        assert_eq!(known(&file), [false, true]);
        write(&format!("client alice {OLD}"), 0o600);
        assert_eq!(known(&file), [true, false]);
        write(&new, 0o600);
        file.look(now, SystemTime::now() + FRESH);
        assert!(file.0.tokens.lock().caller(Some(OLD)).is_ok(), "it is looked at once a second");
        file.look(now + EVERY, stamp(&path).map(|stamp| UNIX_EPOCH + stamp.changed).unwrap());
        assert!(file.0.tokens.lock().caller(Some(OLD)).is_ok(), "it may not be whole");
        assert!(file.caller(None) == Err(Denied::NoToken));
    }
}
