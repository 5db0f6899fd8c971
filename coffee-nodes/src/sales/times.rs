//! Where the time of a submission went, as its client sees it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long a submission's steps took, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Until the cluster had all data, with the wait for its turn.
    pub upload: Duration,
    /// From then until something of each result had come: what was worked before is not in it.
    pub work: Duration,
    /// From then until all of them were here.
    pub fetch: Duration,
}

/// When what happened.
#[derive(Debug)]
pub(super) struct Course {
    start: Instant,
    uploaded: Option<Instant>,
    /// The results of which something came, and when the last of them began to.
    results: BTreeSet<String>,
    came: Option<Instant>,
}

impl Course {
    /// Begins then.
    pub fn new(start: Instant) -> Self {
        Course { start, uploaded: None, results: BTreeSet::new(), came: None }
    }

    /// All data is there.
    pub fn uploaded(&mut self, now: Instant) {
        self.uploaded.get_or_insert(now);
    }

    /// Something of a result is here.
    pub fn came(&mut self, result: &str, now: Instant) {
        if !self.results.contains(result) {
            self.results.insert(result.to_owned());
            self.came = Some(now);
        }
    }

    /// It is over. Results may come before all data is known to be there: then no time is between them.
    pub fn times(&self, end: Instant) -> Times {
        let uploaded = self.uploaded.or(self.came).unwrap_or(end);
        let came = self.came.unwrap_or(end).max(uploaded);
        let between = |from: Instant, to: Instant| to.saturating_duration_since(from);
        Times { upload: between(self.start, uploaded), work: between(uploaded, came), fetch: between(came, end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_one_another() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let [upload, work, fetch] = [2, 5, 1].map(Duration::from_secs);
        let mut course = Course::new(start);
        course.uploaded(at(2));
        course.came("q1", at(3));
        course.came("q2", at(7));
        course.uploaded(at(8)); // again, by another connection
        course.came("q1", at(8));
        assert_eq!(course.times(at(8)), Times { upload, work, fetch });
    }

    #[test]
    fn a_result_that_comes_first_takes_no_time_from_the_upload() {
        let start = Instant::now();
        let mut course = Course::new(start);
        course.came("q1", start + Duration::from_secs(1));
        course.uploaded(start + Duration::from_secs(3));
        let times = course.times(start + Duration::from_secs(4));
        assert_eq!((times.upload.as_secs(), times.work.as_secs(), times.fetch.as_secs()), (3, 0, 1));
        assert_eq!(Course::new(start).times(start), Times::default());
    }
}
