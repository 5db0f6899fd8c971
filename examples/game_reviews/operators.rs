//! The operators that this pipeline has of its own.

use std::collections::BTreeMap;

use coffee::{core::value::Text, prelude::*};
use whatlang::Lang;

use super::records::{AppId, Mapped, Ranked, ReviewId};

/// Reviews counted by game. An app id has one name, as games are distinct.
pub type Counted = ((AppId, Text), u64);

/// Whether a text is most likely English.
pub fn is_english(text: &str) -> bool {
    whatlang::detect_lang(text) == Some(Lang::Eng)
}

/// Keeps reviews in English.
pub struct English;

impl Filter<Mapped> for English {
    fn keep(&self, review: &Mapped) -> bool {
        is_english(review.text.as_str())
    }
}

/// The lowest id: `None` of no reviews.
pub struct First;

impl Measure<Mapped> for First {
    type Acc = Option<ReviewId>;

    fn fold(&self, acc: &mut Self::Acc, review: &Mapped) {
        self.merge(acc, Some(review.id));
    }

    fn merge(&self, acc: &mut Self::Acc, part: Self::Acc) {
        *acc = acc.iter().copied().chain(part).min();
    }
}

/// The least count that is at or above a percentile of all counts, by nearest rank: no count between two is made up.
pub struct NearestRank {
    pub percentile: u8,
}

impl Aggregator for NearestRank {
    type Row = Counted;
    type Key = ();
    /// How many games have each count: all that a rank needs, and the same in whatever order they came.
    type Acc = BTreeMap<u64, u64>;
    type Out = u64;

    fn key(&self, _: &Counted) -> Option<()> {
        Some(())
    }

    fn fold(&self, acc: &mut Self::Acc, counted: &Counted) {
        *acc.entry(counted.1).or_default() += 1;
    }

    fn merge(&self, acc: &mut Self::Acc, part: Self::Acc) {
        for (count, games) in part {
            *acc.entry(count).or_default() += games;
        }
    }

    fn finish(&self, (): (), acc: Self::Acc) -> u64 {
        let games: u64 = acc.values().sum();
        let rank = (games * u64::from(self.percentile)).div_ceil(100);
        let mut below = 0;
        let reached = acc.iter().find(|(_, games)| {
            below += **games;
            below >= rank
        });
        reached.map_or(0, |(count, _)| *count)
    }
}

/// Keeps games whose count is at or above the threshold, which is the only row of its side.
pub struct AtOrAbove;

impl Joiner for AtOrAbove {
    type Build = u64;
    type Probe = Counted;
    type Key = ();
    type Out = Ranked;

    fn build_key(&self, _: &u64) {}

    fn probe_key(&self, _: &Counted) {}

    fn join(&self, ((app, name), count): &Counted, threshold: Option<&u64>) -> Option<Ranked> {
        threshold.filter(|threshold| count >= threshold).map(|_| Ranked::new(*count, *app, name))
    }
}
