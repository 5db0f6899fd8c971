//! What this process takes of its machine.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// What a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUse {
    /// Resident memory, in bytes; 0 where the system does not tell.
    pub memory: u64,
    /// Processor time of all threads since its start.
    pub cpu: Duration,
}

/// What this process takes.
pub fn process_use() -> ProcessUse {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ProcessUse { memory: resident(&status).unwrap_or(0), cpu: processor_time() }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_memory_and_time() {
        let first = process_use();
        while process_use().cpu == first.cpu {}
        assert!(cfg!(not(target_os = "linux")) || first.memory > 1 << 20, "{first:?}");
        assert_eq!(resident("Name: a\nVmRSS:\t    12 kB\n"), Some(12 << 10));
        assert_eq!((resident(""), resident("VmRSS: x kB")), (None, None));
    }
}
