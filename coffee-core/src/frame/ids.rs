//! The names of jobs, ports and streams.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One client's submission: unique for good (invariant 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// Drawn at random by a cluster when it is new.
    pub cluster: u64,
    /// Increases, and is never used again.
    pub number: u64,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.cluster, self.number)
    }
}

/// A text is no job's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no job's id, like 0123456789abcdef-7")]
pub struct JobIdError(String);

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let parsed = text.split_once('-').filter(|(cluster, _)| cluster.len() == 16).and_then(|(cluster, number)| {
            Some(JobId { cluster: u64::from_str_radix(cluster, 16).ok()?, number: number.parse().ok()? })
        });
        // Only as it is displayed: signs and leading zeros would make one job several texts.
        parsed.filter(|job| job.to_string() == text).ok_or_else(|| JobIdError(text.to_owned()))
    }
}

/// An edge between two stages, by its index in the topology: tells a receiver what the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port(pub u16);

/// What one origin sends for a job: a source table, or one shard of a stateful operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stream {
    /// The source or stateful operator, by its index in the topology.
    pub origin: u16,
    /// Which shard of it; 0 for a source.
    pub shard: u16,
}

/// Which of the plan's sinks a job asks for: a bit each, in plan order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sinks(pub u64);

impl Sinks {
    /// All of them.
    pub const ALL: Sinks = Sinks(u64::MAX);

    /// None of them.
    pub const NONE: Sinks = Sinks(0);

    /// These and the one with this index, which is below 64.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        Sinks(self.0 | u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or_default())
    }

    /// Whether the sink with this index is asked for.
    pub fn contains(self, index: usize) -> bool {
        index < 64 && self.0 & (1 << index) != 0
    }
}

/// What every frame says of its job, so that a stateless node remembers nothing (invariant 7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHead {
    /// The job.
    pub job: JobId,
    /// The version of the topology that the frame was made for.
    pub topology: u64,
    /// What it asks for.
    pub sinks: Sinks,
    /// Whether the first rejected row fails it.
    pub strict: bool,
    /// Its parameters, encoded.
    pub parameters: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_its_text() {
        let job = JobId { cluster: 0xab, number: 17 };
        assert_eq!(job.to_string().parse(), Ok(job));
        for wrong in
            ["", "7", "00000000000000ab", "ab-17", "00000000000000AB-17", "00000000000000ab-+7", "00000000000000ab-07"]
        {
            assert!(wrong.parse::<JobId>().is_err(), "{wrong}");
        }
    }
}
