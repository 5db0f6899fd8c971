//! What is asked, and everything about it that can be checked before any work.

use std::{fs, io, path::PathBuf, sync::Arc, time::Instant};

use coffee_core::{
    codec,
    plan::{Placement, Plan, Topology},
    sales::{Query, SalesPlan, sales_plan},
};

use super::{
    Queries, SalesError, Summary,
    results::{Answer, Results},
    summary, tables,
};
use crate::{embedded::Report, input::Table, job::Job};

/// What is asked of which data, and where the answers go.
#[derive(Clone, Debug)]
pub struct Request {
    /// The folder with a sub-folder a table.
    pub data: PathBuf,
    /// The folder for the results; made if it is not there.
    pub out: PathBuf,
    /// The parameters.
    pub query: Query,
    /// Which queries.
    pub queries: Queries,
    /// Whether the first rejected row ends the work.
    pub strict: bool,
}

/// Whether encoded parameters make sense, for a query node that is asked by strangers.
///
/// # Errors
/// What is wrong with them, in words.
pub fn check_parameters(mut encoded: &[u8]) -> Result<(), String> {
    let query: Query = codec::decode(&mut encoded).map_err(|error| error.to_string())?;
    query.check().map_err(|error| error.to_string())
}

/// A request that makes sense, and its data.
pub(super) struct Checked<'a> {
    pub request: &'a Request,
    /// What is to be run.
    pub job: Job<'static>,
    /// What is asked for.
    pub answers: Vec<Answer>,
    /// What is needed for it, in the order that it is read.
    pub tables: Vec<Table>,
}

impl<'a> Checked<'a> {
    /// Checks a request, and opens its tables. Where the placement is somebody else's business, any will do.
    pub fn new(request: &'a Request, placement: Option<&Placement>) -> Result<Self, SalesError> {
        request.query.check()?;
        let SalesPlan { plan, q1, q2_best_selling, q2_most_profit, q3, q4 } = sales_plan()?;
        let all = [
            Answer::of(&q1),
            Answer::of(&q2_best_selling),
            Answer::of(&q2_most_profit),
            Answer::of(&q3),
            Answer::of(&q4),
        ];
        let answers: Vec<Answer> = all.into_iter().filter(|answer| request.queries.asks_for(&answer.sink)).collect();
        if answers.is_empty() {
            return Err(SalesError::NoQuery);
        }
        let any = Placement::of(&plan);
        let topology = Arc::new(Topology::new(Arc::new(plan), placement.unwrap_or(&any))?);
        let job = Job::new(&topology, &request.query)?.strict(request.strict);
        let job = answers.iter().fold(job, |job, answer| job.ask(&answer.sink));
        // Which tables are needed, and their order, depends on the plan alone.
        let tables: Vec<Table> =
            job.sources()?.iter().map(|source| tables::open(&request.data, source)).collect::<Result<_, _>>()?;
        let job = tables.iter().cloned().fold(job, Job::table);
        Ok(Checked { request, job, answers, tables })
    }

    /// The queries' plan.
    pub fn plan(&self) -> &Plan {
        self.job.topology().plan()
    }

    /// Checks the folder for the results, and makes their files, aside.
    pub fn results(&self) -> Result<Results<'a>, SalesError> {
        let folder = &self.request.out;
        let out = |error| SalesError::Out { path: folder.clone(), error };
        fs::create_dir_all(folder).map_err(out)?;
        self.refuse_input_folders().map_err(out)?;
        tempfile::tempfile_in(folder).map_err(out)?;
        Results::create(folder, &self.answers)
    }

    /// Bytes on disk to read.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(Table::bytes).sum()
    }

    /// Puts the complete results in place and sums up.
    pub fn finish(&self, results: Results<'_>, report: &Report, start: Instant) -> Result<Summary, SalesError> {
        let (results, rejected_file) = results.put_in_place(self.plan(), &self.tables)?;
        Ok(Summary {
            tables: summary::tables(self.plan(), report, &self.tables),
            operators: summary::operators(report),
            results,
            missing: Vec::new(),
            rejected_file,
            rejected_unlisted: report.rejected_unlisted(),
            bytes: self.bytes(),
            elapsed: start.elapsed(),
            times: None,
            stages: Vec::new(),
        })
    }

    /// Results are not put where the data is: a table's file may have a result's name.
    fn refuse_input_folders(&self) -> io::Result<()> {
        let out = self.request.out.canonicalize()?;
        for table in self.tables.iter().map(Table::name) {
            if self.request.data.join(table).canonicalize()? == out {
                return Err(io::Error::other(format!("it holds the files of table {table}")));
            }
        }
        Ok(())
    }
}
