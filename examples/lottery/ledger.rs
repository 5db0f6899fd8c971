//! What is stored: the batches of each agency, each once however often it comes.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::bet::Bet;
use crate::draw;

/// What travels from a session to the storage worker. Agency and number together say which batch it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch {
    pub agency: u16,
    pub number: u32,
    pub bets: Vec<Bet>,
}

/// The stored batches. A batch is stored once it is here: the draw counts it then. It lives as long as the server.
pub struct Ledger {
    books: Mutex<Vec<Book>>,
    changed: Condvar,
}

/// One agency's batches, by their numbers.
#[derive(Default)]
struct Book {
    batches: BTreeMap<u32, Vec<Bet>>,
    closed: bool,
    ended: bool,
}

/// What became of one agency.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether it has ended its bets itself; else it was counted as gone. What it has stored counts all the same: it
    /// was paid.
    pub ended: bool,
    /// Bets that are stored.
    pub bets: usize,
    /// The documents of its winners, in the order of their bets.
    pub winners: Vec<u32>,
}

impl Ledger {
    pub fn new(agencies: u16) -> Self {
        Self { books: Mutex::new((0..agencies).map(|_| Book::default()).collect()), changed: Condvar::new() }
    }

    /// Stores a batch, unless it is stored already, its agency is closed, or there is no such agency.
    pub fn store(&self, batch: Batch) {
        if let Some(book) = self.books.lock().get_mut(usize::from(batch.agency)).filter(|book| !book.closed) {
            book.batches.entry(batch.number).or_insert(batch.bets);
            self.changed.notify_all();
        }
    }

    /// Waits until it is known whether a batch counts. None: it was not by the deadline.
    pub fn wait_for(&self, agency: u16, number: u32, deadline: Instant) -> Option<bool> {
        let mut books = self.books.lock();
        loop {
            let book = books.get(usize::from(agency))?;
            match book.batches.contains_key(&number) {
                false if !book.closed => {}
                stored => return Some(stored),
            }
            if self.changed.wait_until(&mut books, deadline).timed_out() {
                return None;
            }
        }
    }

    /// Stores no more of an agency from now on, whether it has ended its bets or is gone.
    pub fn close(&self, agency: u16, ended: bool) {
        if let Some(book) = self.books.lock().get_mut(usize::from(agency)) {
            (book.closed, book.ended) = (true, ended);
            self.changed.notify_all();
        }
    }

    /// What became of each agency, if this is the number that wins: for good, once all are closed.
    pub fn accounts(&self, winning: u16) -> Vec<Account> {
        let account = |book: &Book| {
            let bets = || book.batches.values().flatten();
            Account { ended: book.ended, bets: bets().count(), winners: draw::winners(bets(), winning) }
        };
        self.books.lock().iter().map(account).collect()
    }
}
