//! Which of the four queries are asked for.

use std::{fmt, str::FromStr};

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

    /// Whether an answer to one of them is in the sink of this name.
    pub(super) fn asks_for(self, sink: &str) -> bool {
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
