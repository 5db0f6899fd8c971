//! What a seed decides: the bets of each agency, the number that wins, and so the answer.

use chrono::{Days, NaiveDate};
use fastrand::Rng;

use crate::bet::{Bet, NUMBERS};

const NAMES: [&str; 6] = ["Ana", "Beto", "Caro", "Darío", "Elena", "Fermín"];
const SURNAMES: [&str; 5] = ["Gómez", "Núñez", "Paz, de la", "Sosa", "Vera \"Rulo\""];

/// The number that wins.
pub fn winning_number(seed: u64) -> u16 {
    Rng::with_seed(seed).u16(..NUMBERS)
}

/// The bets that an agency has sold, in their order.
pub fn bets(seed: u64, agency: u16, count: usize) -> Vec<Bet> {
    let mut random = Rng::with_seed(seed.wrapping_mul(1 << 16).wrapping_add(1 + u64::from(agency)));
    let mut bet = || Bet {
        name: NAMES[random.usize(..NAMES.len())].to_owned(),
        surname: SURNAMES[random.usize(..SURNAMES.len())].to_owned(),
        document: random.u32(1..100_000_000),
        born: NaiveDate::default() + Days::new(random.u64(..15_000)), // from 1970 on
        number: random.u16(..NUMBERS),
    };
    (0..count).map(|_| bet()).collect()
}

/// The documents of those who have bet on the number, in the order of their bets.
pub fn winners<'a>(bets: impl IntoIterator<Item = &'a Bet>, number: u16) -> Vec<u32> {
    bets.into_iter().filter(|bet| bet.number == number).map(|bet| bet.document).collect()
}
