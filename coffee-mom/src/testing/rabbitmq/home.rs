//! The folder of all test brokers of a user: their data, their locks, and the ports they claim.
//!
//! Locks are those of the system on open files, so that they end with the process that holds them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{env, process};

use super::TestBrokerError;
use super::poll::poll;

/// Below the ports that Linux and macOS give to outgoing connections: the port of a broker that is
/// stopped stays free until it is started again. As many as there may be brokers at a time.
const PORTS: Range<u16> = 21_000..21_512;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Home {
    folder: PathBuf,
    /// The user's own, whatever the folder: ports are not per folder.
    claims: PathBuf,
}

impl Home {
    /// The one that `COFFEE_TEST_BROKER_DIR` names, or the user's own.
    pub(super) fn from_env() -> Result<Self, TestBrokerError> {
        match env::var_os("COFFEE_TEST_BROKER_DIR") {
            Some(folder) => Self::at(Path::new(&folder)),
            None => Self::at(&users_own()?),
        }
    }

    /// Makes the folder, for this user only.
    pub(super) fn at(folder: &Path) -> Result<Self, TestBrokerError> {
        Ok(Self { folder: private(folder)?, claims: private(&users_own()?)? })
    }

    /// Waits until no other process or thread has the lock.
    pub(super) fn lock(&self, name: &str, deadline: Instant) -> Result<File, TestBrokerError> {
        let path = self.folder.join(name);
        poll("the lock of another test process", deadline, || try_lock(&path))
    }

    fn try_claim(&self, port: u16) -> Result<Option<File>, TestBrokerError> {
        try_lock(&self.claims.join(format!("port-{port}.lock")))
    }

    /// Claims a port for as long as the claim lives. Ports start at a place that the process has for
    /// itself, mostly, so that the search is short.
    pub(super) fn claim_port(&self) -> Result<PortClaim, TestBrokerError> {
        let start = process::id() as usize % PORTS.len();
        for port in PORTS.cycle().skip(start).take(PORTS.len()) {
            if let Some(lock) = self.try_claim(port)?
                && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            {
                return Ok(PortClaim { port, _lock: lock });
            }
        }
        Err(TestBrokerError::NoPort)
    }

    /// Makes a folder that no broker had before. Its name begins with what it is and its port.
    pub(super) fn new_folder(&self, what: &str, port: u16) -> Result<PathBuf, TestBrokerError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{what}-{port}-{}-{number}", process::id()));
        // A process of the same id may have left one: it was killed, or this would be its folder still.
        let _ = fs::remove_dir_all(&folder);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map(|()| folder)
            .map_err(TestBrokerError::io("make the folder of a broker"))
    }

    /// The folders of this kind, each with its port.
    pub(super) fn folders(&self, what: &str) -> Result<Vec<(u16, PathBuf)>, TestBrokerError> {
        let entries = fs::read_dir(&self.folder).map_err(TestBrokerError::io("read the folder of the test brokers"))?;
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        Ok(paths.filter_map(|path| port_of(&path, what).map(|port| (port, path))).collect())
    }

    /// Removes what processes left that were killed while their own broker was stopped: then no
    /// broker removes its folder, but the claim of its port has ended.
    pub(super) fn sweep(&self, what: &str) -> Result<(), TestBrokerError> {
        for (port, folder) in self.folders(what)? {
            if let Some(_unclaimed) = self.try_claim(port)? {
                let _ = fs::remove_dir_all(folder);
            }
        }
        Ok(())
    }
}

/// A port that no other test broker of the user takes meanwhile.
#[derive(Debug)]
pub(super) struct PortClaim {
    pub(super) port: u16,
    _lock: File,
}

fn try_lock(path: &Path) -> Result<Option<File>, TestBrokerError> {
    let open = OpenOptions::new().create(true).append(true).open(path);
    let file = open.map_err(TestBrokerError::io("open a lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(TestBrokerError::Io { action: "lock a file", source }),
    }
}

/// Makes a folder that nobody else may enter, unless it is there.
fn private(folder: &Path) -> Result<PathBuf, TestBrokerError> {
    let make = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    make.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
        .and_then(|()| folder.canonicalize())
        .map_err(TestBrokerError::io("make the folder of the test brokers"))
}

fn port_of(path: &Path, what: &str) -> Option<u16> {
    let rest = path.file_name()?.to_str()?.strip_prefix(what)?.strip_prefix('-')?;
    rest.split('-').next()?.parse().ok()
}

/// A folder named after the user: the owner of the process, or else of the temporary folder that macOS
/// makes for each user.
fn users_own() -> Result<PathBuf, TestBrokerError> {
    fs::metadata("/proc/self")
        .or_else(|_| fs::metadata(env::temp_dir()))
        .map(|metadata| env::temp_dir().join(format!("coffee-rabbitmq-{}", metadata.uid())))
        .map_err(TestBrokerError::io("learn who the user is"))
}
