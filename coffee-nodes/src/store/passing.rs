//! Which errors pass: a disk that is full or fails for a while is no reason to give anything up.

use std::{error::Error, io, iter};

use rustix::io::Errno;

use super::FileError;

/// Whether an error, or one of its causes, comes from a disk that has no room or fails, which may be over soon: what was to
/// be kept can be tried again in a store, or scratch file, that is opened anew.
pub(crate) fn is_passing(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source()).any(|error| {
        error.downcast_ref().is_some_and(of_the_disk) || matches!(error.downcast_ref(), Some(FileError::Broken))
    })
}

fn of_the_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    // A file system that had an error is read-only until it is mended.
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | ReadOnlyFilesystem)
        || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use coffee_core::{
        exec::{ExecError, ScratchError},
        node::NodeError,
    };

    use super::*;
    use crate::{
        runner::{RunnerError, StoreError},
        worker::WorkerError,
    };

    fn store(error: FileError) -> WorkerError {
        StoreError { what: "the journal".into(), source: error.into() }.into()
    }

    #[test]
    fn a_full_disk_passes_and_a_damaged_file_does_not() {
        for code in [Errno::NOSPC, Errno::FBIG, Errno::IO, Errno::DQUOT, Errno::ROFS] {
            let full = || io::Error::from(code);
            assert!(is_passing(&store(FileError::from(redb::StorageError::Io(full())))), "{code}");
            let spill = NodeError::Exec(ExecError::Scratch(ScratchError(full())));
            assert!(is_passing(&WorkerError::Runner(RunnerError::Node(spill))), "{code}");
        }
        assert!(is_passing(&store(FileError::from(redb::StorageError::PreviousIo))));
        for lasting in [
            FileError::Damaged("a checksum is wrong"),
            FileError::from(redb::StorageError::Io(io::ErrorKind::UnexpectedEof.into())),
            FileError::Io(io::ErrorKind::PermissionDenied.into()),
            FileError::from(redb::StorageError::Corrupted("a page".into())),
        ] {
            assert!(!is_passing(&store(lasting)));
        }
    }
}
