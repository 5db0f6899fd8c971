//! How long a job will take still: as long as its slowest stage.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use coffee_nodes::client::StageProgress;

use super::lines::Upload;

/// What is measured over less time says nothing: stages are heard of once a second.
const STEP: Duration = Duration::from_secs(1);

/// What was seen for less time does not either.
const SEEN: Duration = Duration::from_secs(3);

/// Nor what has hardly begun, or is all but done.
const RANGE: std::ops::Range<f64> = 0.02..0.99;

/// What has stood still for so long says nothing any more: a node that was killed has not told all that it did.
const STANDS: Duration = Duration::from_secs(15);

/// The mean speed is that of about so many seconds.
const MEAN: f64 = 10.0;

/// The time left, from how fast shares grow.
#[derive(Debug, Default)]
pub struct TimeLeft(BTreeMap<String, Pace>);

impl TimeLeft {
    /// The time left after it is so far now; `None` where nothing means anything yet, or any more.
    pub fn after(&mut self, now: Instant, upload: &Upload, stages: &[StageProgress]) -> Option<Duration> {
        let share = |stage: &StageProgress| Some((stage.stage.clone(), f64::from(stage.share?) / 1000.0));
        let shares = stages.iter().filter_map(share).chain([(String::new(), upload.share())]);
        let left =
            shares.filter_map(|(stage, share)| self.0.entry(stage).or_insert(Pace::new(now, share)).after(now, share));
        left.max()
    }
}

/// How fast one share grows.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    /// When it grew last, and to what.
    grew: (Instant, f64),
    at: Instant,
    share: f64,
    /// A second; `None` before there are two steps.
    speed: Option<f64>,
}

impl Pace {
    fn new(now: Instant, share: f64) -> Self {
        Pace { begun: now, grew: (now, share), at: now, share, speed: None }
    }

    fn after(&mut self, now: Instant, share: f64) -> Option<Duration> {
        let since = now.saturating_duration_since(self.at);
        if share > self.grew.1 {
            self.grew = (now, share);
        }
        // The upload goes back where it is sent again; and what has not begun has no pace that would count later.
        if share < self.share || share < RANGE.start {
            *self = Pace::new(now, share);
        } else if since >= STEP {
            let (now_fast, since) = ((share - self.share) / since.as_secs_f64(), since.as_secs_f64());
            let weight = 1.0 - (-since / MEAN).exp();
            self.speed = Some(self.speed.map_or(now_fast, |speed| speed + weight * (now_fast - speed)));
            (self.at, self.share) = (now, share);
        }
        let speed = self.speed.filter(|speed| *speed > 0.0)?;
        let [seen, stood] = [self.begun, self.grew.0].map(|then| now.saturating_duration_since(then));
        let means_something = RANGE.contains(&share) && seen >= SEEN && stood < STANDS;
        if means_something { Duration::try_from_secs_f64((1.0 - share) / speed).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, share: Option<u16>) -> StageProgress {
        StageProgress { stage: name.into(), share, ..StageProgress::default() }
    }

    fn upload(sent: u64) -> Upload {
        Upload { sent, total: 1000, rate: 0 }
    }

    #[test]
    fn it_is_that_of_the_slowest_once_it_means_something() {
        let (begin, mut left) = (Instant::now(), TimeLeft::default());
        let mut after = |seconds: u64, sent, groups, names| {
            let stages = [stage("groups", groups), stage("names", names), stage("results", None)];
            left.after(begin + Duration::from_secs(seconds), &upload(sent), &stages)
                .map(|left| left.as_secs_f64().round())
        };
        assert_eq!(after(0, 0, None, Some(0)), None);
        assert_eq!(after(1, 50, Some(25), Some(0)), None);
        assert_eq!(after(2, 100, Some(50), Some(0)), None, "too early");
        assert_eq!(after(4, 200, Some(100), Some(0)), Some(36.0), "of groups: 90 % at 2.5 % a second");
        assert_eq!(after(8, 400, Some(200), Some(0)), Some(32.0));
        assert_eq!(after(36, 1000, Some(900), Some(999)), Some(4.0));
        assert_eq!(after(39, 1000, Some(995), Some(999)), None, "all but done");
    }

    #[test]
    fn one_that_stands_still_takes_longer_and_longer_and_then_says_nothing() {
        let (begin, mut left) = (Instant::now(), TimeLeft::default());
        let mut after = |tenths: u64, share| {
            let now = begin + Duration::from_millis(100 * tenths);
            left.after(now, &upload(1000), &[stage("groups", Some(share))])
        };
        let mut last = None;
        for tenths in 0..=100 {
            last = after(tenths, (5 * tenths) as u16);
        }
        assert_eq!(last.map(|left| left.as_secs_f64().round()), Some(10.0));
        let stands = after(200, 500).unwrap();
        assert!(stands > Duration::from_secs(15), "{stands:?}");
        assert!(after(240, 500).unwrap() > stands);
        assert_eq!(after(300, 500), None);
    }

    #[test]
    fn a_stage_that_begins_late_is_as_fast_as_it_is_from_then_on() {
        let (begin, mut left) = (Instant::now(), TimeLeft::default());
        let mut last = None;
        for second in 0..40 {
            let share = u16::try_from(50 * u64::saturating_sub(second, 30)).unwrap();
            last = left.after(begin + Duration::from_secs(second), &upload(1000), &[stage("items", Some(share))]);
        }
        assert_eq!(last.map(|left| left.as_secs_f64().round()), Some(11.0), "55 % at 5 % a second");
    }

    #[test]
    fn an_upload_that_goes_back_begins_anew() {
        let (begin, mut left) = (Instant::now(), TimeLeft::default());
        let mut after = |seconds: u64, sent| left.after(begin + Duration::from_secs(seconds), &upload(sent), &[]);
        after(0, 0);
        after(2, 400);
        assert_eq!(after(4, 800), Some(Duration::from_secs(1)));
        assert_eq!(after(5, 300), None);
        assert_eq!(after(6, 350), None);
        assert_eq!(after(8, 450).map(|left| left.as_secs()), Some(11));
    }
}
