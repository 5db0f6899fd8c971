//! How many threads and descriptors this process has: what a case must not leave behind.

use std::fs;

/// Threads of this process; 0 where the system does not tell.
pub(super) fn threads() -> usize {
    entries("/proc/self/task")
}

/// Open descriptors of this process; 0 where the system does not tell.
pub(super) fn descriptors() -> usize {
    entries("/proc/self/fd")
}

/// The names of the threads, as far as the system keeps them: 15 bytes.
pub(super) fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut names: Vec<_> = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect();
    names.iter_mut().for_each(|name| name.truncate(name.trim_end().len()));
    names.sort_unstable();
    names
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}
