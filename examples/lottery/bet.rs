//! A bet, what makes it a valid one, and how bets are written: as lines of CSV.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bets are on one of the numbers below this.
pub const NUMBERS: u16 = 1_000;

/// What one person bets on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bet {
    pub name: String,
    pub surname: String,
    pub document: u32,
    #[serde(with = "date")]
    pub born: NaiveDate,
    pub number: u16,
}

/// Why a text of bets is refused, as a whole.
#[derive(Debug, Error)]
pub enum BadBets {
    /// A line has not the five fields of a bet.
    #[error(transparent)]
    Line(#[from] csv::Error),
    /// A bet has a nameless person, or one without a document.
    #[error("bet {0} does not say whose it is")]
    Nobody(usize),
    /// A bet is on a number that is not drawn.
    #[error("bet {0} is on a number that is not among the {NUMBERS}")]
    Number(usize),
}

/// The line of a bet, its end included.
///
/// # Errors
/// None that a bet in memory gives rise to.
pub fn write(bet: &Bet) -> Result<Vec<u8>, csv::Error> {
    let mut lines = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    lines.serialize(bet)?;
    lines.into_inner().map_err(|error| error.into_error().into())
}

/// All bets of a text. Ok: each is valid.
///
/// # Errors
/// [`BadBets`] for the first one that is not.
pub fn read(lines: &[u8]) -> Result<Vec<Bet>, BadBets> {
    let bets = csv::ReaderBuilder::new().has_headers(false).from_reader(lines).into_deserialize();
    bets.enumerate().map(|(index, bet)| check(index + 1, bet?)).collect()
}

fn check(place: usize, bet: Bet) -> Result<Bet, BadBets> {
    if bet.name.trim().is_empty() || bet.surname.trim().is_empty() || bet.document == 0 {
        return Err(BadBets::Nobody(place));
    }
    if bet.number >= NUMBERS { Err(BadBets::Number(place)) } else { Ok(bet) }
}

/// Dates as text: 1999-03-17.
mod date {
    use chrono::NaiveDate;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(date: &NaiveDate, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(date)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
