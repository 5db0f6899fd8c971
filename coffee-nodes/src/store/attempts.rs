//! What a node was working at when its process died, remembered over its lives: so that work that ends the process each time is
//! given up in the end (invariant 9).
//!
//! ```text
//! file  := mark entry*            numbers little-endian; a file that is none of ours is begun anew
//! mark  := work                   zeros: at nothing
//! entry := work deaths:u64
//! work  := key:u64 cluster:u64 number:u64
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use coffee_core::{
    frame::{FrameReader, JobId},
    hash,
};

/// Work whose deaths are remembered; of more, the oldest is forgotten.
pub(super) const MOST: usize = 64;

/// Bytes of a frame behind its head that tell it from others.
const TELLING: usize = 256;

const WORK: usize = 24;
const ENTRY: usize = WORK + 8;

/// Something that a node does for a job, and may die of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Tells it from the other work for the job.
    key: u64,
    job: JobId,
}

impl Work {
    /// The answer to a frame, or its absorption: the same work whenever the frame comes.
    pub fn frame(job: JobId, body: &[u8]) -> Self {
        let rest =
            FrameReader::new(body).map_or(body, |frame| body.get(frame.head_bytes().len()..).unwrap_or_default());
        let telling = rest.get(..TELLING).unwrap_or(rest);
        // Odd; emissions have the even keys.
        Work { key: hash::fixed(&(telling, body.len())) | 1, job }
    }

    /// What no frame brings: a step of the job's emission.
    pub fn emission(job: JobId, step: u64) -> Self {
        Work { key: step << 1, job }
    }

    /// Whether there is any: cluster and number of a job are never both zero.
    fn is_some(&self) -> bool {
        self.job != JobId::default()
    }

    fn encode(&self) -> [u8; WORK] {
        let mut bytes = [0; WORK];
        for (slot, number) in bytes.chunks_exact_mut(8).zip([self.key, self.job.cluster, self.job.number]) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let work = Work { key: number(0)?, job: JobId { cluster: number(8)?, number: number(16)? } };
        Some(work).filter(Work::is_some)
    }
}

/// Notes what is worked at in a file, before it is begun and when it is done. A note is one write to memory of the system, which
/// outlasts the process: about a microsecond.
#[derive(Debug)]
pub struct Attempts {
    /// `None` where nothing can be noted.
    file: Option<File>,
    /// The work that a process died in, and how often, the oldest first.
    deaths: Vec<(Work, u64)>,
    at: Option<Work>,
}

impl Attempts {
    /// Notes nothing.
    pub fn none() -> Self {
        Attempts { file: None, deaths: Vec::new(), at: None }
    }

    /// Goes on with what earlier lives noted in that file, or makes it with its folder; one that died in its work is counted.
    /// Where there can be no such file, or another process has it, nothing is noted: work that ends the process is then tried
    /// for ever.
    pub fn open(path: &Path) -> Self {
        let opened = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            // Another process that counts there works at something else.
            file.try_lock()?;
            Ok((deaths(&read(&file)?), file))
        });
        match opened {
            Ok((deaths, file)) => {
                let mut attempts = Attempts { file: Some(file), deaths, at: None };
                attempts.save();
                attempts
            }
            Err(error) => {
                log::info!("deaths in the same work are not counted: {}: {error}", path.display());
                Attempts::none()
            }
        }
    }

    /// How often a process has died in this work.
    pub fn deaths(&self, work: Work) -> u64 {
        self.deaths.iter().find(|(known, _)| *known == work).map_or(0, |(_, deaths)| *deaths)
    }

    /// This work is begun.
    pub fn begin(&mut self, work: Work) {
        self.at = Some(work);
        self.note(&work.encode());
    }

    /// The work that was begun is done, so it can be done.
    pub fn end(&mut self) {
        let known = self.deaths.len();
        let done = self.at.take();
        self.deaths.retain(|(work, _)| Some(*work) != done);
        if self.deaths.len() < known { self.save() } else { self.note(&[0; WORK]) }
    }

    /// A job has ended: nothing of it will come again.
    pub fn forget(&mut self, job: JobId) {
        let known = self.deaths.len();
        self.deaths.retain(|(work, _)| work.job != job);
        if self.deaths.len() < known {
            self.save();
        }
    }

    fn save(&mut self) {
        let bytes = file(&self.deaths);
        let length = bytes.len() as u64;
        self.note(&bytes);
        if let Some(file) = &self.file
            && let Err(error) = file.set_len(length)
        {
            log::debug!("deaths may be counted that were none: {error}");
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(bytes, 0)
        {
            log::info!("deaths in the same work are not counted any more: {error}");
            self.file = None;
        }
    }
}

/// What a file has that notes these deaths, and nothing that is worked at.
pub(super) fn file(deaths: &[(Work, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; WORK];
    for (work, deaths) in deaths {
        bytes.extend_from_slice(&work.encode());
        bytes.extend_from_slice(&deaths.to_le_bytes());
    }
    bytes
}

/// As much of a file as there may be in it.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; WORK + MOST * ENTRY];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// What was noted, with the death that ended the last life.
pub(super) fn deaths(bytes: &[u8]) -> Vec<(Work, u64)> {
    let (mark, entries) = bytes.split_at_checked(WORK).unwrap_or_default();
    let entry = |entry: &[u8]| {
        let (work, deaths) = entry.split_at_checked(WORK)?;
        Some((Work::decode(work)?, u64::from_le_bytes(deaths.try_into().ok()?)))
    };
    let mut deaths: Vec<(Work, u64)> = entries.chunks_exact(ENTRY).filter_map(entry).collect();
    if let Some(died_in) = Work::decode(mark) {
        let before = deaths.extract_if(.., |(work, _)| *work == died_in).next().map_or(0, |(_, deaths)| deaths);
        deaths.truncate(MOST);
        if deaths.len() == MOST {
            deaths.remove(0);
        }
        deaths.push((died_in, before.saturating_add(1)));
    }
    deaths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(key: u64) -> Work {
        Work { key, job: JobId { cluster: 7, number: 1 } }
    }

    #[test]
    fn only_a_death_within_the_work_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/attempts");
        let mut attempts = Attempts::open(&path);
        attempts.begin(work(1));
        attempts.end();
        drop(attempts);
        for deaths in 0..3 {
            let mut attempts = Attempts::open(&path);
            assert_eq!((attempts.deaths(work(1)), attempts.deaths(work(2))), (0, deaths));
            attempts.begin(work(1));
            attempts.end();
            attempts.begin(work(2));
        }
        assert_eq!(Attempts::open(&path).deaths(work(2)), 3);
        assert_eq!(Attempts::open(&path).deaths(work(2)), 3, "idle lives don't count");
        let mut attempts = Attempts::open(&path);
        assert_eq!(Attempts::open(&path).deaths(work(2)), 0, "another process has the file");
        attempts.begin(work(2));
        attempts.end();
        drop(attempts);
        assert_eq!(Attempts::open(&path).deaths(work(2)), 0, "it can be done");
    }

    #[test]
    fn the_oldest_are_forgotten_and_those_of_a_job_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts");
        for key in 0..70 {
            Attempts::open(&path).begin(work(key));
        }
        let mut attempts = Attempts::open(&path);
        assert_eq!((0..70).map(|key| attempts.deaths(work(key))).sum::<u64>(), 64);
        assert_eq!((attempts.deaths(work(5)), attempts.deaths(work(69))), (0, 1));
        attempts.forget(work(0).job);
        drop(attempts);
        assert_eq!(Attempts::open(&path).deaths(work(69)), 0);
    }

    #[test]
    fn any_file_can_be_opened_and_where_there_is_none_nothing_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts");
        for bytes in [&b"x"[..], &[255; 23], &[255; 100], &[7; 10_000]] {
            fs::write(&path, bytes).unwrap();
            let mut attempts = Attempts::open(&path);
            attempts.begin(work(1));
            drop(attempts);
            assert_eq!(Attempts::open(&path).deaths(work(1)), 1);
        }
        let mut attempts = Attempts::open(&path.join("below a file"));
        attempts.begin(work(1));
        attempts.end();
        assert_eq!(attempts.deaths(work(1)), 0);
    }

    #[test]
    fn a_frame_is_known_again_by_its_content() {
        let job = JobId { cluster: 7, number: 1 };
        assert_eq!(Work::frame(job, b"some body"), Work::frame(job, b"some body"));
        assert_ne!(Work::frame(job, b"some body"), Work::frame(job, b"some bodz"));
        assert_ne!(Work::frame(job, b"some body"), Work::emission(job, 7));
    }
}
