//! The rows that all contenders work on, what they are asked, and how an answer is compared.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

/// How many users there are; with so many more rows than that, nearly each has one.
const USERS: u32 = 2_000_000;
const STORES: u32 = 40;
const AMOUNTS: u32 = 1_000_000;
const DAY: u32 = 86_400;

/// How many rows of a region are the best.
pub const BEST: usize = 3;

/// A sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sale {
    pub amount: i64,
    pub user: u32,
    pub at: u32,
    pub store: u8,
}

impl Sale {
    pub fn by_day(&self) -> bool {
        (DAY / 4..=DAY / 24 * 23).contains(&self.at)
    }

    pub fn is_dear(&self) -> bool {
        self.amount >= i64::from(AMOUNTS / 4)
    }

    /// One of ten: four stores each.
    pub fn region(&self) -> u8 {
        self.store / 4
    }

    /// The dearest first; equal only for equal sales.
    pub fn order(&self) -> (Reverse<i64>, u32, u32, u8) {
        (Reverse(self.amount), self.user, self.at, self.store)
    }
}

/// How the keys of users lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// One behind the other.
    Dense,
    /// All over 32 bits.
    Sparse,
    /// A store's number in the high byte, and the users of each from 0.
    Packed,
    /// Dense, and a hundredth of them has a third of the rows.
    Skewed,
}

impl Users {
    /// The key of one that was drawn evenly, of as many as there are.
    fn key(self, user: u32) -> u32 {
        const EACH: u32 = USERS / STORES;
        match self {
            Users::Dense => user,
            Users::Sparse => user.wrapping_mul(0x9E37_79B1), // odd, so no two become one
            Users::Packed => (user / EACH) << 24 | user % EACH,
            Users::Skewed => {
                let share = f64::from(user) / f64::from(USERS);
                (share.powi(4) * f64::from(USERS)) as u32
            }
        }
    }
}

/// So many rows by xorshift, the same on every run. They live as long as the process, as threads of all kinds share them.
pub fn sales(rows: usize, users: Users) -> &'static [Sale] {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (((state >> 32) * u64::from(below)) >> 32) as u32
    };
    let sale = |_| Sale {
        amount: draw(AMOUNTS).into(),
        user: users.key(draw(USERS)),
        at: draw(DAY),
        store: draw(STORES) as u8,
    };
    Vec::leak((0..rows).map(sale).collect())
}

/// The share of one of several threads.
pub fn share(rows: &'static [Sale], thread: usize, threads: usize) -> &'static [Sale] {
    &rows[rows.len() * thread / threads..rows.len() * (thread + 1) / threads]
}

/// The question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// How many sales by day are dear, and what they come to.
    TwoFilters,
    /// What each store sold.
    SumByStore,
    /// How often each user bought: a digest, for which each count has to be there.
    CountByUser(Users),
    /// The best sales of each region.
    BestByRegion,
}

impl Task {
    pub const ALL: [Task; 7] = [
        Task::TwoFilters,
        Task::SumByStore,
        Task::BestByRegion,
        Task::CountByUser(Users::Dense),
        Task::CountByUser(Users::Sparse),
        Task::CountByUser(Users::Packed),
        Task::CountByUser(Users::Skewed),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Task::TwoFilters => "two filters, then count and sum",
            Task::SumByStore => "sum by 40 keys",
            Task::CountByUser(Users::Dense) => "count by 2 M keys",
            Task::CountByUser(Users::Sparse) => "count by 2 M sparse keys",
            Task::CountByUser(Users::Packed) => "count by 2 M packed keys",
            Task::CountByUser(Users::Skewed) => "count by skewed keys",
            Task::BestByRegion => "top 3 of 10 groups",
        }
    }

    /// How the keys lie in the rows that it is asked of.
    pub fn users(self) -> Users {
        if let Task::CountByUser(users) = self { users } else { Users::Dense }
    }
}

/// What a contender found, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Kept(Kept),
    Sums(Vec<(u8, i64)>),
    Counts(Digest),
    Best(Vec<Sale>),
}

impl Answer {
    pub fn sums(mut sums: Vec<(u8, i64)>) -> Self {
        sums.sort_unstable();
        Answer::Sums(sums)
    }

    pub fn best(mut best: Vec<Sale>) -> Self {
        best.sort_unstable_by_key(|sale| (sale.region(), sale.order()));
        Answer::Best(best)
    }
}

/// What two filters leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub rows: u64,
    pub total: i64,
}

impl Kept {
    #[inline]
    pub fn add(&mut self, sale: &Sale) {
        self.rows += 1;
        self.total += sale.amount;
    }

    pub fn merge(&mut self, other: Kept) {
        self.rows += other.rows;
        self.total += other.total;
    }
}

/// Groups in any order, in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest {
    pub groups: u64,
    pub rows: u64,
    pub mix: u64,
}

impl Digest {
    #[inline]
    pub fn add(&mut self, user: u32, count: u64) {
        self.groups += 1;
        self.rows += count;
        let word = u64::from(user) << 32 | count;
        self.mix = self.mix.wrapping_add((word ^ word >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9));
    }

    pub fn merge(&mut self, other: Digest) {
        self.groups += other.groups;
        self.rows += other.rows;
        self.mix = self.mix.wrapping_add(other.mix);
    }
}

/// The best rows so far, as every contender keeps them that has no such operator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Best(Vec<Sale>);

impl Best {
    #[inline]
    pub fn offer(&mut self, sale: &Sale) {
        if self.0.len() < BEST || self.0.last().is_some_and(|worst| sale.order() < worst.order()) {
            let at = self.0.partition_point(|other| other.order() < sale.order());
            self.0.insert(at, *sale);
            self.0.truncate(BEST);
        }
    }

    pub fn merge(&mut self, other: Best) {
        other.0.iter().for_each(|sale| self.offer(sale));
    }

    pub fn into_rows(self) -> Vec<Sale> {
        self.0
    }
}
