//! Writes a data set's files, and the tables that sales refer to: stores, products and users.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};

use super::line::{push_number, push_time};
use super::random::Random;
use super::{GenerateError, GenerateOptions, Month};

/// The stores' names; their ids count from 1. One has a comma, so that results have a field to quote.
pub(super) const STORES: [&str; 10] = [
    "Harbour Street",
    "Old Mill",
    "Station, North Hall",
    "University",
    "Market Square",
    "Riverside",
    "Botanic Garden",
    "Airport",
    "Castle Hill",
    "Lighthouse",
];

/// The products with their prices in thousandths; their ids count from 1.
pub(super) const PRODUCTS: [(&str, u64); 8] = [
    ("Espresso", 6_000),
    ("Americano", 7_000),
    ("Latte", 8_000),
    ("Cappuccino", 8_000),
    ("Flat White", 9_000),
    ("Mocha", 9_500),
    ("Chai", 8_500),
    ("Hot Chocolate", 10_000),
];

/// Separates the users' random numbers from those of sales, whose kind is their month's number.
const USERS: u64 = u64::MAX;

/// Makes the files of a data set and adds up what they hold.
pub(super) struct TableWriter<'a> {
    out: &'a Path,
    files: u64,
    bytes: u64,
}

/// A file that is being written: a header, then rows, with line ends between them but none behind the last one.
pub(super) struct FileWriter {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl<'a> TableWriter<'a> {
    /// Will make files below the folder `out`.
    pub fn new(out: &'a Path) -> Self {
        TableWriter { out, files: 0, bytes: 0 }
    }

    /// Makes the file `name` of a table, with its header line.
    pub fn create(&self, table: &str, name: &str, header: &str) -> Result<FileWriter, GenerateError> {
        let folder = self.out.join(table);
        fs::create_dir_all(&folder).map_err(|source| GenerateError::Folder { path: folder.clone(), source })?;
        let path = folder.join(name);
        match File::create_new(&path) {
            Ok(file) => {
                let mut writer = FileWriter { path, file: BufWriter::with_capacity(1 << 18, file), bytes: 0 };
                writer.write(header.as_bytes())?;
                Ok(writer)
            }
            Err(source) => Err(GenerateError::File { path, source }),
        }
    }

    /// Ends a file.
    pub fn finish(&mut self, mut file: FileWriter) -> Result<(), GenerateError> {
        file.file.flush().map_err(|source| file.error(source))?;
        self.files += 1;
        self.bytes += file.bytes;
        Ok(())
    }

    /// How many files were ended.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl FileWriter {
    /// Writes rows, each with its LF in *front*.
    pub fn write(&mut self, rows: &[u8]) -> Result<(), GenerateError> {
        self.bytes += rows.len() as u64;
        self.file.write_all(rows).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> GenerateError {
        GenerateError::File { path: self.path.clone(), source }
    }
}

/// Writes the table `stores`.
pub(super) fn write_stores(writer: &mut TableWriter<'_>) -> Result<(), GenerateError> {
    let header = "store_id,store_name,street,postal_code,city,state,latitude,longitude";
    let mut file = writer.create("stores", "stores.csv", header)?;
    for (id, name) in (1..).zip(STORES) {
        let name = if name.contains(',') { format!("\"{name}\"") } else { name.to_owned() };
        let row =
            format!("\n{id},{name},\"{id} Main Road, Unit {id}\",{},Springfield,Central,3.{id},101.{id}", 50_000 + id);
        file.write(row.as_bytes())?;
    }
    writer.finish(file)
}

/// Writes the table `menu_items`.
pub(super) fn write_menu_items(writer: &mut TableWriter<'_>) -> Result<(), GenerateError> {
    let header = "item_id,item_name,category,price,is_seasonal,available_from,available_to";
    let mut file = writer.create("menu_items", "menu_items.csv", header)?;
    for (id, (name, price)) in (1..).zip(PRODUCTS) {
        let category = if id < 7 { "coffee" } else { "non-coffee" };
        let row = format!("\n{id},{name},{category},{}.{},False,,", price / 1000, price % 1000 / 100);
        file.write(row.as_bytes())?;
    }
    writer.finish(file)
}

/// Writes the users who came in a month, the `index`-th of the data set; returns how many.
pub(super) fn write_users(
    writer: &mut TableWriter<'_>,
    options: &GenerateOptions,
    index: u64,
    month: Month,
) -> Result<u64, GenerateError> {
    let name = format!("users_{}.csv", month.file_suffix());
    let mut file = writer.create("users", &name, "user_id,gender,birthdate,registered_at")?;
    let a_month = options.users.div_ceil(options.months.len() as u64);
    let first = index.saturating_mul(a_month).min(options.users);
    let last = first.saturating_add(a_month).min(options.users);
    let (month_text, seconds) = (month.to_string(), month.seconds());
    let mut row = Vec::new();
    for user in first..last {
        let mut random = Random::of_row(options.seed, USERS, user);
        row.clear();
        row.push(b'\n');
        push_number(&mut row, user + 1);
        row.extend_from_slice(if random.below(2) == 0 { b",male," } else { b",female," });
        row.extend_from_slice(birthdate(&mut random).to_string().as_bytes());
        row.push(b',');
        let place = u128::from(user - first) * u128::from(seconds) / u128::from(last - first);
        push_time(&mut row, month_text.as_bytes(), place as u64);
        file.write(&row)?;
    }
    writer.finish(file)?;
    Ok(last - first)
}

/// A day of the years 1960 to 2008.
fn birthdate(random: &mut Random) -> NaiveDate {
    let earliest = NaiveDate::from_ymd_opt(1960, 1, 1).unwrap_or_default();
    earliest.checked_add_days(Days::new(random.below(17_898))).unwrap_or(earliest)
}
