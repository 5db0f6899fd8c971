//! A national lottery: agencies send bets in batches over TCP, the server stores them by way of a queue, and makes the
//! draw when the last agency has ended its bets. Each agency learns of its own winners: told or asking, as it likes.
//!
//! ```text
//! cargo run --example lottery -- [URL] [--seed N] [--agencies N] [--bets N]    all in one process
//! cargo run --example lottery -- server [URL] --state FOLDER --listen ADDRESS   or the server alone,
//! cargo run --example lottery -- agency 0 --server ADDRESS                      and each agency
//! ```
//!
//! `memory:` without a URL; `amqp://guest:guest@localhost/` is a RabbitMQ.
//!
//! - A batch is valid as a whole or refused as a whole. It is stored once it is in the ledger: the session has sent it
//!   to the queue, with the broker's confirm, and the storage worker has taken it from there. Only then the agency is
//!   told so. What is not known to be stored is sent again, under the same number, and counts once.
//! - All of them may be killed and started again. The ledger is a file, and what has not come there yet is in the queue or
//!   with its agency, which has not been told that it is stored. An agency begins anew with its first batch. A server goes on
//!   with its ledger: who has ended stays so, the others are waited for as at first, and a draw that was made stays.
//! - An agency has ended its bets when it says so. One that is silent for five seconds, whatever the reason, or has not
//!   ended its bets when the sale closes, after a minute, is counted as gone: what it has stored counts, no more is taken, and nobody
//!   waits for it.
//! - When an agency has ended or is gone, its clerk has no more of it stored, and comes to the meeting of all clerks,
//!   which is a barrier over the broker: so the draw is made when the last agency is done, over all that was ever
//!   acknowledged.
//!
//! `bet` and `draw` are the lottery, `wire` is the protocol, `agency` its one end; the other one is `server`, with
//! `session`, `desk` and `ledger`.

mod agency;
mod bet;
mod desk;
mod draw;
mod ledger;
mod server;
mod session;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agency::Agency;
use clap::{Args, Parser, Subcommand};
use coffee_mom::open;
use ledger::Ledger;
use server::{Failure, Options, Server};
use wire::Results;

/// How long an agency may be silent, in seconds.
const SILENCE: u64 = 5;

/// How long an agency tries, in seconds.
const PATIENCE: u64 = 120;

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    lottery: Lottery,
    /// The broker.
    #[arg(default_value = "memory:")]
    url: String,
}

#[derive(Subcommand)]
enum Role {
    /// The server alone.
    Server {
        #[arg(default_value = "memory:")]
        url: String,
        #[command(flatten)]
        lottery: Lottery,
        /// Where agencies connect to: with port 0 at another port each time, so not where one is to be started again.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The folder of its ledger. One that has died goes on by it.
        #[arg(long)]
        state: PathBuf,
        /// An agency that says nothing for so many seconds is gone; the sale lasts twelve times as long.
        #[arg(long, default_value_t = SILENCE)]
        silence: u64,
    },
    /// One agency.
    Agency {
        /// Which one, from 0.
        number: u16,
        #[command(flatten)]
        lottery: Lottery,
        #[arg(long)]
        server: SocketAddr,
        /// For how many seconds it tries.
        #[arg(long, default_value_t = PATIENCE)]
        patience: u64,
    },
}

/// What server and agencies have to agree on.
#[derive(Args, Clone)]
struct Lottery {
    /// Decides what is bet, and which number wins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 5)]
    agencies: u16,
    /// Bets of each agency.
    #[arg(long, default_value_t = 2_000)]
    bets: usize,
}

fn main() -> Result<(), Failure> {
    let Command { role, lottery, url } = Command::parse();
    match role {
        None => all(&url, &lottery),
        Some(Role::Server { url, lottery, listen, state, silence }) => {
            serve(&start(&url, &lottery, listen, &state, silence)?)
        }
        Some(Role::Agency { number, lottery, server, patience }) => take_part(&lottery, server, number, patience),
    }
}

fn start(url: &str, lottery: &Lottery, listen: SocketAddr, state: &Path, silence: u64) -> Result<Server, Failure> {
    let broker = open(url, Instant::now() + Duration::from_secs(30))?;
    let silence = Duration::from_secs(silence);
    let options = Options {
        agencies: lottery.agencies,
        winning: draw::winning_number(lottery.seed),
        silence,
        sale: 12 * silence,
    };
    Server::start(broker, Ledger::open(state, lottery.agencies)?, listen, options)
}

fn serve(server: &Server) -> Result<(), Failure> {
    println!("listening {}", server.address());
    for (agency, account) in server.run()?.iter().enumerate() {
        let end = if account.ended { "has ended" } else { "is gone" };
        println!("agency {agency} {end} with {} bets and {} winners", account.bets, account.winners.len());
    }
    Ok(())
}

/// One agency: it knows what it has sold, and so what it has to be told.
fn take_part(lottery: &Lottery, server: SocketAddr, number: u16, patience: u64) -> Result<(), Failure> {
    let bets = draw::bets(lottery.seed, number, lottery.bets);
    let mut agency = Agency::new(server, number, Instant::now() + Duration::from_secs(patience));
    for (number, batch) in (0..).zip(agency::batches(&bets)?) {
        agency.send(number, batch)?;
    }
    let winners = agency.finish(if number.is_multiple_of(2) { Results::Pushed } else { Results::Asked })?;
    println!("agency {number}: {winners:?} have won");
    assert_eq!(winners, draw::winners(&bets, draw::winning_number(lottery.seed)), "of agency {number}");
    Ok(())
}

fn all(url: &str, lottery: &Lottery) -> Result<(), Failure> {
    let state = tempfile::tempdir()?;
    let server = start(url, lottery, SocketAddr::from(([127, 0, 0, 1], 0)), state.path(), SILENCE)?;
    let address = server.address();
    thread::scope(|scope| {
        let mut agencies = Vec::new();
        for number in 0..lottery.agencies {
            let name = format!("agency {number}");
            let agency = move || take_part(lottery, address, number, PATIENCE);
            agencies.push(thread::Builder::new().name(name).spawn_scoped(scope, agency)?);
        }
        serve(&server)?;
        agencies.into_iter().try_for_each(|agency| agency.join().map_err(|_| "an agency gave a wrong answer")?)
    })
}
