//! How a command fails: an exit code and one line on stderr.

use std::{borrow::Cow, error::Error, iter, process::ExitCode};

use crate::output::{print_error, printable};

/// The job failed.
pub const FAILED: u8 = 1;
/// Bad usage, or bad input that was found before any work.
pub const BAD_USAGE: u8 = 2;
/// A node ended itself, as one of its loops made no progress.
pub const HUNG: u8 = 3;
/// Interrupted: as shells have it, 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Why the command failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    /// The file or flag that it is about, where the error does not say.
    about: Option<String>,
    error: Box<dyn Error>,
    advice: Option<Cow<'static, str>>,
}

impl Failure {
    /// With that exit code, of an error that says what it is about.
    pub fn new(code: u8, error: impl Into<Box<dyn Error>>) -> Self {
        Failure { code, about: None, error: error.into(), advice: None }
    }

    /// Bad usage.
    pub fn usage(about: impl Into<String>, error: impl Into<Box<dyn Error>>) -> Self {
        Failure::new(BAD_USAGE, error).about(about)
    }

    /// The work failed.
    pub fn work(about: impl Into<String>, error: impl Into<Box<dyn Error>>) -> Self {
        Failure::new(FAILED, error).about(about)
    }

    /// Says what it is about.
    pub fn about(self, about: impl Into<String>) -> Self {
        Failure { about: Some(about.into()), ..self }
    }

    /// Says what to do about it.
    pub fn advise(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Failure { advice: Some(advice.into()), ..self }
    }

    /// Says what to do about it, if anything is known.
    pub fn advised(self, advice: Option<&'static str>) -> Self {
        Failure { advice: advice.map(Cow::from).or(self.advice), ..self }
    }

    /// Prints the error as one line of the program; with `causes` the chain of its causes follows, one a line.
    pub fn report(&self, program: &str, causes: bool) -> ExitCode {
        print_error(&format!("{program}: {}\n", self.line()));
        for cause in causes_of(self.error.as_ref()).iter().filter(|_| causes) {
            print_error(&format!("  caused by: {}\n", printable(cause)));
        }
        ExitCode::from(self.code)
    }

    /// What it is about, what is wrong, and what to do, in one line.
    pub fn line(&self) -> String {
        let about = self.about.as_ref().map(|about| format!("{about}: ")).unwrap_or_default();
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        printable(&format!("{about}{}{advice}", self.error))
    }
}

/// The error's causes, each without what its own cause says.
fn causes_of(error: &(dyn Error + 'static)) -> Vec<String> {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    let own = causes.map(|error| {
        let (text, cause) = (error.to_string(), error.source().map(ToString::to_string).unwrap_or_default());
        text.strip_suffix(&cause).unwrap_or(&text).trim_end_matches([':', ' ']).to_owned()
    });
    own.filter(|text| !text.is_empty()).collect()
}

/// Prints what clap has to say: help as it is, an error as one line.
pub fn report_usage(error: &clap::Error, program: &str) -> ExitCode {
    use clap::error::ErrorKind;
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print(); // a closed pipe
        return if error.use_stderr() { ExitCode::from(BAD_USAGE) } else { ExitCode::SUCCESS };
    }
    print_error(&format!("{program}: {}\n", printable(&one_line(&error.to_string()))));
    ExitCode::from(BAD_USAGE)
}

/// The lines of clap's error as one, but for those on usage.
pub fn one_line(error: &str) -> String {
    let said = error.strip_prefix("error: ").unwrap_or(error).lines().map(str::trim);
    let said = said.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let said: Vec<&str> = said.filter(|line| !line.is_empty()).collect();
    format!("{}; --help says more", said.join(" "))
}

#[cfg(test)]
mod tests {
    use super::one_line;
    use crate::{application::tests::visits, command_line::command, commands::PlainCommand};

    #[test]
    fn usage_errors_are_one_line() {
        let said = |args: &[&str]| {
            one_line(&command::<PlainCommand>(&visits()).try_get_matches_from(args).unwrap_err().to_string())
        };
        assert_eq!(
            said(&["visits", "cancel"]),
            "the following required arguments were not provided: <ID>; --help says more"
        );
        assert_eq!(
            said(&["visits", "up", "--waiting=x"]),
            "invalid value 'x' for '--waiting <N>': invalid digit found in string; --help says more"
        );
        let unknown = said(&["visits", "up", "--wating=4"]);
        assert!(
            unknown.starts_with("unexpected argument '--wating' found") && unknown.contains("'--waiting'"),
            "{unknown}"
        );
    }
}
