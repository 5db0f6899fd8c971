//! How the commands on the queries fail.

use coffee_nodes::{generate::GenerateError, input::InputError, sales::SalesError};

use crate::failure::{BAD_USAGE, FAILED, Failure, INTERRUPTED};

impl From<SalesError> for Failure {
    fn from(error: SalesError) -> Self {
        let code = match &error {
            SalesError::Interrupted => INTERRUPTED,
            error if error.is_before_work() => BAD_USAGE,
            _ => FAILED,
        };
        let advice = advice(&error);
        Failure::new(code, error).advised(advice)
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Self {
        let code = if matches!(error, GenerateError::File { .. }) { FAILED } else { BAD_USAGE };
        Failure::new(code, error)
    }
}

/// What to do about it, in terms of the command's flags, where the error alone does not make it plain.
fn advice(error: &SalesError) -> Option<&'static str> {
    Some(match error {
        SalesError::NoQuery => "name some of q1, q2, q3 and q4 with --queries",
        SalesError::Input(InputError::NoDataFolder { .. }) => {
            "name one with a sub-folder a table, or make one with `coffee generate`"
        }
        SalesError::Input(InputError::NoTable { .. } | InputError::NoFiles { .. }) => {
            "add it, or ask with --queries for those that do without it"
        }
        SalesError::Header { .. } => "mend the file's first line, or take the file out of the folder",
        SalesError::Out { .. } => "name another folder with --out",
        SalesError::Read(InputError::Gzip { .. }) => "fetch the file again, or take it out of the folder",
        SalesError::Rejected { .. } => "mend it, or run without --strict to have such rows listed in rejected.csv",
        SalesError::Interrupted => "no result file was changed",
        _ => return None,
    })
}
