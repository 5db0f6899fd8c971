//! The store's tables as rows, and the answers.

use std::{cmp::Reverse, fmt};

use coffee::core::{
    csv::{FieldError, Fields, Record},
    rejection::Line,
    value::Text,
};
use serde::{Deserialize, Serialize};

/// Names a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppId(pub u64);

/// Names a review, by where it stands in its table: so it is the same however often and in which order it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReviewId(pub Line);

impl fmt::Display for ReviewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file, self.0.number)
    }
}

/// A game, from the table `games`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Game {
    pub app: AppId,
    pub name: Text,
    /// When it came out; `None` where the table does not say.
    pub year: Option<u16>,
    pub windows: bool,
    pub mac: bool,
    pub linux: bool,
    pub action: bool,
    pub indie: bool,
    /// Minutes, averaged over its players; 0 where the table does not say.
    pub playtime: u64,
    /// Where it stands in the table.
    pub line: Line,
}

impl Record for Game {
    const COLUMNS: &'static [&'static str] = &["app_id", "name", "released", "platforms", "genres", "average_playtime"];

    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let (platforms, genres) = (fields.str(3), fields.str(4));
        Ok(Game {
            app: AppId(fields.whole_number(0)?),
            name: fields.text(1),
            year: year(fields.str(2)).map_err(|reason| FieldError::new(2, reason))?,
            windows: lists(platforms, "windows"),
            mac: lists(platforms, "mac"),
            linux: lists(platforms, "linux"),
            action: lists(genres, "Action"),
            indie: lists(genres, "Indie"),
            playtime: fields.optional_whole_number(5)?.unwrap_or(0),
            line: fields.line(),
        })
    }
}

/// The year of a date like `2014-03-07`; `None` of an empty one.
fn year(date: &str) -> Result<Option<u16>, &'static str> {
    match date.split_once('-') {
        Some((year, _)) => year.parse().map(Some).map_err(|_| "no such year"),
        None if date.is_empty() => Ok(None),
        None => Err("not a date"),
    }
}

/// Whether a list like `Action,Indie` has an item.
fn lists(list: &str, item: &str) -> bool {
    list.split(',').any(|listed| listed.trim() == item)
}

/// A review, from the table `reviews`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    pub id: ReviewId,
    pub app: AppId,
    pub positive: bool,
    pub text: Text,
}

impl Record for Review {
    const COLUMNS: &'static [&'static str] = &["app_id", "score", "text"];

    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let positive = match fields.str(1) {
            "1" => true,
            "-1" => false,
            _ => return Err(FieldError::new(1, "neither 1 nor -1")),
        };
        let (id, app) = (ReviewId(fields.line()), AppId(fields.whole_number(0)?));
        Ok(Review { id, app, positive, text: fields.text(2) })
    }
}

/// A review with what the queries ask about its game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    pub id: ReviewId,
    pub app: AppId,
    pub name: Text,
    pub action: bool,
    pub indie: bool,
    pub positive: bool,
    pub text: Text,
}

impl Mapped {
    pub fn new(review: &Review, game: &Game) -> Self {
        Mapped {
            id: review.id,
            app: game.app,
            name: game.name.clone(),
            action: game.action,
            indie: game.indie,
            positive: review.positive,
            text: review.text.clone(),
        }
    }
}

/// How many games there are for each platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platforms {
    pub windows: u64,
    pub mac: u64,
    pub linux: u64,
}

/// A game and the figure that it is listed for: the highest first, then by app id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ranked {
    pub figure: Reverse<u64>,
    pub app: AppId,
    pub name: Text,
}

impl Ranked {
    pub fn new(figure: u64, app: AppId, name: &Text) -> Self {
        Ranked { figure: Reverse(figure), app, name: name.clone() }
    }
}

/// A game with many negative reviews in English: the most first, then by app id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Criticised {
    pub negative: Reverse<u64>,
    pub app: AppId,
    pub name: Text,
    /// The first of them, to begin reading at: always there, as no review is no group.
    pub first: Option<ReviewId>,
}

/// All that one client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    pub platforms: Vec<Platforms>,
    pub most_played: Vec<Ranked>,
    pub most_liked: Vec<Ranked>,
    pub criticised: Vec<Criticised>,
    pub most_disliked: Vec<Ranked>,
    /// Rows of both tables that can't be read.
    pub rejected: u64,
}
