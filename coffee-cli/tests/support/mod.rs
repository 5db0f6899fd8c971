//! What the tests of the command share: data made by hand or generated, runs of the real binary, and the comparison of
//! what it says with the reference.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code, which fails by panicking")]

pub mod cluster;
pub mod leftovers;
pub mod processes;
pub mod reference;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use coffee_nodes::generate::{GenerateOptions, generate};
pub use processes::{command, files};
use reference::{Answer, Params};
use tempfile::TempDir;

/// The header of each table, with the used columns alone.
pub const HEADERS: [(&str, &str); 5] = [
    ("transactions", "transaction_id,store_id,user_id,final_amount,created_at"),
    ("transaction_items", "transaction_id,item_id,quantity,subtotal,created_at"),
    ("stores", "store_id,store_name"),
    ("menu_items", "item_id,item_name"),
    ("users", "user_id,birthdate"),
];

/// A data folder of its own.
pub struct Data(TempDir);

impl Data {
    /// Without a table.
    pub fn new() -> Self {
        Data(tempfile::tempdir().unwrap())
    }

    /// With one or two plain rows in each table, in the file `a.csv`.
    pub fn small() -> Self {
        let rows = [
            "t1,1,7.0,80.5,2024-01-02 10:00:00\n",
            "t1,3,2,80.5,2024-01-02 10:00:00\n",
            "1,North\n",
            "3,Mocha\n",
            "7,1990-01-02\n",
        ];
        let data = Data::new();
        for ((table, header), rows) in HEADERS.into_iter().zip(rows) {
            data.file(table, "a.csv", format!("{header}\n{rows}"));
        }
        data
    }

    /// Generated: so many transactions in each month.
    pub fn generated(seed: u64, transactions: u64, months: &[&str]) -> Self {
        let data = Data::new();
        let months = months.iter().map(|month| month.parse().unwrap()).collect();
        generate(data.path(), &GenerateOptions { months, transactions, users: 300, seed }).unwrap();
        data
    }

    /// Writes a file of a table, or over it.
    pub fn file(&self, table: &str, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(self.path().join(table)).unwrap();
        fs::write(self.path().join(table).join(name), content).unwrap();
        self
    }

    /// Writes the file `b.csv` of a table: the header and these lines.
    pub fn lines(&self, table: &str, lines: &[&str]) -> &Self {
        let (_, header) = HEADERS.into_iter().find(|(name, _)| *name == table).unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.file(table, "b.csv", format!("{header}\n{lines}"))
    }

    pub fn remove(&self, path: &str) -> &Self {
        let path = self.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The bytes of all tables.
    pub fn size(&self) -> u64 {
        let tables = fs::read_dir(self.path()).unwrap().map(|table| files(&table.unwrap().path()));
        tables.flat_map(BTreeMap::into_values).map(|file| file.len() as u64).sum()
    }
}

/// The command, without what the environment of the tests says.
pub fn coffee() -> Command {
    command(env!("CARGO_BIN_EXE_coffee"))
}

/// The exit code and both texts of a run that has ended; a panic fails the test.
pub fn said(output: Output) -> (i32, String, String) {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), stderr)
}

/// A run of `coffee run` into a folder of its own, which is kept as long as this is.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub out: TempDir,
}

/// Runs `coffee run`.
pub fn run(data: &Path, flags: &[&str]) -> Run {
    run_into(tempfile::tempdir().unwrap(), data, flags)
}

/// Runs `coffee run` into a folder in which there may be something.
pub fn run_into(out: TempDir, data: &Path, flags: &[&str]) -> Run {
    let output = coffee().arg("run").arg(data).arg("--out").arg(out.path()).args(flags).output().unwrap();
    let (code, stdout, stderr) = said(output);
    Run { code, stdout, stderr, out }
}

impl Run {
    /// Asserts that it was done.
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// The one line that a run that has failed says.
    pub fn error(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stderr.lines().count()), (code, 1), "{}", self.stderr);
        self.stderr.strip_prefix("coffee: ").unwrap()
    }

    /// All that is in the folder.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(self.out.path())
    }

    /// A result file's text.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.stderr))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.out.path().join(name)
    }

    /// The records of `rejected.csv`.
    pub fn rejected(&self) -> Vec<[String; 5]> {
        let Ok(mut reader) = csv::Reader::from_path(self.path("rejected.csv")) else { return Vec::new() };
        assert_eq!(reader.headers().unwrap(), vec!["file", "line", "column", "reason", "raw"]);
        reader.deserialize().map(|record| record.unwrap()).collect()
    }

    /// The summary's rows, rejected and unmatched by table.
    pub fn tables(&self) -> BTreeMap<String, [u64; 3]> {
        let rows = self.section("table").into_iter().map(|row| {
            let number = |at: usize| row[at].replace(',', "").parse().unwrap();
            (row[0].clone(), [number(1), number(2), number(3)])
        });
        rows.collect()
    }

    /// The summary's figures that may not depend on how it was run: a table's and an operator's.
    pub fn figures(&self) -> [Vec<Vec<String>>; 2] {
        [self.section("table"), self.section("operator")]
    }

    /// A table of the summary, from behind its header to the next empty line.
    fn section(&self, first: &str) -> Vec<Vec<String>> {
        let lines = self.stderr.lines().skip_while(|line| line.split_whitespace().next() != Some(first)).skip(2);
        let lines = lines.take_while(|line| !line.is_empty());
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }
}

/// Asserts that a run says what the reference says: each byte of the results, which rows are rejected, what is counted.
pub fn assert_answers(run: &Run, expected: &Answer, what: &str) {
    assert_eq!(run.code, 0, "{what}: {}", run.stderr);
    let mut files = run.files();
    assert_eq!(files.remove("rejected.csv").is_some(), !expected.rejected.is_empty(), "{what}: rejected.csv");
    assert!(files.keys().eq(expected.files.keys()), "{what}: {:?}", files.keys());
    for (name, content) in &expected.files {
        let (is, should) = (String::from_utf8_lossy(&files[name]), String::from_utf8_lossy(content));
        let differing = is.lines().zip(should.lines()).find(|(is, should)| is != should);
        assert!(files[name] == *content, "{what}: {name}: {differing:?} of {} and {}", is.len(), should.len());
    }
    let mut rejected: Vec<_> =
        run.rejected().into_iter().map(|[file, line, ..]| (file, line.parse().unwrap())).collect();
    rejected.sort();
    assert_eq!(rejected, expected.rejected, "{what}: rejected");
    let counts = expected.rows.iter().map(|(table, rows)| {
        let of_table = expected.rejected.iter().filter(|(file, _)| file.split('/').next() == Some(table));
        let unmatched = expected.unmatched.get(table).copied().unwrap_or(0);
        (table.clone(), [*rows, of_table.count() as u64, unmatched])
    });
    assert_eq!(run.tables(), counts.collect(), "{what}: {}", run.stderr);
}

/// Runs under each of these placements with so many threads, and compares all runs with the reference and each other.
pub fn assert_exact(data: &Path, params: &Params, runs: &[(&str, &str)]) -> Answer {
    let expected = reference::answer(data, params);
    let flags = params.flags();
    let mut first: Option<Run> = None;
    for (placement, threads) in runs {
        let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        flags.extend(["--placement", placement, "--threads", threads]);
        let run = run(data, &flags);
        assert_answers(&run, &expected, &format!("{flags:?}"));
        if let Some(first) = &first {
            assert_eq!(run.figures(), first.figures(), "{flags:?}");
            assert_eq!(run.rejected(), first.rejected(), "{flags:?}");
        }
        first.get_or_insert(run);
    }
    expected
}

/// Both placements, on two threads.
pub const BOTH: &[(&str, &str)] = &[("fused", "2"), ("staged", "2")];
