//! The form of a line of the log about a job: `job=ID stage=groups.1 seq=17 what happened`. So `grep job=ID` over the logs of
//! all nodes follows one job.

use std::fmt;

use coffee_core::frame::JobId;

/// The beginning of a line about a job: which one, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trail<'a> {
    job: Option<JobId>,
    kind: &'static str,
    name: &'a str,
    seq: Option<u64>,
}

impl<'a> Trail<'a> {
    /// At a shard of a stage, or at its replicas.
    pub fn stage(job: JobId, name: &'a str) -> Self {
        Trail { job: Some(job), kind: "stage", name, seq: None }
    }

    /// At a node, by its name in reports. What is of no job has a dash in its place.
    pub fn node(job: impl Into<Option<JobId>>, name: &'a str) -> Self {
        Trail { job: job.into(), kind: "node", name, seq: None }
    }

    /// About that batch.
    #[must_use]
    pub fn seq(self, seq: impl Into<Option<u64>>) -> Self {
        Trail { seq: seq.into(), ..self }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.job {
            Some(job) => write!(f, "job={job}")?,
            None => f.write_str("job=-")?,
        }
        write!(f, " {}={}", self.kind, self.name)?;
        self.seq.map_or(Ok(()), |seq| write!(f, " seq={seq}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_job() {
        let job = JobId { cluster: 10, number: 3 };
        assert_eq!(Trail::stage(job, "groups.1").seq(17).to_string(), "job=000000000000000a-3 stage=groups.1 seq=17");
        assert_eq!(Trail::node(job, "query").to_string(), "job=000000000000000a-3 node=query");
        assert_eq!(Trail::node(None, "groups.1").to_string(), "job=- node=groups.1");
    }
}
