//! Answers the queries: checks everything, runs the job, puts the files in place, sums up.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use coffee_core::{
    exec::RejectedRow,
    frame::Sinks,
    operator::Row,
    plan::{Placement, SinkId, Topology},
    sales::{Query, ResultRow, SalesPlan, sales_plan},
};

use super::{
    SalesError, Summary,
    error::{About, about},
    files::{self, AsideFile, ResultFile, TakeResult},
    rejected, summary, tables,
};
use crate::{
    Stop,
    embedded::{Embedded, EmbeddedError, Piece},
    input::{Chunker, Table},
};

/// Bytes of a chunk: large, as what is folded within one batch does not travel; and small enough for the cache.
const CHUNK_BYTES: usize = 1 << 20;

/// A query that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no query {0:?}: q1, q2, q3 and q4 are there")]
pub struct UnknownQuery(String);

/// Which of the queries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queries([bool; 4]);

impl Queries {
    /// All of them.
    pub const ALL: Queries = Queries([true; 4]);

    /// The sinks with their answers, by name.
    fn asks_for(self, sink: &str) -> bool {
        let number = sink.strip_prefix('q').and_then(|rest| rest.chars().next()?.to_digit(10));
        number.and_then(|number| self.0.get((number as usize).checked_sub(1)?)).copied().unwrap_or(false)
    }
}

impl FromStr for Queries {
    type Err = UnknownQuery;

    fn from_str(text: &str) -> Result<Self, UnknownQuery> {
        let mut asked = [false; 4];
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let at = ["q1", "q2", "q3", "q4"].iter().position(|known| known.eq_ignore_ascii_case(name));
            match at.and_then(|at| asked.get_mut(at)) {
                Some(asked) => *asked = true,
                None => return Err(UnknownQuery(name.to_owned())),
            }
        }
        Ok(Queries(asked))
    }
}

impl fmt::Display for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = (1..).zip(self.0).filter(|(_, asked)| *asked).map(|(number, _)| format!("q{number}"));
        f.write_str(&asked.collect::<Vec<_>>().join(","))
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder with a sub-folder a table.
    pub data: PathBuf,
    /// The folder for the results; made if it is not there.
    pub out: PathBuf,
    /// The parameters.
    pub query: Query,
    /// Which queries.
    pub queries: Queries,
    /// Which operators run together.
    pub placement: Placement,
    /// How many threads read the data.
    pub threads: NonZeroUsize,
    /// Whether the first rejected row ends the run.
    pub strict: bool,
}

/// How far a run is, for whoever watches it from another thread.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    total: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl Progress {
    /// Bytes on disk to read; 0 until that is known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes on disk read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Answers the queries in this process. Ok promises that the files of all asked queries are in place, and those of the
/// others are gone; after an error no file has changed, unless it was in putting them in place.
///
/// # Errors
/// [`SalesError::is_before_work`] tells what was found before any work from what happened in it.
pub fn run(options: &RunOptions, progress: &Progress, stop: &Stop) -> Result<Summary, SalesError> {
    let start = Instant::now();
    options.query.check()?;
    if options.queries == Queries([false; 4]) {
        return Err(SalesError::NoQuery);
    }
    let SalesPlan { plan, q1, q2_best_selling, q2_most_profit, q3, q4 } = sales_plan()?;
    let topology = Arc::new(Topology::new(Arc::new(plan), &options.placement)?);
    let asked: Vec<bool> = topology.plan().sinks().map(|sink| options.queries.asks_for(sink)).collect();
    let sinks = Sinks(asked.iter().enumerate().fold(0, |bits, (at, asked)| bits | u64::from(*asked) << at));

    let mut job = Embedded::new(topology.clone(), &options.query).map_err(EmbeddedError::from)?.sinks(sinks);
    let names = job.sources().map_err(EmbeddedError::from)?;
    let opened = open(&options.data, &names)?;
    let out = |error| SalesError::Out { path: options.out.clone(), error };
    fs::create_dir_all(&options.out).map_err(out)?;
    refuse_input_folders(options, &names).map_err(out)?;
    tempfile::tempfile_in(&options.out).map_err(out)?;

    let mut results = Results { folder: &options.out, files: BTreeMap::new(), rejected: Vec::new() };
    results.expect(options.queries, &q1)?;
    results.expect(options.queries, &q2_best_selling)?;
    results.expect(options.queries, &q2_most_profit)?;
    results.expect(options.queries, &q3)?;
    results.expect(options.queries, &q4)?;

    let bytes = opened.values().map(Table::bytes).sum();
    progress.total.store(bytes, Ordering::Relaxed);
    for (name, table) in &opened {
        job = job.feed(name, Chunker::new(table, CHUNK_BYTES));
    }
    let job = job
        .threads(options.threads)
        .strict(options.strict)
        .scratch(&options.out)
        .stop(stop.clone())
        .progress(progress.read.clone());
    let report = job
        .run_with(&mut |piece| Ok(results.take(&piece)?))
        .map_err(|error| explain(error, &topology, &opened, &options.out))?;

    let (results, rejected_file) = results.put_in_place(&topology, &opened)?;
    let rejected_unlisted = report.rejected_unlisted();
    Ok(Summary {
        tables: summary::tables(topology.plan(), &report, &names),
        operators: summary::operators(&report),
        results,
        rejected_file,
        rejected_unlisted,
        bytes,
        elapsed: start.elapsed(),
    })
}

fn open(data: &Path, names: &[String]) -> Result<BTreeMap<String, Table>, SalesError> {
    names.iter().map(|name| Ok((name.clone(), tables::open(data, name)?))).collect()
}

/// Results are not put where the data is: a table's file may have a result's name.
fn refuse_input_folders(options: &RunOptions, tables: &[String]) -> io::Result<()> {
    let out = options.out.canonicalize()?;
    for table in tables {
        if options.data.join(table).canonicalize()? == out {
            return Err(io::Error::other(format!("it holds the files of table {table}")));
        }
    }
    Ok(())
}

/// Says a rejection in a strict run by its file.
fn explain(error: EmbeddedError, topology: &Topology, opened: &BTreeMap<String, Table>, out: &Path) -> SalesError {
    match about(error, out) {
        About::Other(error) => error,
        About::Rejected(operator, rejection) => {
            let table = topology.plan().looked_up_by(&operator).unwrap_or(&operator);
            let file = opened.get(table).map(|table| tables::file_name(table, rejection.line.file)).unwrap_or_default();
            let what = if rejection.column.is_empty() {
                rejection.reason
            } else {
                format!("{}: {}", rejection.column, rejection.reason)
            };
            SalesError::Rejected { file, line: rejection.line.number, what }
        }
    }
}

/// The files that are being written.
struct Results<'a> {
    folder: &'a Path,
    files: BTreeMap<String, Box<dyn TakeResult>>,
    rejected: Vec<RejectedRow>,
}

impl Results<'_> {
    fn expect<R: Row + ResultRow>(&mut self, queries: Queries, sink: &SinkId<R>) -> Result<(), SalesError> {
        if queries.asks_for(sink.name()) {
            let file = ResultFile::<R>::create(self.folder, sink.name())?;
            self.files.insert(sink.name().to_owned(), Box::new(file));
        }
        Ok(())
    }

    fn take(&mut self, piece: &Piece<'_>) -> Result<(), SalesError> {
        match self.files.get_mut(piece.sink) {
            Some(file) => file.take(piece),
            None => {
                // Rows that a node of this process encoded can be decoded.
                self.rejected.extend(piece.rows().filter_map(Result::ok));
                Ok(())
            }
        }
    }

    fn put_in_place(
        self,
        topology: &Topology,
        opened: &BTreeMap<String, Table>,
    ) -> Result<(Vec<super::ResultSummary>, Option<PathBuf>), SalesError> {
        // All that can fail for other reasons than the file system's is done before the first file is in place.
        let rejected = rejected::write(self.folder, self.rejected, opened)?;
        let unasked: Vec<String> =
            topology.plan().sinks().filter(|sink| !self.files.contains_key(*sink)).map(files::file_name).collect();
        let results = self.files.into_values().map(|file| file.put_in_place()).collect::<Result<_, _>>()?;
        let none_rejected = rejected.is_none().then(|| rejected::FILE.to_owned());
        for old in unasked.into_iter().chain(none_rejected) {
            files::remove(&self.folder.join(old))?;
        }
        Ok((results, rejected.map(AsideFile::put_in_place).transpose()?))
    }
}
