//! The report: the answers and the summary as one page for a browser, made of the result files that are in place.

mod answer;
mod charts;
mod figure;
mod page;
mod table;
mod view;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use coffee_nodes::{
    AsideFile,
    sales::{Request, SalesError, Summary},
};

use crate::failure::Failure;

/// The flag.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Writes the answers, with charts, and the summary into a page for a browser as well; its folder must be there
    #[arg(long, env = "COFFEE_REPORT", value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    /// A result file can't be read any more.
    #[error("{path}: {error}", path = path.display())]
    Read { path: PathBuf, error: csv::Error },
    /// A result file's last column has something else.
    #[error("{path}, line {line}: it does not end with a figure", path = path.display())]
    NoFigure { path: PathBuf, line: u64 },
    /// A chart can't be drawn.
    #[error("a chart can't be drawn: {0}")]
    Draw(#[from] charts::DrawError),
    /// The page can't be written.
    #[error("the report can't be written: {0}")]
    Write(#[from] io::Error),
}

/// A path that no page can have.
#[derive(Debug, thiserror::Error)]
enum NoPage {
    /// It would lie among the results, or over something else, by mistake.
    #[error("the name of a report ends with .html")]
    Name,
    /// It is a folder.
    #[error("it is a folder")]
    Folder,
    /// Its folder takes no files.
    #[error("the report can't be written there: {0}")]
    Aside(#[from] io::Error),
}

/// The page, not in place yet, if one is asked for.
#[derive(Debug)]
pub struct Report(Option<(PathBuf, AsideFile)>);

impl ReportArgs {
    /// Makes the page's file, aside, so that one that can't be had is known before any work.
    pub fn create(&self) -> Result<Report, Failure> {
        let Some(path) = &self.report else { return Ok(Report(None)) };
        let about = || format!("--report {}", path.display());
        let file = aside(path).map_err(|error| Failure::usage(about(), error))?;
        Ok(Report(Some((path.clone(), file))))
    }
}

fn aside(path: &Path) -> Result<AsideFile, NoPage> {
    if path.extension().is_none_or(|extension| extension != "html") {
        return Err(NoPage::Name);
    }
    if path.is_dir() {
        return Err(NoPage::Folder);
    }
    Ok(AsideFile::create(path)?)
}

impl Report {
    /// Puts the page in place, also where only some of the results can be had. After any other failure there is none, and
    /// an old one stays.
    pub fn write(self, request: &Request, done: &Result<Summary, SalesError>) -> Result<(), Failure> {
        let (Some((path, file)), Some(summary)) = (self.0, summary(done)) else { return Ok(()) };
        write(file, request, summary).map_err(|error| Failure::work(path.display().to_string(), error))
    }
}

fn summary(done: &Result<Summary, SalesError>) -> Option<&Summary> {
    match done {
        Ok(summary) => Some(summary),
        Err(SalesError::NoResult(summary)) => Some(summary),
        Err(_) => None,
    }
}

fn write(mut file: AsideFile, request: &Request, summary: &Summary) -> Result<(), ReportError> {
    let page = page::page(request, summary)?.into_string();
    file.write_all(page.as_bytes())?;
    file.put_in_place()?;
    Ok(())
}

#[cfg(test)]
mod tests;
