//! A store's tables, made by a seed: with what real ones have, like ties, several genres, missing fields, commas and quotes in
//! fields, reviews in several languages, games listed twice and reviews of games that are not listed at all.

use std::{fs, io, path::Path};

use fastrand::Rng;

/// Sentences of reviews, each long enough for its language to be told; the first are English.
pub const SENTENCES: [&[&str]; 5] = [
    &[
        "The controls feel terrible and the game crashes every single time I try to save.",
        "I have spent hundreds of hours with my friends in this world, and we still find something new.",
        "They promised a working multiplayer mode three years ago, and nothing has been fixed since then.",
        "The story is wonderful, but the fights are boring and there are far too many of them.",
        "\"Just one more round\", I said, and then it was morning and I was late for work.",
    ],
    &[
        "Los controles son horribles y el juego se cierra cada vez que intento guardar la partida.",
        "He pasado cientos de horas con mis amigos en este mundo y todavía encontramos cosas nuevas.",
        "Prometieron un modo multijugador hace tres años y desde entonces no han arreglado nada.",
        "La historia es maravillosa, pero los combates son aburridos y hay demasiados.",
    ],
    &[
        "Die Steuerung ist furchtbar, und das Spiel stürzt jedes Mal ab, wenn ich speichern möchte.",
        "Ich habe mit meinen Freunden hunderte Stunden in dieser Welt verbracht, und wir finden immer noch etwas Neues.",
        "Die Geschichte ist wunderbar, aber die Kämpfe sind langweilig, und es gibt viel zu viele davon.",
    ],
    &[
        "Les commandes sont affreuses et le jeu plante chaque fois que j'essaie de sauvegarder ma partie.",
        "J'ai passé des centaines d'heures avec mes amis dans ce monde, et nous trouvons toujours du nouveau.",
        "L'histoire est merveilleuse, mais les combats sont ennuyeux et il y en a beaucoup trop.",
    ],
    &[
        "Управление ужасное, и игра вылетает каждый раз, когда я пытаюсь сохраниться.",
        "История замечательная, но сражения скучные, и их слишком много.",
    ],
];

const WORDS: [&str; 12] = [
    "Dark",
    "Robot",
    "Farm",
    "Galaxy",
    "\"Final\"",
    "Café",
    "Knights, Inc.",
    "Puzzle",
    "Drift",
    "Legend",
    "Tiny",
    "World",
];

const PLATFORMS: [&str; 5] = ["windows", "windows,mac", "windows,mac,linux", "linux", ""];

const GENRES: [&str; 7] = ["Action", "Action,Indie", "Indie, Casual", "RPG,Action,Indie", "Strategy", "Indie", ""];

/// How many files the reviews are in.
const FILES: usize = 3;

/// The tables as texts, a file each.
pub struct Data {
    pub games: Vec<String>,
    pub reviews: Vec<String>,
}

impl Data {
    /// The same tables for the same seed and numbers of rows.
    pub fn of_seed(seed: u64, games: u64, reviews: u64) -> Data {
        let mut random = Rng::with_seed(seed);
        let mut listed = "app_id,name,price,released,platforms,genres,average_playtime\n".to_owned();
        for app in 1..=games {
            listed.push_str(&game(&mut random, app, games));
        }
        let mut files = vec!["score,helpful,app_id,text\r\n".to_owned(); FILES];
        for _ in 0..reviews {
            files[random.usize(..FILES)].push_str(&review(&mut random, games));
        }
        Data { games: vec![listed], reviews: files }
    }

    /// Writes the tables as folders of CSV files.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for (table, files) in [("games", &self.games), ("reviews", &self.reviews)] {
            fs::create_dir(folder.join(table))?;
            for (number, text) in files.iter().enumerate() {
                fs::write(folder.join(table).join(format!("{number:03}.csv")), text)?;
            }
        }
        Ok(())
    }
}

/// A line of the table `games`. Few different years and playtimes make ties.
fn game(random: &mut Rng, app: u64, games: u64) -> String {
    let app = match random.u8(..40) {
        0 => String::new(), // can't be read
        1 => random.u64(1..=games).to_string(),
        _ => app.to_string(),
    };
    let name = format!("{} {}", one_of(random, &WORDS), one_of(random, &WORDS));
    let released = match random.u8(..30) {
        0 => "soon".to_owned(), // can't be read
        1 => String::new(),
        _ => format!("20{:02}-0{}-15", random.u8(5..25), random.u8(1..=9)),
    };
    let played = if random.u8(..10) == 0 { String::new() } else { (random.u64(..30) * 20).to_string() };
    let (platforms, genres) = (one_of(random, &PLATFORMS), one_of(random, &GENRES));
    line(&[&app, &name, "9.99", &released, platforms, genres, &played], "\n")
}

/// A line of the table `reviews`: of low app ids the most, and of some that are not listed.
fn review(random: &mut Rng, games: u64) -> String {
    let app = random.u64(1..=games + 2).min(random.u64(1..=games + 2)).to_string();
    let score = match random.u8(..50) {
        0 => "", // can't be read
        1..=24 => "-1",
        _ => "1",
    };
    let language = if random.bool() { SENTENCES[0] } else { one_of(random, &SENTENCES) };
    let text = match random.u8(..20) {
        0 => String::new(),
        1..=9 => one_of(random, language).to_owned(),
        _ => format!("{} {}", one_of(random, language), one_of(random, language)),
    };
    let blank = if random.u8(..30) == 0 { "\r\n" } else { "" };
    line(&[score, "0", &app, &text], "\r\n") + blank
}

/// A line of CSV: what has commas or quotes in it is put into quotes.
fn line(fields: &[&str], end: &str) -> String {
    let quoted = |field: &&str| match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => (*field).to_owned(),
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + end
}

fn one_of<'a, T: ?Sized>(random: &mut Rng, all: &[&'a T]) -> &'a T {
    all[random.usize(..all.len())]
}
