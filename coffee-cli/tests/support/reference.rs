//! The answers to the four queries, worked out the plainest way: one thread, whole files in memory, sorted maps. It
//! shares no code with the program, so that a mistake would have to be made twice to go unseen.
//! What the bytes look like on a terminal, and which error a bad folder gives, is not here.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code, which fails by panicking")]

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::path::Path;

#[path = "reference_rows.rs"]
mod rows;

use rows::{amount, read_table, time, whole_number};

/// What a job asks for; texts are as on the command line.
#[derive(Clone, Debug)]
pub struct Params {
    pub years: Vec<u32>,
    pub from: String,
    pub to: String,
    pub min_amount: String,
    pub top: usize,
    pub queries: Vec<String>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            years: vec![2024, 2025],
            from: "06:00:00".to_owned(),
            to: "23:00:00".to_owned(),
            min_amount: "75".to_owned(),
            top: 3,
            queries: ["q1", "q2", "q3", "q4"].map(str::to_owned).to_vec(),
        }
    }
}

impl Params {
    /// The program's flags that ask for the same.
    pub fn flags(&self) -> Vec<String> {
        let years: Vec<_> = self.years.iter().map(u32::to_string).collect();
        vec![
            format!("--years={}", years.join(",")),
            format!("--from={}", self.from),
            format!("--to={}", self.to),
            format!("--min-amount={}", self.min_amount),
            format!("--top={}", self.top),
            format!("--queries={}", self.queries.join(",")),
        ]
    }

    fn asks(&self, query: &str) -> bool {
        self.queries.iter().any(|asked| asked == query)
    }

    fn has_year(&self, at: &str) -> bool {
        self.years.iter().any(|year| format!("{year:04}") == at[..4])
    }

    fn has_hour(&self, at: &str) -> bool {
        (self.from.as_str()..=self.to.as_str()).contains(&&at[11..])
    }
}

/// What the program must say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The result files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The rejected rows, as `table/file.csv` and line number, sorted.
    pub rejected: Vec<(String, u64)>,
    /// How many rows each table that is read has, the rejected ones included.
    pub rows: BTreeMap<String, u64>,
    /// How many result rows name something that is not in this table; a row is counted at the first such table.
    pub unmatched: BTreeMap<String, u64>,
}

/// Answers the queries that `params` asks for.
pub fn answer(data: &Path, params: &Params) -> Answer {
    let mut answer = Answer::default();
    if params.asks("q2") {
        answer_q2(data, params, &mut answer);
    }
    if params.asks("q1") || params.asks("q3") || params.asks("q4") {
        answer_transactions(data, params, &mut answer);
    }
    answer.rejected.sort();
    answer
}

fn answer_transactions(data: &Path, params: &Params, answer: &mut Answer) {
    let min_amount = amount(&params.min_amount).unwrap();
    let mut q1: Vec<(String, i128)> = Vec::new();
    let mut sums: BTreeMap<(String, u64), i128> = BTreeMap::new();
    let mut purchases: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let columns = ["transaction_id", "store_id", "user_id", "final_amount", "created_at"];
    read_table(data, "transactions", &columns, answer, |[id, store, user, paid, at]| {
        let (store, paid) = (whole_number(store)?, amount(paid)?);
        let user = if user.is_empty() { None } else { Some(whole_number(user)?) };
        time(at)?;
        if params.has_year(at) {
            if let Some(user) = user {
                *purchases.entry((store, user)).or_default() += 1;
            }
            if params.has_hour(at) {
                let half = if &at[5..7] <= "06" { "H1" } else { "H2" };
                *sums.entry((format!("{}-{half}", &at[..4]), store)).or_default() += paid;
                if paid >= min_amount {
                    q1.push((id.to_owned(), paid));
                }
            }
        }
        Some(())
    });
    let stores = match params.asks("q3") || params.asks("q4") {
        true => names(data, "stores", ["store_id", "store_name"], answer),
        false => BTreeMap::new(),
    };
    if params.asks("q1") {
        q1.sort();
        let rows = q1.into_iter().map(|(id, paid)| vec![id, decimal(paid)]);
        add_file(answer, "q1.csv", "transaction_id,final_amount", rows);
    }
    if params.asks("q3") {
        answer_q3(sums, &stores, answer);
    }
    if params.asks("q4") {
        let users = names(data, "users", ["user_id", "birthdate"], answer);
        answer_q4(purchases, params.top, &stores, &users, answer);
    }
}

fn answer_q2(data: &Path, params: &Params, answer: &mut Answer) {
    let mut sums: BTreeMap<String, BTreeMap<u64, (i128, i128)>> = BTreeMap::new();
    let columns = ["transaction_id", "item_id", "quantity", "subtotal", "created_at"];
    read_table(data, "transaction_items", &columns, answer, |[_, item, quantity, subtotal, at]| {
        let (item, quantity, subtotal) = (whole_number(item)?, whole_number(quantity)?, amount(subtotal)?);
        time(at)?;
        if params.has_year(at) {
            let sum = sums.entry(at[..7].to_owned()).or_default().entry(item).or_default();
            sum.0 += i128::from(quantity);
            sum.1 += subtotal;
        }
        Some(())
    });
    let products = names(data, "menu_items", ["item_id", "item_name"], answer);
    let mut rows = [Vec::new(), Vec::new()];
    for (month, items) in &sums {
        // The first of the highest: on a tie the lower id.
        let quantity = items.iter().rev().max_by_key(|(_, sum)| sum.0).unwrap();
        let profit = items.iter().rev().max_by_key(|(_, sum)| sum.1).unwrap();
        let winners = [(quantity.0, quantity.1.0.to_string()), (profit.0, decimal(profit.1.1))];
        for (rows, (item, value)) in rows.iter_mut().zip(winners) {
            match products.get(item) {
                Some(name) => rows.push(vec![month.clone(), name.clone(), value]),
                None => *answer.unmatched.entry("menu_items".to_owned()).or_default() += 1,
            }
        }
    }
    let [quantity, profit] = rows;
    add_file(answer, "q2_best_selling.csv", "year_month_created_at,item_name,sellings_qty", quantity);
    add_file(answer, "q2_most_profit.csv", "year_month_created_at,item_name,profit_sum", profit);
}

fn answer_q3(sums: BTreeMap<(String, u64), i128>, stores: &BTreeMap<u64, String>, answer: &mut Answer) {
    let mut rows = Vec::new();
    for ((half, store), sum) in sums {
        match stores.get(&store) {
            Some(name) => rows.push((half, name.clone(), store, sum)),
            None => *answer.unmatched.entry("stores".to_owned()).or_default() += 1,
        }
    }
    rows.sort();
    let rows = rows.into_iter().map(|(half, name, _, sum)| vec![half, name, decimal(sum)]);
    add_file(answer, "q3.csv", "year_half_created_at,store_name,tpv", rows);
}

fn answer_q4(
    purchases: BTreeMap<(u64, u64), u64>,
    top: usize,
    stores: &BTreeMap<u64, String>,
    users: &BTreeMap<u64, String>,
    answer: &mut Answer,
) {
    let mut ranked: BTreeMap<u64, BTreeSet<(std::cmp::Reverse<u64>, u64)>> = BTreeMap::new();
    for ((store, user), count) in purchases {
        ranked.entry(store).or_default().insert((std::cmp::Reverse(count), user));
    }
    let mut rows = Vec::new();
    for (store, users_of_store) in ranked {
        for (count, user) in users_of_store.into_iter().take(top) {
            match (stores.get(&store), users.get(&user)) {
                (None, _) => *answer.unmatched.entry("stores".to_owned()).or_default() += 1,
                (_, None) => *answer.unmatched.entry("users".to_owned()).or_default() += 1,
                (Some(name), Some(birthdate)) => rows.push((name.clone(), store, count, user, birthdate.clone())),
            }
        }
    }
    rows.sort();
    let rows = rows.into_iter().map(|(name, _, count, _, birthdate)| vec![name, birthdate, count.0.to_string()]);
    add_file(answer, "q4.csv", "store_name,birthdate,purchases_qty", rows);
}

/// A table of names by id; the first row of an id stays, later ones are rejected.
fn names(data: &Path, table: &str, columns: [&str; 2], answer: &mut Answer) -> BTreeMap<u64, String> {
    let mut names = BTreeMap::new();
    read_table(data, table, &columns, answer, |[id, name]| match names.entry(whole_number(id)?) {
        Entry::Vacant(entry) => {
            entry.insert(name.to_owned());
            Some(())
        }
        Entry::Occupied(_) => None,
    });
    names
}

/// Ten-thousandths as a decimal without needless zeros but with at least one.
fn decimal(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let decimals = format!("{:04}", amount.unsigned_abs() % 10_000);
    let kept = decimals.trim_end_matches('0');
    format!("{sign}{}.{}", amount.unsigned_abs() / 10_000, if kept.is_empty() { "0" } else { kept })
}

fn add_file(answer: &mut Answer, name: &str, header: &str, rows: impl IntoIterator<Item = Vec<String>>) {
    let mut text = format!("{header}\n");
    for row in rows {
        let fields: Vec<_> = row.into_iter().map(quoted_if_needed).collect();
        text += &(fields.join(",") + "\n");
    }
    answer.files.insert(name.to_owned(), text.into_bytes());
}

fn quoted_if_needed(field: String) -> String {
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
