//! The nodes of `coffee up`, which are processes of this machine.

use std::{io, num::NonZeroU32, path::Path};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

use super::{Action, ChaosError};
use crate::up::{NodeLine, is_running, read_table};

/// The nodes as they are now. A table without its cluster is refused: its numbers may be other processes' by now.
pub(super) fn nodes(state: &Path) -> Result<Vec<NodeLine>, ChaosError> {
    let unreadable = |source| ChaosError::State { path: state.to_owned(), source };
    if !is_running(state).map_err(unreadable)? {
        return Err(ChaosError::NotRunning(state.to_owned()));
    }
    read_table(state).map_err(unreadable)
}

/// Strikes a process; whether it was there.
pub(super) fn strike(pid: NonZeroU32, action: Action) -> io::Result<bool> {
    let pid = i32::try_from(pid.get()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let signal = match action {
        Action::Kill => Signal::KILL,
        Action::Hang => Signal::STOP,
    };
    match kill_process(pid, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_table_without_its_cluster_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(nodes(folder.path()), Err(ChaosError::State { .. })), "no cluster ever was there");
        let lock = File::create(folder.path().join("lock")).unwrap();
        fs::write(folder.path().join("nodes.tsv"), "a\t1\tready\tnode\n").unwrap();
        assert!(matches!(nodes(folder.path()), Err(ChaosError::NotRunning(_))));
        lock.lock().unwrap();
        assert_eq!(nodes(folder.path()).unwrap()[0].name, "a");
        fs::write(folder.path().join("nodes.tsv"), "a\n").unwrap();
        assert!(matches!(nodes(folder.path()), Err(ChaosError::State { .. })));
    }

    #[test]
    fn who_is_gone_already_is_no_error() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = NonZeroU32::new(child.id()).unwrap();
        assert!(strike(pid, Action::Hang).unwrap() && strike(pid, Action::Kill).unwrap());
        assert_eq!(child.wait().unwrap().code(), None, "by a signal");
        assert!(
            !strike(NonZeroU32::new(i32::MAX as u32).unwrap(), Action::Kill).unwrap(),
            "above all numbers of processes"
        );
        assert!(strike(NonZeroU32::MAX, Action::Kill).is_err(), "it would be a group");
    }
}
