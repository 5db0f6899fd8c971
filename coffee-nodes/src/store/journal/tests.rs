use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use proptest::prelude::*;

use super::*;
use crate::store::damage::withstands;

fn job(number: u64) -> JobId {
    JobId { cluster: 7, number }
}

fn frame(number: u64, bytes: usize, fill: u8) -> Record {
    Record::Frame { job: job(number), body: Bytes::from(vec![fill; bytes]) }
}

fn records(journal: &Journal) -> Vec<Record> {
    let mut records = Vec::new();
    journal
        .restore(&mut |record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
    records
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Record>),
    Forget(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let record = prop_oneof![
        4 => (0..3u64, prop_oneof![0..100usize, Just((256 << 10) - 64), 200_000..600_000usize], any::<u8>())
            .prop_map(|(job, bytes, fill)| frame(job, bytes, fill)),
        1 => (0..3u64, 0..3u16).prop_map(|(number, operator)| Record::Emitted { job: job(number), operator }),
    ];
    prop_oneof![
        4 => prop::collection::vec(record, 0..6).prop_map(Step::Commit),
        1 => (0..3u64).prop_map(Step::Forget),
        1 => Just(Step::Reopen),
    ]
}

/// What a journal has to hold, in the order that it is restored in.
#[derive(Default)]
struct Model {
    marks: BTreeSet<(u64, u16)>,
    frames: BTreeMap<u64, Vec<Record>>,
}

impl Model {
    fn commit(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Emitted { job, operator } => drop(self.marks.insert((job.number, operator))),
                Record::Frame { job, .. } => self.frames.entry(job.number).or_default().push(record),
            }
        }
    }

    fn forget(&mut self, number: u64) {
        self.marks.retain(|(of, _)| *of != number);
        self.frames.remove(&number);
    }

    fn jobs(&self) -> Vec<JobId> {
        let numbers: BTreeSet<u64> =
            self.marks.iter().map(|(number, _)| *number).chain(self.frames.keys().copied()).collect();
        numbers.into_iter().map(job).collect()
    }

    fn records(&self) -> Vec<Record> {
        let mark = |(number, operator): &(u64, u16)| Record::Emitted { job: job(*number), operator: *operator };
        self.marks.iter().map(mark).chain(self.frames.values().flatten().cloned()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_journal_is_what_was_committed_and_not_forgotten(steps in prop::collection::vec(step(), 1..12)) {
        let folder = tempfile::tempdir()?;
        let mut journal = Journal::open(folder.path())?;
        let identity = journal.identity();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Commit(records) => {
                    journal.commit(&records)?;
                    model.commit(records);
                }
                Step::Forget(number) => {
                    journal.forget(job(number))?;
                    model.forget(number);
                }
                Step::Reopen => {
                    drop(journal);
                    journal = Journal::open(folder.path())?;
                    prop_assert_eq!(journal.identity(), identity);
                }
            }
            prop_assert_eq!(journal.jobs()?, model.jobs());
            prop_assert!(records(&journal) == model.records());
        }
    }

    #[test]
    fn a_damaged_journal_is_an_error_or_what_it_was(
        cut in prop::option::of(any::<prop::sample::Index>()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let folder = tempfile::tempdir()?;
        let mut journal = Journal::open(folder.path())?;
        let committed = [frame(1, 5000, 1), frame(1, 100, 2), Record::Emitted { job: job(2), operator: 3 }];
        for record in &committed {
            journal.commit(std::slice::from_ref(record))?;
        }
        let whole = records(&journal);
        drop(journal);
        let path = folder.path().join("journal.redb");
        let mut bytes = fs::read(&path)?;
        match cut {
            Some(cut) => bytes.truncate(cut.index(bytes.len())),
            None => flips.into_iter().for_each(|(at, flip)| bytes[at.index(40_000)] ^= flip),
        }
        fs::write(&path, bytes)?;
        if let Ok(journal) = Journal::open(folder.path()) {
            prop_assert!(records(&journal) == whole);
        }
    }
}

#[test]
fn a_damaged_journal_is_told_or_whole() {
    let fill = |folder: &Path| -> Box<dyn std::any::Any> {
        let mut journal = Journal::open(folder).unwrap();
        for number in 0..12 {
            let mark = Record::Emitted { job: job(number % 3), operator: number as u16 };
            journal.commit(&[frame(number % 3, 3000 * number as usize, number as u8), mark]).unwrap();
        }
        journal.forget(job(2)).unwrap();
        journal.commit(&[frame(4, 100, 1)]).unwrap();
        Box::new(journal)
    };
    withstands("journal", fill, |folder| Journal::open(folder).map(|journal| records(&journal)));
}

#[test]
fn each_may_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.commit(&[frame(1, 10, 1), frame(1, 10, 2)]).unwrap();
    let mut seen = 0;
    let ended = journal.restore(&mut |_| {
        seen += 1;
        Err(StoreError { what: "on purpose".into(), source: "on purpose".into() })
    });
    assert!(ended.is_err());
    assert_eq!(seen, 1);
}

#[test]
fn forgotten_room_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let group: Vec<Record> = (0..32).map(|_| frame(1, (256 << 10) + 300, 1)).collect();
    let mut sizes = Vec::new();
    for _ in 0..4 {
        journal.commit(&group).unwrap();
        journal.commit(&group).unwrap();
        journal.forget(job(1)).unwrap();
        sizes.push(fs::metadata(folder.path().join("journal.redb")).unwrap().len());
    }
    assert!(sizes[3] <= 2 * sizes[0], "{sizes:?}");
}

const CHILD: &str = "COFFEE_TEST_JOURNAL";

/// The process that is killed: commits group after group, and says so after each.
#[test]
fn commits_until_it_is_killed() {
    let Ok(folder) = env::var(CHILD) else { return };
    let mut journal = Journal::open(Path::new(&folder)).unwrap();
    let first = records(&journal).len() as u64 / GROUP;
    for group in first.. {
        journal.commit(&group_of(group)).unwrap();
        println!("\ncommitted {group}");
    }
}

const GROUP: u64 = 5;

fn group_of(group: u64) -> Vec<Record> {
    (0..GROUP).map(|at| frame(1, 100_000 + 60_000 * at as usize, group as u8)).collect()
}

#[test]
fn a_killed_process_leaves_whole_groups_and_all_that_were_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut least = 0;
    for round in 0..6 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::journal::tests::commits_until_it_is_killed"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut told = lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        let last = told.nth(5 + round * 3).unwrap();
        child.kill().unwrap();
        // What it said before the kill came through.
        let last = told.last().unwrap_or(last);
        child.wait().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let records = records(&journal);
        assert_eq!(records.len() as u64 % GROUP, 0, "a group is whole");
        let groups = records.len() as u64 / GROUP;
        assert!(groups > last && groups > least, "{groups} groups, {last} was committed");
        assert!(records == (0..groups).flat_map(group_of).collect::<Vec<_>>());
        least = groups;
    }
}

/// How fast commits are beside writing and syncing the same bytes, and how fast a long journal is opened.
#[test]
#[ignore = "measures"]
fn speed() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let group: Vec<Record> = (0..32).map(|_| frame(1, (256 << 10) + 300, 1)).collect();
    let megabytes = (64 * 32 * ((256 << 10) + 300)) as f64 / 1e6;
    let mut file = fs::File::create(folder.path().join("plain")).unwrap();
    let start = Instant::now();
    for _ in 0..64 {
        for record in &group {
            let Record::Frame { body, .. } = record else { continue };
            file.write_all(body).unwrap();
        }
        file.sync_data().unwrap();
    }
    println!("write and sync: {:.0} MB/s", megabytes / start.elapsed().as_secs_f64());
    let mut journal = Journal::open(folder.path()).unwrap();
    let start = Instant::now();
    for _ in 0..64 {
        journal.commit(&group).unwrap();
    }
    println!("commit: {:.0} MB/s", megabytes / start.elapsed().as_secs_f64());
    drop(journal);
    let start = Instant::now();
    let mut journal = Journal::open(folder.path()).unwrap();
    println!("open: {:?} for {megabytes:.0} MB", start.elapsed());
    let start = Instant::now();
    journal.restore(&mut |_| Ok(())).unwrap();
    println!("restore: {:?}", start.elapsed());
    let start = Instant::now();
    journal.forget(job(1)).unwrap();
    println!("forget: {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..1000 {
        journal.commit(&[frame(2, 3000, 1)]).unwrap();
    }
    println!("small commit: {:?}", start.elapsed() / 1000);
}
