//! Writes coffee-shop data sets: the tables, columns and quirks of the real one, every value drawn at random from a
//! seed, so that examples, tests and benchmarks need nothing from outside. Nothing here reads data or answers queries.
//!
//! The quirks: a transaction's user id is written as a float and is empty in most rows; voucher ids are mostly empty;
//! amounts have one to three decimals; sales are in the order of time; users are split by month; stores have
//! quoted fields with commas inside; no file's last line has a line end. Each month also gets a few transactions on
//! the boundaries that the queries' default parameters cut at.

mod error;
mod line;
mod month;
mod random;
mod sales;
mod tables;

use std::fs;
use std::io;
use std::path::Path;

pub use error::GenerateError;
pub use month::{Month, MonthError};
use tables::TableWriter;

/// What to generate. The same options give the same bytes on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateOptions {
    /// The months that sales are generated for, each once; a file a month and table.
    pub months: Vec<Month>,
    /// How many transactions each month has, besides the [`BOUNDARY_TRANSACTIONS`].
    pub transactions: u64,
    /// How many users there are, spread evenly over the months.
    pub users: u64,
    /// Other seeds give other values.
    pub seed: u64,
}

/// So many transactions are added to each month, on the 15th: just before, at and just behind the default times of day,
/// each with amounts just below, at and just above the default amount. Their buyers are the three users with the
/// highest ids, who thereby tie.
pub const BOUNDARY_TRANSACTIONS: u64 = sales::BOUNDARY_TIMES.len() as u64 * sales::BOUNDARY_DISCOUNTS.len() as u64;

/// At most this many transactions a month and users can be generated: far above any use, and small enough that no
/// number in a file overflows.
pub const MOST_ROWS: u64 = 1_000_000_000_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many files.
    pub files: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// Rows of the table `transactions`.
    pub transactions: u64,
    /// Rows of the table `transaction_items`.
    pub transaction_items: u64,
    /// Rows of the table `users`.
    pub users: u64,
}

/// Writes a data set into the folder `out`, which is made if it isn't there. Blocks for the disk; memory use doesn't
/// depend on the options.
///
/// # Errors
/// Options that make no data set, before anything is written; a folder with something in it, which is left as it is; a
/// folder or file that can't be written, when the files so far are there and the last one is cut off somewhere.
pub fn generate(out: &Path, options: &GenerateOptions) -> Result<Summary, GenerateError> {
    check(options)?;
    make_empty(out)?;
    let mut writer = TableWriter::new(out);
    tables::write_stores(&mut writer)?;
    tables::write_menu_items(&mut writer)?;
    let mut summary = Summary::default();
    for (index, &month) in options.months.iter().enumerate() {
        summary.users += tables::write_users(&mut writer, options, index as u64, month)?;
        let (transactions, items) = sales::write_month(&mut writer, options, month)?;
        summary.transactions += transactions;
        summary.transaction_items += items;
    }
    Ok(Summary { files: writer.files(), bytes: writer.bytes(), ..summary })
}

fn check(options: &GenerateOptions) -> Result<(), GenerateError> {
    let months = &options.months;
    if months.is_empty() {
        return Err(GenerateError::NoMonth);
    }
    if let Some(&month) = months.iter().enumerate().find_map(|(i, month)| months.iter().take(i).find(|m| *m == month)) {
        return Err(GenerateError::RepeatedMonth { month });
    }
    match options.transactions.max(options.users) {
        rows if rows > MOST_ROWS => Err(GenerateError::TooMany { rows }),
        _ => Ok(()),
    }
}

fn make_empty(out: &Path) -> Result<(), GenerateError> {
    let unwritable = |source| GenerateError::Folder { path: out.to_owned(), source };
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(GenerateError::NotEmpty { path: out.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(out).map_err(unwritable),
        Err(error) => Err(unwritable(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn options(months: &[&str], transactions: u64, users: u64, seed: u64) -> GenerateOptions {
        let months = months.iter().map(|month| month.parse().unwrap()).collect();
        GenerateOptions { months, transactions, users, seed }
    }

    /// All files by their path below the folder.
    fn files(folder: &Path) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for table in fs::read_dir(folder).unwrap() {
            for file in fs::read_dir(table.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
        files
    }

    fn generated(options: &GenerateOptions) -> (BTreeMap<String, String>, Summary) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/data");
        let summary = generate(&out, options).unwrap();
        (files(&out), summary)
    }

    fn rows(files: &BTreeMap<String, String>, name: &str) -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_reader(files[name].as_bytes());
        reader.deserialize().map(|row| row.unwrap()).collect()
    }

    #[test]
    fn the_same_options_give_the_same_bytes() {
        let first = generated(&options(&["2024-01", "2025-06"], 500, 90, 1));
        assert_eq!(first, generated(&options(&["2024-01", "2025-06"], 500, 90, 1)));
        let other = generated(&options(&["2024-01", "2025-06"], 500, 90, 2));
        assert!(first.0.iter().all(|(name, text)| {
            (other.0[name] == *text) == (name.starts_with("stores/") || name.starts_with("menu_items/"))
        }));
    }

    #[test]
    fn a_month_does_not_depend_on_the_others() {
        let both = generated(&options(&["2024-01", "2025-06"], 100, 90, 1)).0;
        let one = generated(&options(&["2025-06"], 100, 90, 1)).0;
        let name = "transactions/transactions_202506.csv";
        assert_eq!(both[name], one[name]);
    }

    #[test]
    fn the_bytes_stay_the_same_between_releases() {
        let (files, _) = generated(&options(&["2024-02"], 1, 1, 7));
        let first_row = files["transactions/transactions_202402.csv"].lines().nth(1).unwrap();
        assert_eq!(first_row, "e4a4d8ad-4ad5-44dd-93f5-84bb7a5dc1dc,9,5,,,25.0,0.0,25.0,2024-02-01 00:00:00");
    }

    #[test]
    fn files_and_columns_are_those_of_the_real_data() {
        let (files, summary) = generated(&options(&["2024-01", "2024-02"], 2000, 301, 3));
        let headers: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.lines().next().unwrap())).collect();
        let transactions = "transaction_id,store_id,payment_method_id,voucher_id,user_id,original_amount,\
                            discount_applied,final_amount,created_at";
        let items = "transaction_id,item_id,quantity,unit_price,subtotal,created_at";
        let users = "user_id,gender,birthdate,registered_at";
        let expected = [
            ("menu_items/menu_items.csv", "item_id,item_name,category,price,is_seasonal,available_from,available_to"),
            ("stores/stores.csv", "store_id,store_name,street,postal_code,city,state,latitude,longitude"),
            ("transaction_items/transaction_items_202401.csv", items),
            ("transaction_items/transaction_items_202402.csv", items),
            ("transactions/transactions_202401.csv", transactions),
            ("transactions/transactions_202402.csv", transactions),
            ("users/users_202401.csv", users),
            ("users/users_202402.csv", users),
        ];
        assert_eq!(headers, expected);
        let lengths = |table: &str| -> u64 {
            let of_table = files.keys().filter(|name| name.starts_with(&format!("{table}/")));
            of_table.map(|name| rows(&files, name).len() as u64).sum()
        };
        assert_eq!(lengths("stores"), 10);
        assert_eq!(lengths("menu_items"), 8);
        assert_eq!(summary.files, 8);
        assert_eq!(summary.bytes, files.values().map(|text| text.len() as u64).sum::<u64>());
        assert_eq!(
            (summary.transactions, lengths("transactions")),
            (2 * (2000 + BOUNDARY_TRANSACTIONS), summary.transactions)
        );
        assert_eq!(lengths("transaction_items"), summary.transaction_items);
        assert_eq!((summary.users, lengths("users")), (301, 301));
        assert!(files.values().all(|text| !text.ends_with('\n') && !text.contains('\r')));
    }

    #[test]
    fn sales_have_the_quirks_of_the_real_ones_and_add_up() {
        let (files, _) = generated(&options(&["2024-02"], 4000, 50, 3));
        let thousandths = |amount: &str| {
            let (whole, decimals) = amount.split_once('.').unwrap();
            assert!((1..=3).contains(&decimals.len()) && (decimals.len() == 1 || !decimals.ends_with('0')));
            whole.parse::<u64>().unwrap() * 1000 + format!("{decimals:0<3}").parse::<u64>().unwrap()
        };
        let mut originals: BTreeMap<String, u64> = BTreeMap::new();
        for item in rows(&files, "transaction_items/transaction_items_202402.csv") {
            let subtotal = thousandths(&item["subtotal"]);
            assert_eq!(item["quantity"].parse::<u64>().unwrap() * thousandths(&item["unit_price"]), subtotal);
            *originals.entry(item["transaction_id"].clone()).or_default() += subtotal;
        }
        let sales = rows(&files, "transactions/transactions_202402.csv");
        assert!(sales.is_sorted_by_key(|sale| sale["created_at"].clone()));
        assert!(sales.iter().all(|sale| sale["created_at"].starts_with("2024-02-")));
        assert!(sales.last().unwrap()["created_at"].starts_with("2024-02-29 23:"));
        for sale in &sales {
            assert_eq!(originals[&sale["transaction_id"]], thousandths(&sale["original_amount"]));
            let paid = thousandths(&sale["final_amount"]) + thousandths(&sale["discount_applied"]);
            assert_eq!(paid, thousandths(&sale["original_amount"]));
            assert!(sale["user_id"].is_empty() || sale["user_id"].ends_with(".0"));
        }
        let different = |column: &str| sales.iter().map(|sale| sale[column].as_str()).collect::<BTreeSet<_>>();
        assert_eq!(different("transaction_id").len(), sales.len());
        assert_eq!(different("store_id").len(), 10);
        assert_eq!(different("user_id").len(), 51);
        let decimals: BTreeSet<_> =
            sales.iter().map(|sale| sale["final_amount"].split_once('.').unwrap().1.len()).collect();
        assert_eq!(decimals, BTreeSet::from([1, 2, 3]));
        let without_user = sales.iter().filter(|sale| sale["user_id"].is_empty()).count();
        assert!((50..60).contains(&(without_user * 100 / sales.len())));
        for time in ["05:59:59", "06:00:00", "23:00:00", "23:00:01"] {
            let created_at = format!("2024-02-15 {time}");
            for amount in ["74.999", "75.0", "75.001"] {
                assert!(sales.iter().any(|sale| sale["created_at"] == created_at && sale["final_amount"] == amount));
            }
        }
    }

    #[test]
    fn small_and_empty_sets_work() {
        let (files, summary) = generated(&options(&["2024-01", "2024-02", "2024-03"], 0, 1, 0));
        assert_eq!((summary.transactions, summary.users), (3 * BOUNDARY_TRANSACTIONS, 1));
        assert_eq!(files["users/users_202403.csv"], "user_id,gender,birthdate,registered_at");
        let (files, _) = generated(&options(&["2024-01"], 10, 0, 0));
        assert!(rows(&files, "transactions/transactions_202401.csv").iter().all(|sale| sale["user_id"].is_empty()));
    }

    #[test]
    fn nothing_is_overwritten_and_bad_options_write_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "").unwrap();
        let refused = generate(folder.path(), &options(&["2024-01"], 1, 1, 1));
        assert!(matches!(refused, Err(GenerateError::NotEmpty { path }) if path == folder.path()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let out = folder.path().join("out");
        assert!(matches!(generate(&out, &options(&[], 1, 1, 1)), Err(GenerateError::NoMonth)));
        let twice = options(&["2024-01", "2024-02", "2024-01"], 1, 1, 1);
        assert!(matches!(generate(&out, &twice), Err(GenerateError::RepeatedMonth { .. })));
        let many = options(&["2024-01"], u64::MAX, 1, 1);
        assert!(matches!(generate(&out, &many), Err(GenerateError::TooMany { rows: u64::MAX })));
        assert!(!out.exists());
        let below_a_file = generate(&folder.path().join("mine/out"), &options(&["2024-01"], 1, 1, 1));
        assert!(matches!(below_a_file, Err(GenerateError::Folder { .. })));
    }
}
