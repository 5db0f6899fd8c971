//! The lottery of the examples where things go wrong: agencies that misbehave, connections that are cut, a broker that
//! is disturbed. The answer is compared with that of a plain loop over the bets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../examples/lottery/agency.rs"]
mod agency;
#[path = "../examples/lottery/bet.rs"]
mod bet;
#[path = "../examples/lottery/desk.rs"]
mod desk;
#[path = "../examples/lottery/draw.rs"]
mod draw;
#[path = "../examples/lottery/ledger.rs"]
mod ledger;
#[path = "../examples/lottery/server.rs"]
mod server;
#[path = "../examples/lottery/session.rs"]
mod session;
#[path = "../examples/lottery/wire.rs"]
mod wire;

use std::io::Write;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use agency::{Agency, AgencyError, talk};
use coffee::mom::faults::{FaultPlan, FaultyBroker};
use coffee::mom::testing::proxy::Proxy;
use coffee::mom::testing::rabbitmq::TestBroker;
use coffee::mom::{Broker, Host, MemoryBroker, MessageMiddleware, RabbitBroker, RabbitConfig, open};
use ledger::{Account, Ledger};
use server::{Options, Server};
use wire::{MAX_REPLY, MAX_REQUEST, Reply, Request, Results, WireError};

/// Bets of each agency: a good dozen of batches.
const BETS: usize = 2_000;

/// Far enough away that only a hang reaches it.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(100)
}

/// On both brokers.
fn brokers() -> [Arc<dyn Broker>; 2] {
    [Arc::new(MemoryBroker::new()), open(TestBroker::shared().unwrap().url(), soon()).unwrap()]
}

/// A server whose sale lasts longer than any test.
fn start(broker: Arc<dyn Broker>, seed: u64, agencies: u16) -> Server {
    open_for(Duration::from_secs(200), broker, seed, agencies)
}

fn open_for(sale: Duration, broker: Arc<dyn Broker>, seed: u64, agencies: u16) -> Server {
    let options = Options { agencies, winning: draw::winning_number(seed), silence: Duration::from_secs(5), sale };
    // The folder's name goes at once, its file with the server.
    let ledger = Ledger::open(tempfile::tempdir().unwrap().path(), agencies).unwrap();
    Server::start(broker, ledger, SocketAddr::from(([127, 0, 0, 1], 0)), options).unwrap()
}

/// An agency that does as it should, and checks what it is told. Before each batch it lets things happen.
fn take_part(server: SocketAddr, seed: u64, number: u16, mut happen: impl FnMut(u32, &[u8])) {
    let mut agency = Agency::new(server, number, soon());
    for (batch, bets) in (0..).zip(agency::batches(&draw::bets(seed, number, BETS)).unwrap()) {
        happen(batch, &bets);
        agency.send(batch, bets).unwrap();
    }
    let winners = agency.finish(if number.is_multiple_of(2) { Results::Pushed } else { Results::Asked }).unwrap();
    assert_eq!(winners, answer(seed, number, BETS));
}

/// The plain answer: the winners among the first bets of an agency.
fn answer(seed: u64, agency: u16, sold: usize) -> Vec<u32> {
    let mut winners = Vec::new();
    for bet in draw::bets(seed, agency, sold) {
        if bet.number == draw::winning_number(seed) {
            winners.push(bet.document);
        }
    }
    winners
}

fn account(seed: u64, agency: u16, ended: bool, sold: usize) -> Account {
    Account { ended, bets: sold, winners: answer(seed, agency, sold) }
}

/// A lottery all of whose agencies do as they should, each in a thread of its own.
/// What they return is kept until the end.
fn hold<T: Send>(server: &Server, seed: u64, agencies: u16, agency: impl Fn(u16) -> T + Sync) {
    let accounts = thread::scope(|scope| {
        let agency = &agency;
        let agencies: Vec<_> = (0..agencies).map(|number| scope.spawn(move || agency(number))).collect();
        let accounts = server.run().unwrap();
        agencies.into_iter().for_each(|agency| drop(agency.join().unwrap()));
        accounts
    });
    let expected: Vec<_> = (0..agencies).map(|number| account(seed, number, true, BETS)).collect();
    assert_eq!(accounts, expected, "seed {seed}");
}

/// Sends the first batches, and is gone. How many bets that were.
fn leave_early(server: SocketAddr, seed: u64, number: u16) -> usize {
    let batches = agency::batches(&draw::bets(seed, number, BETS)).unwrap();
    let mut agency = Agency::new(server, number, soon());
    let mut sold = 0;
    for (batch, bets) in (0..).zip(batches).take(3) {
        sold += bet::read(&bets).unwrap().len();
        agency.send(batch, bets).unwrap();
    }
    sold
}

/// Says what nobody should, but for one batch. How many bets that has.
fn babble(server: SocketAddr, seed: u64, number: u16) -> usize {
    let good = agency::batches(&draw::bets(seed, number, BETS)).unwrap().remove(0);
    let mut agency = Agency::new(server, number, soon());
    for bad in ["Ana,,1,1999-03-17,7", "Ana,Paz,1,1999-02-30,7", "Ana,Paz,1,1999-03-17,1000", "Ana,Paz", "\u{0}"] {
        // The bets around the bad one go with it; the number is free for another batch.
        let lines = [b"Beto,Sosa,2,1999-03-17,8\n", bad.as_bytes(), b"\nCaro,Vera,3,1999-03-17,9\n"].concat();
        assert!(matches!(agency.send(0, lines), Err(AgencyError::Refused(_))), "{bad:?}");
    }
    let sold = bet::read(&good).unwrap().len();
    agency.send(0, good).unwrap();
    let overlong = agency.send(1, vec![b'x'; MAX_REQUEST]);
    assert!(matches!(overlong, Err(AgencyError::Wire(WireError::TooLong(_)))), "{overlong:?}");

    let overlong = [&(MAX_REQUEST as u32 + 1).to_be_bytes()[..], &[0; MAX_REQUEST + 1]].concat();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 3, 255, 255, 255], &overlong, &[0; 64]] {
        let mut stream = TcpStream::connect(server).unwrap();
        if stream.write_all(garbage).is_err() {
            continue; // it has hung up already
        }
        let reply = wire::receive::<Reply>(&stream, MAX_REPLY, soon());
        assert!(matches!(reply, Ok(Reply::Refused(_)) | Err(WireError::Io(_))), "{reply:?}");
    }
    sold
}

/// Stops in the middle of a batch, with its connection open.
fn stall(server: SocketAddr, number: u16) -> TcpStream {
    let mut stream = TcpStream::connect(server).unwrap();
    assert_eq!(talk(&stream, &Request::Hello { agency: number }, soon()).unwrap(), Reply::Welcome);
    stream.write_all(&[0, 0, 1, 0, 1, 0, 3]).unwrap();
    stream
}

#[test]
fn agencies_that_misbehave_stop_nobody() {
    for (broker, seed) in brokers().into_iter().zip(1..) {
        let server = start(broker, seed, 7);
        let address = server.address();
        let (accounts, early, babbled) = thread::scope(|scope| {
            for number in 0..3 {
                scope.spawn(move || take_part(address, seed, number, |_, _| {}));
            }
            let accounts = scope.spawn(|| server.run().unwrap());
            let early = leave_early(address, seed, 3);
            let babbled = babble(address, seed, 4);
            let _stalled = stall(address, 5);
            // And 6 never comes.
            (accounts.join().unwrap(), early, babbled)
        });
        let sold = [BETS, BETS, BETS, early, babbled, 0, 0];
        let expected: Vec<_> = (0..7).map(|n| account(seed, n, n < 3, sold[usize::from(n)])).collect();
        assert_eq!(accounts, expected);
    }
}

#[test]
fn the_sale_closes_though_an_agency_talks_on() {
    for broker in brokers() {
        let server = open_for(Duration::from_secs(1), broker, 1, 1);
        let stream = TcpStream::connect(server.address()).unwrap();
        thread::scope(|scope| {
            let accounts = scope.spawn(|| server.run().unwrap());
            assert_eq!(talk(&stream, &Request::Hello { agency: 0 }, soon()).unwrap(), Reply::Welcome);
            while talk(&stream, &Request::Ask, soon()).unwrap() == Reply::Wait {}
            wire::send(&stream, &Request::Bye, MAX_REQUEST, soon()).unwrap();
            assert_eq!(accounts.join().unwrap(), [account(1, 0, false, 0)]);
        });
    }
}

#[test]
fn a_batch_counts_once_and_none_after_the_end() {
    for broker in brokers() {
        let server = start(broker, 1, 1);
        let address = server.address();
        let batches = agency::batches(&draw::bets(1, 0, BETS)).unwrap();
        let sold = bet::read(&batches[0]).unwrap().len();
        let batch = |number| Request::Batch { number, bets: batches[0].clone() };
        let accounts = thread::scope(|scope| {
            let accounts = scope.spawn(|| server.run().unwrap());
            let streams = [(); 2].map(|()| TcpStream::connect(address).unwrap());
            for stream in &streams {
                assert_eq!(talk(stream, &Request::Hello { agency: 0 }, soon()).unwrap(), Reply::Welcome);
                assert_eq!(talk(stream, &batch(0), soon()).unwrap(), Reply::Stored);
            }
            let told = talk(&streams[0], &Request::End { results: Results::Pushed }, soon()).unwrap();
            assert_eq!(told, Reply::Winners(answer(1, 0, sold)));
            assert_eq!(talk(&streams[1], &batch(0), soon()).unwrap(), Reply::Stored, "it is");
            assert!(matches!(talk(&streams[1], &batch(1), soon()).unwrap(), Reply::Refused(_)));
            streams.iter().for_each(|stream| wire::send(stream, &Request::Bye, MAX_REQUEST, soon()).unwrap());
            accounts.join().unwrap()
        });
        assert_eq!(accounts, [account(1, 0, true, sold)]);
    }
}

#[test]
fn a_batch_is_acknowledged_once_it_is_stored() {
    for broker in brokers() {
        let server = start(broker, 1, 1);
        server.office.bets.pause(); // the storage worker does nothing
        let batches = agency::batches(&draw::bets(1, 0, BETS)).unwrap();
        let sold = [0, 1].map(|batch: usize| bet::read(&batches[batch]).unwrap().len());
        let mut agency = Agency::new(server.address(), 0, soon());
        let (accounts, winners) = thread::scope(|scope| {
            let accounts = scope.spawn(|| server.run().unwrap());
            let sends = scope.spawn(|| {
                agency.send(0, batches[0].clone()).unwrap();
                assert!(server.office.ledger.account(0, 0).unwrap().bets >= sold[0]);
                agency.finish(Results::Asked)
            });
            let stream = TcpStream::connect(server.address()).unwrap();
            assert_eq!(talk(&stream, &Request::Hello { agency: 0 }, soon()).unwrap(), Reply::Welcome);
            let batch = Request::Batch { number: 1, bets: batches[1].clone() };
            assert_eq!(talk(&stream, &batch, soon()).unwrap(), Reply::Again);
            server.office.bets.resume();
            drop(stream);
            let winners = sends.join().unwrap().unwrap();
            (accounts.join().unwrap(), winners)
        });
        assert_eq!(accounts, [account(1, 0, true, accounts[0].bets)]);
        assert_eq!(winners, accounts[0].winners);
        assert!([sold[0], sold[0] + sold[1]].contains(&accounts[0].bets), "all of a batch, or nothing");
    }
}

#[test]
fn no_draw_is_made_before_the_last_agency_has_ended() {
    for broker in brokers() {
        let server = start(broker, 1, 2);
        let address = server.address();
        let accounts = thread::scope(|scope| {
            let accounts = scope.spawn(|| server.run().unwrap());
            let early = TcpStream::connect(address).unwrap();
            assert_eq!(talk(&early, &Request::Hello { agency: 0 }, soon()).unwrap(), Reply::Welcome);
            let end = Request::End { results: Results::Asked };
            for request in [&end, &Request::Ask, &end, &Request::Ask] {
                assert_eq!(talk(&early, request, soon()).unwrap(), Reply::Wait);
            }
            drop(early);
            take_part(address, 1, 1, |_, _| {});
            assert_eq!(Agency::new(address, 0, soon()).finish(Results::Asked).unwrap(), answer(1, 0, 0));
            accounts.join().unwrap()
        });
        assert_eq!(accounts, [account(1, 0, true, 0), account(1, 1, true, BETS)]);
    }
}

#[test]
fn agencies_whose_connections_are_cut_go_on() {
    for (broker, seed) in brokers().into_iter().zip(1..) {
        let server = start(broker, seed, 4);
        let address = server.address();
        hold(&server, seed, 4, |number| {
            let proxy = Proxy::start(address).unwrap();
            let mut random = fastrand::Rng::with_seed(seed * 100 + u64::from(number));
            let mut cuts = 0;
            take_part(proxy.address(), seed, number, |number, bets| {
                let request = Request::Batch { number, bets: bets.to_vec() };
                let whole = 4 + postcard::to_stdvec(&request).unwrap().len() as u64;
                match random.u8(..3) {
                    0 => return,
                    1 => proxy.reset_after(random.u64(1..whole)),
                    _ => proxy.reset_after(whole), // the batch may be stored, but its agency does not hear of it
                }
                cuts += 1;
            });
            assert!(cuts > 0);
            assert_eq!(proxy.accepted(), 1 + cuts);
            proxy
        });
    }
}

#[test]
fn a_broker_that_goes_wrong_costs_no_bet() {
    for seed in 1..=4 {
        let plan = FaultPlan::new(seed).duplicates(200).delays(200).disconnects(20);
        let server = start(Arc::new(FaultyBroker::new(Arc::new(MemoryBroker::new()), plan)), seed, 3);
        let address = server.address();
        hold(&server, seed, 3, |number| take_part(address, seed, number, |_, _| {}));
    }
}

#[test]
fn a_rabbitmq_whose_links_are_reset_costs_no_bet() {
    let mut config = RabbitConfig::from_url(TestBroker::shared().unwrap().url()).unwrap();
    let upstream = (config.hosts[0].name.as_str(), config.hosts[0].port).to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(upstream).unwrap();
    config.hosts = vec![Host::new("127.0.0.1", proxy.address().port())];
    let config = config.backoff(Duration::from_millis(10), Duration::from_millis(50));
    let server = start(Arc::new(RabbitBroker::connect(config, soon()).unwrap()), 1, 3);
    let (address, links) = (server.address(), proxy.accepted());
    hold(&server, 1, 3, |number| {
        // The others have batches on their way then.
        take_part(address, 1, number, |batch, _| {
            if batch % 3 == u32::from(number) {
                proxy.reset();
            }
        });
    });
    assert!(proxy.accepted() > links);
}
