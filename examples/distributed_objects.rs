//! Objects by id: accounts live on several hosts, and move from one to another while they are called.
//!
//! Clients transfer money between accounts, by id alone: they never know where an account is. Meanwhile the accounts
//! move, again and again. Each call is executed exactly once all the same, so no cent is lost or made.
//!
//! ```text
//! cargo run --example distributed_objects -- [URL] [SEED]
//!     memory: without a URL; amqp://guest:guest@localhost/ is a RabbitMQ
//! ```

use std::error::Error;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::rpc::objects::{Client, Host, HostOptions, Object};
use coffee_mom::rpc::{CallError, ClientOptions};
use coffee_mom::{Name, open};
use serde::{Deserialize, Serialize};

const HOSTS: usize = 3;
const ACCOUNTS: usize = 5;
const CLIENTS: u64 = 4;

/// Transfers of each client, and moves that there are at least meanwhile.
const TRANSFERS: usize = 200;
const MOVES: usize = 20;

/// Cents in each account at the start: little, so that some transfers are refused.
const START: u64 = 1_000;

/// What travels from host to host when an account moves.
#[derive(Serialize, Deserialize)]
struct Account {
    cents: u64,
    calls: u64,
}

#[derive(Serialize, Deserialize)]
enum Request {
    Deposit(u64),
    Withdraw(u64),
    /// How much there is, and how many calls came before.
    Show,
}

#[derive(Debug, Serialize, Deserialize)]
enum Refused {
    TooLittle,
    TooMuch,
}

impl Object for Account {
    type Request = Request;
    type Response = (u64, u64);
    type Error = Refused;

    fn call(&mut self, request: Request) -> Result<(u64, u64), Refused> {
        let calls = self.calls;
        self.calls += 1;
        match request {
            Request::Deposit(cents) => self.cents = self.cents.checked_add(cents).ok_or(Refused::TooMuch)?,
            Request::Withdraw(cents) => self.cents = self.cents.checked_sub(cents).ok_or(Refused::TooLittle)?,
            Request::Show => {}
        }
        Ok((self.cents, calls))
    }
}

fn id(account: usize) -> String {
    format!("account {account}")
}

/// What one client knows that it did to each account: cents, and calls.
type Book = [(i64, u64); ACCOUNTS];

/// Transfers drawn amounts between drawn accounts.
fn transfer(client: &Client<Account>, seed: u64, deadline: Instant) -> Result<Book, CallError<Refused>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut book = Book::default();
    for _ in 0..TRANSFERS {
        let (from, to, cents) = (random.usize(..ACCOUNTS), random.usize(..ACCOUNTS), random.u32(1..=START as u32));
        book[from].1 += 1;
        match client.call(&id(from), &Request::Withdraw(cents.into()), deadline) {
            Err(CallError::Handler(Refused::TooLittle)) => continue,
            done => done?,
        };
        book[from].0 -= i64::from(cents);
        client.call(&id(to), &Request::Deposit(cents.into()), deadline)?;
        book[to].0 += i64::from(cents);
        book[to].1 += 1;
    }
    Ok(book)
}

/// Moves drawn accounts to drawn hosts until the clients are done. All are on the first host to begin with.
fn move_about<T>(
    hosts: &[Host<Account>],
    clients: &[ScopedJoinHandle<'_, T>],
    seed: u64,
    deadline: Instant,
) -> Result<usize, Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut places = [0; ACCOUNTS];
    let mut moves = 0;
    while moves < MOVES || !clients.iter().all(ScopedJoinHandle::is_finished) {
        let account = random.usize(..ACCOUNTS);
        let (from, to) = (places[account], (places[account] + random.usize(1..HOSTS)) % HOSTS);
        hosts[from].move_to(&id(account), hosts[to].address(), deadline)?;
        places[account] = to;
        moves += 1;
    }
    Ok(moves)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or("memory:".to_owned());
    let seed: u64 = args.next().map_or(Ok(1), |text| text.parse())?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let broker = open(&url, deadline)?;
    let run = UNIX_EPOCH.elapsed()?.as_nanos(); // so that it is nobody else's space
    let space = Name::new(&format!("accounts-{run}"))?;

    let start = |_| Host::<Account>::start(broker.clone(), &space, HostOptions::default());
    let hosts: Vec<Host<Account>> = (0..HOSTS).map(start).collect::<Result<_, _>>()?;
    for account in 0..ACCOUNTS {
        hosts[0].insert(&id(account), Account { cents: START, calls: 0 }, deadline)?;
    }

    let client = Client::<Account>::new(broker.clone(), &space, ClientOptions::default())?;
    let (books, moves) = thread::scope(|scope| -> Result<_, Box<dyn Error>> {
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let (client, seed) = (&client, seed.wrapping_mul(CLIENTS + 1).wrapping_add(number));
            let transfers = move || transfer(client, seed, deadline);
            clients.push(thread::Builder::new().name(format!("client {number}")).spawn_scoped(scope, transfers)?);
        }
        let moves = move_about(&hosts, &clients, seed, deadline)?;
        let mut books = Vec::new();
        for client in clients {
            books.push(client.join().map_err(|_| "a client panicked")??);
        }
        Ok((books, moves))
    })?;

    let mut left = 0;
    for account in 0..ACCOUNTS {
        let (cents, calls) = client.call(&id(account), &Request::Show, deadline)?;
        println!("{}: {cents} cents after {calls} calls", id(account));
        let booked: i64 = books.iter().map(|book| book[account].0).sum();
        assert_eq!(i64::try_from(cents)?, i64::try_from(START)? + booked, "of account {account}");
        assert_eq!(calls, books.iter().map(|book| book[account].1).sum::<u64>(), "each call is executed once");
        left += cents;
    }
    println!("{moves} moves meanwhile");
    assert_eq!(left, START * ACCOUNTS as u64, "no cent is lost or made");

    client.close(deadline)?;
    hosts.iter().try_for_each(|host| host.stop(deadline))?;
    broker.delete_exchange(&space, deadline)?;
    broker.close(deadline)?;
    Ok(())
}
