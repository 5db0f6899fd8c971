//! A case, and the table of all.

use super::cases::*;
use super::failure::Failure;
use super::subject::{Feature, Subject};

/// One promise, and how it is verified.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Case {
    /// Its number, which stays the same.
    pub number: u16,
    /// Its name, which begins with `case_` and the number.
    pub name: &'static str,
    /// What it verifies, in a line.
    pub promise: &'static str,
    /// What a subject needs to be asked for it; none if all brokers promise it.
    pub needs: Option<Feature>,
    pub(super) verify: fn(&dyn Subject) -> Result<(), Failure>,
}

macro_rules! feature {
    (All) => {
        None
    };
    ($feature:ident) => {
        Some(Feature::$feature)
    };
}

macro_rules! table {
    (() $($needs:ident { $($number:literal $name:ident($theme:ident::$verify:ident): $promise:literal)* })*) => {
        &[$($(Case {
            number: $number,
            name: stringify!($name),
            promise: $promise,
            needs: feature!($needs),
            verify: $theme::$verify,
        },)*)*]
    };
}

/// All cases: 1 to 50 are the numbered promises, those after them what the contract says besides.
pub const CASES: &[Case] = crate::__conformance_cases!([table],);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree_and_none_is_missing() {
        let mut numbers: Vec<_> = CASES.iter().map(|case| case.number).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=CASES.len() as u16), "{numbers:?}");
        for case in CASES {
            assert!(case.name.starts_with(&format!("case_{:02}_", case.number)), "{}", case.name);
        }
    }
}
