//! Writes a month's sales: its transactions and, beside them, what was bought in each.

use super::line::{push_amount, push_number, push_time, push_uuid};
use super::random::Random;
use super::tables::{FileWriter, PRODUCTS, STORES, TableWriter};
use super::{GenerateError, GenerateOptions, Month};

/// When the boundary transactions happen, in seconds of the 15th: 05:59:59, 06:00:00, 23:00:00, 23:00:01.
pub(super) const BOUNDARY_TIMES: [u64; 4] = [21_599, 21_600, 82_800, 82_801];

/// What is taken off 80.0 for them, in thousandths: 74.999, 75.0 and 75.001 remain.
pub(super) const BOUNDARY_DISCOUNTS: [u64; 3] = [5_001, 5_000, 4_999];

const BOUNDARY_DAY: u64 = 14 * 86_400;

/// Eight of the last product make 80.0.
const BOUNDARY_ITEM: Item = Item { id: PRODUCTS.len() as u64, quantity: 8, price: 10_000 };

/// So many in a thousand transactions are made by a known user.
const WITH_USER: u64 = 450;

/// So many in a thousand transactions have a voucher.
const WITH_VOUCHER: u64 = 30;

/// What was sold in one transaction, amounts in thousandths.
struct Sale {
    id: (u64, u64),
    store: u64,
    payment_method: u64,
    voucher: Option<u64>,
    user: Option<u64>,
    discount: u64,
    /// In seconds from the month's begin.
    at: u64,
    /// As many as were bought; at most three.
    items: [Option<Item>; 3],
}

#[derive(Clone, Copy)]
struct Item {
    id: u64,
    quantity: u64,
    price: u64,
}

/// Writes the two files of a month; returns how many rows they have.
pub(super) fn write_month(
    writer: &mut TableWriter<'_>,
    options: &GenerateOptions,
    month: Month,
) -> Result<(u64, u64), GenerateError> {
    let mut files = MonthFiles::create(writer, month)?;
    let count = options.transactions;
    let mut boundary = boundary_sales(options, month).peekable();
    for row in 0..count {
        let at = (u128::from(row) * u128::from(month.seconds()) / u128::from(count)) as u64;
        while let Some(sale) = boundary.next_if(|sale| sale.at < at) {
            files.write(&sale)?;
        }
        files.write(&random_sale(options, month, row, at))?;
    }
    for sale in boundary {
        files.write(&sale)?;
    }
    let rows = (files.transaction_rows, files.item_rows);
    writer.finish(files.transactions)?;
    writer.finish(files.items)?;
    Ok(rows)
}

/// The row-th transaction of a month.
fn random_sale(options: &GenerateOptions, month: Month, row: u64, at: u64) -> Sale {
    let mut random = Random::of_row(options.seed, month.number(), row);
    let id = (random.next(), random.next());
    let store = random.below(STORES.len() as u64) + 1;
    let payment_method = random.below(5) + 1;
    let voucher = (random.below(1000) < WITH_VOUCHER).then(|| random.below(16) + 1);
    let user = (random.below(1000) < WITH_USER && options.users > 0).then(|| random.below(options.users) + 1);
    let bought = random.below(3) + 1;
    let items = [0, 1, 2].map(|line| (line < bought).then(|| random_item(&mut random)));
    let percent = voucher.map_or(0, |voucher| voucher % 6 + 5);
    let discount = total(&items) / 100 * percent;
    Sale { id, store, payment_method, voucher, user, discount, at, items }
}

fn random_item(random: &mut Random) -> Item {
    let index = random.below(PRODUCTS.len() as u64);
    let price = PRODUCTS.get(index as usize).map_or(0, |&(_, price)| price);
    Item { id: index + 1, quantity: random.below(3) + 1, price }
}

/// A month's boundary transactions, in the order of time: all in the first stores, by the last three users.
fn boundary_sales(options: &GenerateOptions, month: Month) -> impl Iterator<Item = Sale> {
    let (seed, users, month) = (options.seed, options.users, month.number());
    let places = (1..)
        .zip(BOUNDARY_TIMES)
        .flat_map(|(store, time)| (0..).zip(BOUNDARY_DISCOUNTS).map(move |d| (store, time, d)));
    (1..).zip(places).map(move |(row, (store, time, (buyer, discount)))| {
        // Counted from the end, where no transaction of a month is.
        let mut random = Random::of_row(seed, month, u64::MAX - row);
        Sale {
            id: (random.next(), random.next()),
            store,
            payment_method: 1,
            voucher: None,
            user: users.checked_sub(buyer).filter(|&user| user > 0),
            discount,
            at: BOUNDARY_DAY + time,
            items: [Some(BOUNDARY_ITEM), None, None],
        }
    })
}

fn total(items: &[Option<Item>]) -> u64 {
    items.iter().flatten().map(|item| item.quantity * item.price).sum()
}

/// The two files of a month.
struct MonthFiles {
    month: String,
    transactions: FileWriter,
    items: FileWriter,
    transaction_rows: u64,
    item_rows: u64,
    /// Rows that are being made.
    buffer: Vec<u8>,
}

impl MonthFiles {
    fn create(writer: &TableWriter<'_>, month: Month) -> Result<Self, GenerateError> {
        let create =
            |table: &str, header| writer.create(table, &format!("{table}_{}.csv", month.file_suffix()), header);
        Ok(MonthFiles {
            month: month.to_string(),
            transactions: create(
                "transactions",
                "transaction_id,store_id,payment_method_id,voucher_id,user_id,original_amount,discount_applied,\
                 final_amount,created_at",
            )?,
            items: create("transaction_items", "transaction_id,item_id,quantity,unit_price,subtotal,created_at")?,
            transaction_rows: 0,
            item_rows: 0,
            buffer: Vec::with_capacity(1024),
        })
    }

    fn write(&mut self, sale: &Sale) -> Result<(), GenerateError> {
        self.transaction_rows += 1;
        self.buffer.clear();
        push_transaction(&mut self.buffer, sale, self.month.as_bytes());
        self.transactions.write(&self.buffer)?;
        self.buffer.clear();
        for item in sale.items.iter().flatten() {
            self.item_rows += 1;
            push_item(&mut self.buffer, sale, item, self.month.as_bytes());
        }
        self.items.write(&self.buffer)
    }
}

fn push_transaction(row: &mut Vec<u8>, sale: &Sale, month: &[u8]) {
    row.push(b'\n');
    push_uuid(row, sale.id.0, sale.id.1);
    for number in [sale.store, sale.payment_method] {
        row.push(b',');
        push_number(row, number);
    }
    for number in [sale.voucher, sale.user] {
        row.push(b',');
        if let Some(number) = number {
            push_number(row, number);
            row.extend_from_slice(b".0");
        }
    }
    let original = total(&sale.items);
    for amount in [original, sale.discount, original - sale.discount] {
        row.push(b',');
        push_amount(row, amount);
    }
    row.push(b',');
    push_time(row, month, sale.at);
}

fn push_item(row: &mut Vec<u8>, sale: &Sale, item: &Item, month: &[u8]) {
    row.push(b'\n');
    push_uuid(row, sale.id.0, sale.id.1);
    for number in [item.id, item.quantity] {
        row.push(b',');
        push_number(row, number);
    }
    for amount in [item.price, item.price * item.quantity] {
        row.push(b',');
        push_amount(row, amount);
    }
    row.push(b',');
    push_time(row, month, sale.at);
}
