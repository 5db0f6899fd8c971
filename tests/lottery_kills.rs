//! The lottery of the examples as processes over RabbitMQ, which are killed: the server and agencies in the middle of their
//! batches, and the server between the last end of bets and the draw. Every agency gets its winners, and what was
//! acknowledged counts, once.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../examples/lottery/agency.rs"]
mod agency;
#[path = "../examples/lottery/bet.rs"]
mod bet;
#[path = "../examples/lottery/draw.rs"]
mod draw;
#[allow(dead_code, reason = "it is the server that writes it")]
#[path = "../examples/lottery/ledger.rs"]
mod ledger;
#[path = "../coffee-cli/tests/support/processes.rs"]
mod processes;
#[path = "../examples/lottery/wire.rs"]
mod wire;

use std::io::{BufRead, BufReader, Lines};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use agency::{Agency, talk};
use coffee::mom::RabbitConfig;
use coffee::mom::testing::proxy::Proxy;
use coffee::mom::testing::rabbitmq::TestBroker;
use fastrand::Rng;
use ledger::{Account, Ledger, LedgerError};
use processes::{DEADLINE, command, example};
use tempfile::TempDir;
use wire::{Reply, Request, Results};

/// The agency that is this test; those of lower numbers are processes.
const OWN: u16 = 3;

/// Bets of each agency: dozens of batches.
const BETS: usize = 12_000;

/// Kills of the server while bets are sold.
const KILLS: usize = 4;

/// Seconds after which an agency is gone, or gives up: only a hang takes that long, on however slow a machine.
const PATIENCE: u64 = 5 * DEADLINE.as_secs();

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(PATIENCE)
}

/// A process that says lines; killed when dropped.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// What it says before it ends; it has to succeed.
    fn rest(mut self) -> Vec<String> {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success(), "{rest:?}");
        rest
    }
}

impl Process {
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What its processes are told.
struct Lottery {
    seed: u64,
    state: TempDir,
    address: SocketAddr,
}

impl Lottery {
    /// Each has an address of its own on this machine, so that its port is free whenever its server is dead.
    fn new(seed: u64) -> Self {
        let address = SocketAddr::from((Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() + 1 + seed as u32), 0));
        Lottery { seed, state: tempfile::tempdir().unwrap(), address }
    }

    fn command(&self, seed: u64, role: &[&str]) -> Command {
        let mut command = command(example("lottery"));
        command.args(role).args(["--seed", &seed.to_string(), "--bets", &BETS.to_string()]);
        command.args(["--agencies", &(OWN + 1).to_string()]);
        command
    }

    /// Starts the server, at the same address each time. Where another seed is given it draws another number.
    fn serve(&mut self, url: &str, seed: u64) -> Process {
        let (address, state) = (self.address.to_string(), self.state.path().to_str().unwrap());
        let silence = PATIENCE.to_string();
        let role = ["server", url, "--listen", &address, "--state", state, "--silence", &silence];
        let mut server = Process::start(self.command(seed, &role));
        self.address = server.line().strip_prefix("listening ").unwrap().parse().unwrap();
        server
    }

    fn agency(&self, number: u16) -> Process {
        let (number, server, patience) = (number.to_string(), self.address.to_string(), PATIENCE.to_string());
        Process::start(self.command(self.seed, &["agency", &number, "--server", &server, "--patience", &patience]))
    }

    /// What is stored of the agencies, while there is no server.
    fn accounts(&self) -> Vec<Account> {
        let ledger = Ledger::open(self.state.path(), OWN + 1).unwrap();
        (0..=OWN).map(|agency| ledger.account(agency, draw::winning_number(self.seed)).unwrap()).collect()
    }

    /// The plain answer.
    fn answer(&self, agency: u16) -> Vec<u32> {
        let winning = draw::winning_number(self.seed);
        let bets = draw::bets(self.seed, agency, BETS).into_iter();
        bets.filter(|bet| bet.number == winning).map(|bet| bet.document).collect()
    }

    /// Waits for the agencies and the server, and compares what they say.
    fn end(&self, server: Process, agencies: impl IntoIterator<Item = Process>) {
        for (number, agency) in (0..).zip(agencies) {
            assert_eq!(agency.rest(), [format!("agency {number}: {:?} have won", self.answer(number))]);
        }
        let account = |number| {
            let winners = self.answer(number).len();
            format!("agency {number} has ended with {BETS} bets and {winners} winners")
        };
        let rest = server.rest().into_iter().filter(|line| line.starts_with("agency"));
        assert_eq!(rest.collect::<Vec<_>>(), (0..=OWN).map(account).collect::<Vec<_>>());
    }
}

/// Sells all bets of this test's agency. Meanwhile it kills another agency after some of its batches, and then the server; all
/// go on. How many of the kills have found an agency in the middle of its bets.
fn sell(lottery: &mut Lottery, url: &str, own: &mut Agency, server: &mut Process, agencies: &mut [Process]) -> usize {
    let batches = agency::batches(&draw::bets(lottery.seed, OWN, BETS)).unwrap();
    let mut random = Rng::with_seed(lottery.seed);
    let kills = random.choose_multiple(0..batches.len(), KILLS);
    let (mut sold, mut in_the_middle) = (0, 0);
    for (number, batch) in batches.into_iter().enumerate() {
        sold += bet::read(&batch).unwrap().len();
        own.send(number as u32, batch).unwrap();
        if !kills.contains(&number) {
            continue;
        }
        let killed = random.u16(..OWN);
        agencies[usize::from(killed)].kill();
        agencies[usize::from(killed)] = lottery.agency(killed);
        server.kill();
        let accounts = lottery.accounts();
        assert_eq!(accounts[usize::from(OWN)].bets, sold, "what was acknowledged is stored, and nothing else");
        in_the_middle += usize::from(accounts.iter().take(OWN.into()).any(|other| (1..BETS).contains(&other.bets)));
        *server = lottery.serve(url, lottery.seed);
    }
    in_the_middle
}

#[test]
fn nothing_is_lost_or_counted_twice_when_processes_are_killed() {
    let broker = TestBroker::shared().unwrap();
    for seed in 1..=3 {
        let mut lottery = Lottery::new(seed);
        let mut server = lottery.serve(broker.url(), seed);
        let mut agencies: Vec<_> = (0..OWN).map(|number| lottery.agency(number)).collect();
        let mut own = Agency::new(lottery.address, OWN, soon());
        let in_the_middle = sell(&mut lottery, broker.url(), &mut own, &mut server, &mut agencies);
        assert!(in_the_middle > 0, "seed {seed}");

        // The next server's clerks can't meet: none hears of the last one, whose agency ends its bets.
        drop(server);
        let (proxy, url) = proxy(broker.url());
        let mut server = lottery.serve(&url, seed);
        let mut missing: Vec<_> = (0..OWN).map(|number| format!("clerk {number} comes to the meeting")).collect();
        while !missing.is_empty() {
            let line = server.line();
            missing.retain(|clerk| *clerk != line);
        }
        proxy.pause();
        let stream = TcpStream::connect(lottery.address).unwrap();
        assert_eq!(talk(&stream, &Request::Hello { agency: OWN }, soon()).unwrap(), Reply::Welcome);
        assert_eq!(talk(&stream, &Request::End { results: Results::Asked }, soon()).unwrap(), Reply::Wait);
        drop((server, proxy));
        agencies[0].kill();
        agencies[0] = lottery.agency(0);
        let account = |number| Account { ended: true, bets: BETS, winners: lottery.answer(number) };
        assert_eq!(lottery.accounts(), (0..=OWN).map(account).collect::<Vec<_>>(), "seed {seed}");

        let server = lottery.serve(broker.url(), seed);
        assert_eq!(own.finish(Results::Asked).unwrap(), lottery.answer(OWN));
        lottery.end(server, agencies);

        // Whoever comes again is told the same, also where the server would draw another number.
        let server = lottery.serve(broker.url(), seed + 1);
        let agencies: Vec<_> = (0..=OWN).map(|number| lottery.agency(number)).collect();
        lottery.end(server, agencies);
        let more = Ledger::open(lottery.state.path(), OWN + 2);
        assert!(matches!(more, Err(LedgerError::Agencies(known)) if known == OWN + 1), "they would know the draw");
    }
}

/// A proxy before the broker, and the broker's URL by way of it.
fn proxy(url: &str) -> (Proxy, String) {
    let host = &RabbitConfig::from_url(url).unwrap().hosts[0];
    let upstream = (host.name.as_str(), host.port).to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(upstream).unwrap();
    let (user, path) = url.split_once('@').unwrap();
    let (_, vhost) = path.split_once('/').unwrap();
    let url = format!("{user}@{}/{vhost}", proxy.address());
    (proxy, url)
}
