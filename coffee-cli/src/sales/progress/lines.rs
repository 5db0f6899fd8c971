//! What is shown of a submission: a line for its upload, one a stage, and the time left; as much as there is room for.

use std::time::Duration;

use coffee_nodes::client::StageProgress;
use indicatif::{DecimalBytes, HumanCount, HumanDuration};
use unicode_width::UnicodeWidthStr;

use crate::{output::printable, sales::tables::cut};

/// Columns of a bar, and the fewest that say something.
const BAR: usize = 32;
const SHORTEST: usize = 8;

/// Columns of a name.
const NAME: usize = 24;

/// Terminals with fewer columns have no room for how fast the upload is.
const WIDE: usize = 80;

/// What the upload is called.
const UPLOAD: &str = "upload";

/// What a terminal has, in characters.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// How far an upload is, in bytes on disk.
#[derive(Clone, Copy, Debug)]
pub struct Upload {
    /// Sent so far.
    pub sent: u64,
    /// To be sent; 0 until it is known.
    pub total: u64,
    /// Sent a second.
    pub rate: u64,
}

impl Upload {
    /// Which share is sent, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { (self.sent as f64 / self.total as f64).min(1.0) }
    }
}

/// The lines, none wider than there are columns.
pub fn lines(upload: &Upload, stages: &[StageProgress], left: Option<Duration>, room: Room) -> Vec<String> {
    // One row stays free for the cursor, one each is the upload's and the time's.
    let (shown, more) = chosen(stages, room.height.saturating_sub(3));
    let is_sent = upload.sent >= upload.total;
    let mut rows = vec![Row::upload(upload, room.width >= WIDE)];
    rows.extend(shown.into_iter().map(|stage| Row::stage(stage, is_sent)));
    let widest = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let name = widest(|row| row.name.width()).min(NAME);
    let taken = name + 1 + " 100% ".len() + widest(|row| row.words.width());
    let bar = room.width.saturating_sub(taken + 2).min(BAR);
    let bar = if bar < SHORTEST { 0 } else { bar };
    let mut lines: Vec<String> = rows.iter().map(|row| row.line(name, bar)).collect();
    let more = (more > 0).then(|| format!("and {more} more stages"));
    let left = left.map(|left| format!("about {:#} left", HumanDuration(left)));
    let last: Vec<String> = more.into_iter().chain(left).collect();
    if !last.is_empty() {
        lines.push(last.join(", "));
    }
    lines.iter().map(|line| cut(line.trim_end(), room.width.saturating_sub(2))).collect()
}

/// As many stages as there is room for, in their order, and how many are left out: those under way are the last to be.
fn chosen(stages: &[StageProgress], rows: usize) -> (Vec<&StageProgress>, usize) {
    let idle = |stage: &StageProgress| match stage.share {
        Some(share) => !(1..999).contains(&share),
        None => stage.batches == 0,
    };
    let mut by_need: Vec<(bool, usize)> = stages.iter().map(idle).zip(0..).collect();
    by_need.sort_unstable();
    by_need.truncate(rows);
    let shown: Vec<&StageProgress> = stages
        .iter()
        .zip(0..)
        .filter(|(_, at)| by_need.iter().any(|(_, it)| it == at))
        .map(|(stage, _)| stage)
        .collect();
    let more = stages.len() - shown.len();
    (shown, more)
}

/// A line, before it is known how wide its columns are.
struct Row {
    name: String,
    /// From 0 to 1; `None` where it is not known.
    share: Option<f64>,
    words: String,
}

impl Row {
    fn upload(upload: &Upload, is_wide: bool) -> Self {
        let Upload { sent, total, rate } = *upload;
        let rate = if is_wide && sent < total { format!(", {}/s", DecimalBytes(rate)) } else { String::new() };
        let words = format!("{} of {}{rate}", DecimalBytes(sent), DecimalBytes(total));
        Row { name: UPLOAD.to_owned(), share: Some(upload.share()), words }
    }

    fn stage(stage: &StageProgress, is_sent: bool) -> Self {
        let about = if is_sent { "" } else { "~" };
        let words = match stage.expected {
            Some(all) => format!("{} of {about}{} batches", HumanCount(stage.batches), HumanCount(all)),
            None if stage.batches == 0 => "waits".to_owned(),
            None if stage.batches == 1 => "1 batch".to_owned(),
            None => format!("{} batches", HumanCount(stage.batches)),
        };
        Row {
            name: cut(&printable(&stage.stage), NAME - 1),
            share: stage.share.map(|share| f64::from(share) / 1000.0),
            words,
        }
    }

    fn line(&self, name: usize, bar: usize) -> String {
        let pad = name.saturating_sub(self.name.width());
        let percent = self.share.map_or(String::new(), |share| format!("{:.0}%", (share * 100.0).floor()));
        let bar = match (bar, self.share) {
            (0, _) => String::new(),
            (bar, None) => " ".repeat(bar + 1),
            (bar, Some(share)) => {
                let full = ((share * bar as f64) as usize).min(bar);
                format!("{}{} ", "█".repeat(full), "░".repeat(bar - full))
            }
        };
        format!("{}{} {bar}{percent:>4} {}", self.name, " ".repeat(pad), self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, batches: u64, expected: Option<u64>) -> StageProgress {
        let share = expected.map(|all| ((batches * 1000 / all) as u16).min(999));
        StageProgress { stage: name.into(), batches, expected, share, ..StageProgress::default() }
    }

    fn shown(width: usize, height: usize, stages: &[StageProgress]) -> Vec<String> {
        let upload = Upload { sent: 104_857_600, total: 209_715_200, rate: 52_428_800 };
        lines(&upload, stages, Some(Duration::from_secs(12)), Room { width, height })
    }

    fn three() -> Vec<StageProgress> {
        vec![
            stage("gateway", 100, Some(200)),
            stage("groups", 599, Some(600)),
            stage("names", 40, None),
            stage("results", 0, None),
        ]
    }

    #[test]
    fn each_stage_has_a_line() {
        let lines = shown(100, 30, &three());
        assert_eq!(
            lines[0],
            format!("upload  {}{}  50% 104.86 MB of 209.72 MB, 52.43 MB/s", "█".repeat(16), "░".repeat(16))
        );
        assert_eq!(lines[1], format!("gateway {}{}  50% 100 of ~200 batches", "█".repeat(16), "░".repeat(16)));
        assert_eq!(lines[2], format!("groups  {}{}  99% 599 of ~600 batches", "█".repeat(31), "░"));
        assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["names", "40", "batches"]);
        assert_eq!(lines[4].split_whitespace().collect::<Vec<_>>(), ["results", "waits"]);
        assert_eq!(lines[5], "about 12s left");
        let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
        assert_eq!(column(&lines[3], "40"), column(&lines[1], "100 of"), "words stand below one another");
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        let many: Vec<StageProgress> =
            (0..25).map(|at| stage(&format!("stage-with-a-long-name-{at}"), at, (at % 3 > 0).then_some(24))).collect();
        for stages in [&three(), &many] {
            for (width, height) in [(100, 30), (60, 16), (40, 10), (20, 4), (1, 1), (0, 0)] {
                let lines = shown(width, height, stages);
                assert!(lines.iter().all(|line| line.width() <= width.max(1)), "{width}: {lines:#?}");
                assert!(lines.len() < height.max(3), "{height}: {lines:#?}");
            }
        }
    }

    #[test]
    fn those_under_way_are_the_last_to_be_left_out() {
        let stages = [
            stage("waits", 0, Some(10)),
            stage("works", 5, Some(10)),
            stage("done", 10, Some(10)),
            stage("counts", 3, None),
        ];
        let (first, more) = chosen(&stages, 2);
        assert_eq!((first.iter().map(|it| it.stage.as_str()).collect::<Vec<_>>(), more), (vec!["works", "counts"], 2));
        assert_eq!(chosen(&stages, 4).1, 0);
        assert!(shown(60, 5, &stages).last().unwrap().starts_with("and 2 more stages, about 12s"));
    }

    #[test]
    fn what_is_sent_is_no_guess() {
        let upload = Upload { sent: 10, total: 10, rate: 1 };
        let lines = lines(&upload, &three(), None, Room { width: 100, height: 30 });
        assert!(lines[0].ends_with("100% 10 B of 10 B") && lines[1].ends_with("100 of 200 batches"), "{lines:#?}");
        assert_eq!(lines.len(), 5);
    }
}
