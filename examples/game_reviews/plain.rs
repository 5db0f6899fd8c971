//! The answers by plain loops over the texts: by nothing of what the pipeline is made of but the detection of languages.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use coffee::core::{rejection::Line, value::Text};

use super::{
    data::Data,
    operators::is_english,
    plan::Asked,
    records::{Answers, AppId, Criticised, Platforms, Ranked, ReviewId},
};

/// A listed game, and what its reviews say.
struct Seen {
    app: AppId,
    name: Text,
    year: Option<u16>,
    platforms: BTreeSet<String>,
    genres: BTreeSet<String>,
    playtime: u64,
    positive: u64,
    negative: u64,
    /// Negative ones in English, of action games only: telling a language is what takes the time.
    in_english: Vec<ReviewId>,
}

/// What the clients have to get.
pub fn answers(data: &Data, asked: &Asked) -> Result<Answers, csv::Error> {
    let mut rejected = 0;
    let mut games = HashMap::new();
    for (_, row) in rows(&data.games)? {
        match game(&row) {
            Some(game) => {
                games.entry(game.app).or_insert(game);
            }
            None => rejected += 1,
        }
    }
    for (line, row) in rows(&data.reviews)? {
        let (Ok(app), "1" | "-1") = (row["app_id"].parse(), &*row["score"]) else {
            rejected += 1;
            continue;
        };
        let Some(game) = games.get_mut(&AppId(app)) else { continue };
        match &*row["score"] {
            "1" => game.positive += 1,
            _ => {
                game.negative += 1;
                if game.genres.contains("Action") && is_english(&row["text"]) {
                    game.in_english.push(ReviewId(line));
                }
            }
        }
    }
    Ok(answered(&games.into_values().collect::<Vec<_>>(), asked, rejected))
}

/// A row's place, and its fields by their columns' names.
type Fields = (Line, HashMap<String, String>);

/// All rows of a table by column, and where each stands. A row is a line, and an empty line is none.
fn rows(files: &[String]) -> Result<Vec<Fields>, csv::Error> {
    let mut rows = Vec::new();
    for (file, text) in (0..).zip(files) {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
        let columns = lines.next().map(|(_, header)| fields(header)).transpose()?.unwrap_or_default();
        for (number, line) in lines {
            rows.push((Line { file, number }, columns.iter().cloned().zip(fields(line)?).collect()));
        }
    }
    Ok(rows)
}

fn fields(line: &str) -> Result<Vec<String>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).buffer_capacity(1024).from_reader(line.as_bytes());
    reader.deserialize().next().unwrap_or_else(|| Ok(Vec::new()))
}

/// `None` where the row can't be read.
fn game(row: &HashMap<String, String>) -> Option<Seen> {
    let list = |column: &str| row[column].split(',').map(|item| item.trim().to_owned()).collect();
    Some(Seen {
        app: AppId(row["app_id"].parse().ok()?),
        name: Text::from(&*row["name"]),
        year: match &*row["released"] {
            "" => None,
            date => Some(date.get(..4)?.parse().ok()?),
        },
        platforms: list("platforms"),
        genres: list("genres"),
        playtime: match &*row["average_playtime"] {
            "" => 0,
            minutes => minutes.parse().ok()?,
        },
        positive: 0,
        negative: 0,
        in_english: Vec::new(),
    })
}

fn answered(games: &[Seen], asked: &Asked, rejected: u64) -> Answers {
    let on = |platform: &str| games.iter().filter(|game| game.platforms.contains(platform)).count() as u64;
    let of = |genre: &'static str| games.iter().filter(move |game| game.genres.contains(genre));

    let years = asked.years.0..=asked.years.1;
    let played = of("Indie").filter(|game| game.year.is_some_and(|year| years.contains(&year)));
    let liked = of("Indie").filter(|game| game.positive > 0);
    let mut criticised: Vec<Criticised> = of("Action")
        .filter(|game| game.in_english.len() as u64 > asked.more_than)
        .map(|game| Criticised {
            negative: Reverse(game.in_english.len() as u64),
            app: game.app,
            name: game.name.clone(),
            first: game.in_english.iter().min().copied(),
        })
        .collect();
    criticised.sort();

    let mut disliked = sorted(of("Action").filter(|game| game.negative > 0), |game| game.negative);
    let above = disliked.len() * (100 - usize::from(asked.percentile)) / 100; // games above the nearest rank
    if let Some(threshold) = disliked.get(above).map(|game| game.figure.0) {
        disliked.retain(|game| game.figure.0 >= threshold);
    }

    let mut most_played = sorted(played, |game| game.playtime);
    most_played.truncate(asked.most_played.into());
    let mut most_liked = sorted(liked, |game| game.positive);
    most_liked.truncate(asked.most_liked.into());

    let platforms = Platforms { windows: on("windows"), mac: on("mac"), linux: on("linux") };
    Answers {
        platforms: if games.is_empty() { Vec::new() } else { vec![platforms] },
        most_played,
        most_liked,
        criticised,
        most_disliked: disliked,
        rejected,
    }
}

/// Games by a figure, the highest first, then by app id.
fn sorted<'a>(games: impl Iterator<Item = &'a Seen>, figure: fn(&Seen) -> u64) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> =
        games.map(|game| Ranked { figure: Reverse(figure(game)), app: game.app, name: game.name.clone() }).collect();
    ranked.sort_by_key(|game| (game.figure, game.app));
    ranked
}
