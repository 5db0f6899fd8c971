//! The five queries as one plan: one pass over each table serves all of them.
//!
//! ```text
//! games -> distinct -+-> on-platforms -> by-platform ------------------------------> platforms
//!                    +-> indie -> years -> longest -> played ----------------------> most-played
//!                    `--.
//! reviews -----------> mapper -+-> liked -> likes -> best-liked -> ranked ---------> most-liked
//!                              `-> disliked -+-> english -> complaints -> many -> criticism -> criticised
//!                                            `-> dislikes -+---------> at-or-above-> most-disliked
//!                                                          `-> threshold --^
//! ```

use std::cmp::Reverse;

use coffee::{
    core::{csv::CsvSource, value::Text},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use super::{
    operators::{AtOrAbove, Counted, English, First, NearestRank},
    records::{Answers, AppId, Criticised, Game, Mapped, Platforms, Ranked, Review, ReviewId},
};

/// What one client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The first and the last year that a most played game came out in.
    pub years: (u16, u16),
    /// How many most played games.
    pub most_played: u16,
    /// How many most liked games.
    pub most_liked: u16,
    /// A game is criticised with more negative reviews in English than this.
    pub more_than: u64,
    /// Of the counts of negative reviews, 1 to 100.
    pub percentile: u8,
}

/// The names of the results.
pub struct Sinks {
    pub platforms: SinkId<Platforms>,
    pub most_played: SinkId<Ranked>,
    pub most_liked: SinkId<Ranked>,
    pub criticised: SinkId<Criticised>,
    pub most_disliked: SinkId<Ranked>,
}

impl Sinks {
    /// The answers, out of a run's results.
    pub fn answers(&self, outcome: &Outcome) -> Result<Answers, RowsError> {
        Ok(Answers {
            platforms: outcome.rows(&self.platforms)?.collect(),
            most_played: outcome.rows(&self.most_played)?.collect(),
            most_liked: outcome.rows(&self.most_liked)?.collect(),
            criticised: outcome.rows(&self.criticised)?.collect(),
            most_disliked: outcome.rows(&self.most_disliked)?.collect(),
            rejected: outcome.report.rejected(),
        })
    }
}

/// The plan of the five queries.
pub fn plan() -> Result<(Plan, Sinks), PlanError> {
    let builder = PlanBuilder::<Asked>::new();
    // Of several games with one app id the first in the table stays.
    let games = builder
        .source("games", |_| CsvSource::<Game>::new())
        .key(|game| game.app)
        .maximize("distinct", |_| (1, |game: &Game| game.line));
    let reviews = builder.source("reviews", |_| CsvSource::<Review>::new());
    // Reviews of unknown games are left out.
    let mapped = reviews.key(|review| review.app).join("mapper", games.key(|game| game.app), |_| Mapped::new);
    let disliked = mapped.filter("disliked", |_| |review: &Mapped| review.action && !review.positive);

    let sinks = Sinks {
        platforms: platforms(games),
        most_played: most_played(games),
        most_liked: most_liked(mapped),
        criticised: criticised(disliked),
        most_disliked: most_disliked(disliked),
    };
    Ok((builder.build()?, sinks))
}

/// Games by platform.
fn platforms(games: Flow<'_, Asked, Game>) -> SinkId<Platforms> {
    let count = |has: fn(&Game) -> bool| Sum::<_, u64>::new(move |game: &Game| u64::from(has(game)));
    games
        .key(|_| ())
        .aggregate("on-platforms", move |_| (count(|g| g.windows), (count(|g| g.mac), count(|g| g.linux))))
        .map("by-platform", |_| {
            |(_, (windows, (mac, linux))): &((), (u64, (u64, u64)))| Platforms {
                windows: *windows,
                mac: *mac,
                linux: *linux,
            }
        })
        .sink("platforms")
}

/// The indie games of some years that are played the longest on average.
fn most_played(games: Flow<'_, Asked, Game>) -> SinkId<Ranked> {
    games
        .filter("indie", |_| |game: &Game| game.indie)
        .filter("years", |asked| Between::new(|g: &Game| g.year, Some(asked.years.0), Some(asked.years.1)))
        .key(|_| ())
        .maximize("longest", |asked| (asked.most_played.into(), |g: &Game| (Reverse(g.playtime), g.app)))
        .map("played", |_| |game: &Game| Ranked::new(game.playtime, game.app, &game.name))
        .sink("most-played")
}

/// The indie games with most positive reviews.
fn most_liked(mapped: Flow<'_, Asked, Mapped>) -> SinkId<Ranked> {
    mapped
        .filter("liked", |_| |review: &Mapped| review.indie && review.positive)
        .key(game)
        .aggregate("likes", |_| Count)
        .key(|_| ())
        .maximize("best-liked", |asked| (asked.most_liked.into(), |r: &Counted| (Reverse(r.1), r.0.0)))
        .map("ranked", |_| |((app, name), likes): &Counted| Ranked::new(*likes, *app, name))
        .sink("most-liked")
}

/// The action games with more than so many negative reviews in English.
fn criticised(disliked: Flow<'_, Asked, Mapped>) -> SinkId<Criticised> {
    disliked
        .filter("english", |_| English)
        .key(game)
        .aggregate("complaints", |_| (Count, First))
        .filter("many", |asked| {
            let more_than = asked.more_than;
            move |complaints: &Complaints| complaints.1.0 > more_than
        })
        .map("criticism", |_| {
            |((app, name), (negative, first)): &Complaints| Criticised {
                negative: Reverse(*negative),
                app: *app,
                name: name.clone(),
                first: *first,
            }
        })
        .sink("criticised")
}

/// The action games in the upper percentiles of negative reviews, among those that have any.
fn most_disliked(disliked: Flow<'_, Asked, Mapped>) -> SinkId<Ranked> {
    let dislikes = disliked.key(game).aggregate("dislikes", |_| Count);
    let threshold = dislikes.aggregate("threshold", |asked| NearestRank { percentile: asked.percentile });
    dislikes.join("at-or-above", threshold, |_| AtOrAbove).sink("most-disliked")
}

/// Negative reviews in English by game: how many, and the first.
type Complaints = ((AppId, Text), (u64, Option<ReviewId>));

/// What reviews are counted by.
fn game(review: &Mapped) -> (AppId, Text) {
    (review.app, review.name.clone())
}
