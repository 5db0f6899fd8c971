//! Takes what nodes gave up from its queue, keeps it for people, and notes it with its job (invariant 9).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use coffee_core::{codec, frame::Loss, hash, plan::Topology};
use coffee_mom::{Consumer, Delivery};
use crossbeam_channel::select;
use parking_lot::Mutex;

use super::keeper::Keeper;
use crate::{
    Stop,
    cluster::{QueryError, QueryRequest},
    job::ErrorReport,
    runner::DeadLetter,
};

/// Frames that are kept; the newest ones.
const MOST_KEPT: usize = 100;

/// Batches that a report names.
const MOST_NAMED: usize = 8;

/// Before it is tried again to note what could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// The thread's own.
pub(super) struct DeadLetters {
    pub consumer: Box<dyn Consumer>,
    pub keeper: Arc<Mutex<Keeper>>,
    pub topology: Arc<Topology>,
    /// Where frames are kept; made when there is one.
    pub folder: PathBuf,
}

impl DeadLetters {
    /// Goes on until `stop`, or the broker is closed. What is not noted by then comes again.
    pub fn run(mut self, stop: &Stop) {
        loop {
            select! {
                recv(self.consumer.deliveries()) -> delivery => match delivery {
                    Ok(delivery) => self.take(&delivery, stop),
                    Err(_) => return,
                },
                recv(stop.receiver()) -> _ => return,
            }
        }
    }

    fn take(&mut self, delivery: &Delivery, stop: &Stop) {
        let report = match codec::decode::<DeadLetter>(&mut &*delivery.message.body) {
            Ok(letter) => self.keep(&letter),
            Err(error) => ErrorReport::now("query", None, format!("a dead letter makes no sense: {error}")),
        };
        while let Err(QueryError::Store(error)) = self.keeper.lock().call(QueryRequest::Report(report.clone())) {
            log::warn!("a dead letter waits to be noted: {error}");
            if stop.wait(PAUSE) {
                return;
            }
        }
        // Lost with its connection, it comes again, and is noted once.
        let _ = self.consumer.ack(delivery.tag);
    }

    /// Keeps the frame, where there is one; returns what is to be noted.
    fn keep(&self, letter: &DeadLetter) -> ErrorReport {
        let mut text = self.words(letter);
        if !letter.frame.is_empty() {
            text += &match keep_frame(&self.folder, letter) {
                Ok(path) => format!(" (the frame is in {})", path.display()),
                Err(error) => format!(" (the frame can't be kept: {error})"),
            };
        }
        // Last, as a report is cut off where it is too long.
        text = format!("{text}: {}", letter.reason);
        ErrorReport { at_ms: letter.at_ms, node: letter.node.clone(), job: letter.job, text }
    }

    fn words(&self, letter: &DeadLetter) -> String {
        if letter.losses.is_empty() {
            return "gave up a message".to_owned();
        }
        let name = |loss: &Loss| format!("{} of {}", loss.seq, self.topology.name_of(loss.stream));
        let named: Vec<String> = letter.losses.iter().take(MOST_NAMED).map(name).collect();
        let more = match letter.losses.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("gave up batch {}{more}", named.join(", "))
    }
}

/// Writes a frame to a file of its own, the same one each time that the letter comes; the oldest make room.
fn keep_frame(folder: &Path, DeadLetter { job, at_ms, frame, .. }: &DeadLetter) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let job = job.map_or("unknown".to_owned(), |job| job.to_string());
    let path = folder.join(format!("{job}-{at_ms}-{:016x}.frame", hash::fnv1a(frame)));
    fs::write(&path, frame)?;
    let mut kept: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().and_then(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))))
        .collect();
    kept.sort();
    let old = kept.len().saturating_sub(MOST_KEPT);
    kept.iter().take(old).try_for_each(|(_, path)| fs::remove_file(path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use coffee_core::frame::JobId;

    use super::*;

    #[test]
    fn the_newest_frames_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let letter = |at_ms| DeadLetter {
            node: "a".into(),
            at_ms,
            job: Some(JobId { cluster: 1, number: 2 }),
            reason: "b".into(),
            losses: Vec::new(),
            frame: vec![1, 2, 3],
        };
        for at_ms in 0..MOST_KEPT as u64 + 5 {
            let path = keep_frame(folder.path(), &letter(at_ms)).unwrap();
            assert_eq!(keep_frame(folder.path(), &letter(at_ms)).unwrap(), path);
            assert_eq!(fs::read(path).unwrap(), [1, 2, 3]);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_KEPT);
    }
}
