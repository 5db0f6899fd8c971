//! The lottery's server: agencies come in by its door, a clerk for each of them sees to its end, then the draw is made.
//!
//! | thread | how many | does |
//! |---|---|---|
//! | `door` | 1 | accepts connections |
//! | `session N` | one a connection | `Office::serve` |
//! | `consume lottery-...` | 1 | the storage worker: stores what comes by the queue |
//! | `clerk N` | one an agency | waits for its end, meets the other clerks, and makes the draw |

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Builder, Scope};
use std::time::{Duration, Instant, UNIX_EPOCH};

use coffee_mom::{Broker, Delivery, Endpoint, EndpointOptions, MessageMiddleware, Name, QueueSpec, Verdict};

use crate::desk::Desk;
use crate::ledger::{Account, Ledger, LedgerError};
use crate::session::Office;

/// Why there is no draw.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Connections at a time for each agency; more are hung up on.
const CONNECTIONS: usize = 8;

/// How long it takes at most to start, to meet after the sale, and to stop.
const SETUP: Duration = Duration::from_secs(30);

/// What a lottery is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// They are numbered from 0.
    pub agencies: u16,
    /// The number that wins.
    pub winning: u16,
    /// An agency that says nothing for so long is counted as gone, unless it has ended its bets before. So is one that
    /// never came.
    pub silence: Duration,
    /// How long the sale lasts at most: an agency that has not ended its bets by then is counted as gone.
    pub sale: Duration,
}

/// A server whose door is open, but which serves nobody yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    broker: Arc<dyn Broker>,
    /// What its sessions share.
    pub office: Office,
    closing: Instant,
    /// The name under which the clerks meet: this server's own, as those of one that has died may not count.
    meeting: Name,
    /// Sessions that there are.
    sessions: AtomicUsize,
    /// Whether the door is to be shut.
    over: AtomicBool,
}

impl Server {
    /// Listens at an address, and starts the storage worker at the lottery's queue. The sale begins, or goes on: agencies
    /// that are closed in the ledger stay so, the others have as much time as at first.
    ///
    /// # Errors
    /// The address, the broker or the ledger can't be used.
    pub fn start(
        broker: Arc<dyn Broker>,
        ledger: Ledger,
        address: SocketAddr,
        options: Options,
    ) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let meeting = Name::new(&format!("{}-{}", ledger.name(), UNIX_EPOCH.elapsed()?.as_nanos()))?;
        // Durable, so that neither a lost connection nor a server that dies takes anything with it.
        let queue = QueueSpec::named(Name::new(ledger.name())?);
        let bets = Endpoint::queue(Arc::clone(&broker), &queue, EndpointOptions::default())?;
        let desk = |agency| Ok(Desk::new(ledger.is_closed(agency)?));
        let desks = (0..options.agencies).map(desk).collect::<Result<_, LedgerError>>()?;
        let ledger = Arc::new(ledger);
        let storage = Arc::clone(&ledger);
        bets.start_consuming(Box::new(move |batch: &Delivery| store(&storage, batch)), Instant::now() + SETUP)?;
        let closing = Instant::now() + options.sale;
        let office = Office { bets, ledger, desks, silence: options.silence, over: closing + SETUP };
        let (sessions, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Ok(Self { listener, address, options, broker, office, closing, meeting, sessions, over })
    }

    /// Where agencies connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the agencies until the draw is made and those that have ended their bets have gone home, or said nothing
    /// since; then closes the connection to the broker, so it runs once. Ok: what became of each agency.
    ///
    /// # Errors
    /// The clerks could not meet, a thread not be started or the ledger not be written: a server that is started again goes on.
    pub fn run(&self) -> Result<Vec<Account>, Failure> {
        thread::scope(|scope| {
            let door = || self.open_door(scope);
            Builder::new().name("door".to_owned()).spawn_scoped(scope, door)?;
            let accounts = self.start_clerks(scope).and_then(|()| self.see_out());
            self.over.store(true, Ordering::Relaxed);
            drop(TcpStream::connect_timeout(&self.address, SETUP)); // so that the door looks up
            let deadline = Instant::now() + SETUP;
            // Without a draw, it waits for the next server.
            if accounts.is_ok()
                && let Err(error) = self.office.bets.delete(deadline)
            {
                eprintln!("the queue {} is left behind: {error}", self.office.ledger.name());
            }
            // A clerk who has missed the meeting waits for it no longer.
            if let Err(error) = self.broker.close(deadline) {
                eprintln!("the broker's connection was not closed in order: {error}");
            }
            accounts
        })
    }

    fn open_door<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        for (number, stream) in self.listener.incoming().enumerate() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            match stream {
                Ok(stream) => self.start_session(scope, number, stream),
                Err(_) => thread::sleep(Duration::from_millis(10)), // there may be some sockets again then
            }
        }
    }

    /// Serves a connection by a thread of its own, or hangs up on it where there are too many.
    fn start_session<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, number: usize, stream: TcpStream) {
        if self.sessions.load(Ordering::Relaxed) >= CONNECTIONS * usize::from(self.options.agencies) {
            return;
        }
        let session = move || {
            if let Err(error) = self.office.serve(&stream) {
                eprintln!("session {number} ends: {error}");
            }
            self.sessions.fetch_sub(1, Ordering::Relaxed);
        };
        self.sessions.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = Builder::new().name(format!("session {number}")).spawn_scoped(scope, session) {
            eprintln!("nobody serves session {number}: {error}");
            self.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn start_clerks<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Result<(), Failure> {
        for agency in 0..self.options.agencies {
            let clerk = move || {
                if let Err(error) = self.attend(agency) {
                    eprintln!("clerk {agency}: {error}");
                }
            };
            Builder::new().name(format!("clerk {agency}")).spawn_scoped(scope, clerk)?;
        }
        Ok(())
    }

    /// The clerk of one agency.
    fn attend(&self, agency: u16) -> Result<(), Failure> {
        let Options { agencies, winning, silence, .. } = self.options;
        let (office, desk) = (&self.office, &self.office.desks[usize::from(agency)]);
        if !desk.wait_for_end(silence, self.closing) {
            office.ledger.close(agency, false)?;
        }
        // It is closed before the meeting: after that no bet of any agency is stored, so the draw is fair.
        println!("clerk {agency} comes to the meeting");
        // The first one who has met all makes the whole draw: one whose connection was lost may have missed the others,
        // who do not come back.
        match office.bets.emit_barrier(&self.meeting, agencies.into(), office.over) {
            Ok(()) => Ok(office.publish(winning)?),
            Err(_) if desk.wait_for_winners(Instant::now()).is_some() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the draw is made, and for the agencies that want to know of it.
    fn see_out(&self) -> Result<Vec<Account>, Failure> {
        let Office { desks, over, silence, .. } = &self.office;
        for desk in desks {
            desk.wait_for_winners(*over).ok_or("the clerks could not meet")?;
        }
        let accounts = self.office.draw(self.options.winning)?;
        let home = Instant::now() + *silence;
        desks.iter().zip(&accounts).filter(|(_, account)| account.ended).for_each(|(desk, _)| desk.wait_for_home(home));
        Ok(accounts)
    }
}

/// Stores a batch, and only then lets the queue forget it.
fn store(ledger: &Ledger, delivery: &Delivery) -> Verdict {
    let Ok(batch) = postcard::from_bytes(&delivery.message.body) else {
        return Verdict::DeadLetter; // somebody else's message
    };
    match ledger.store(&batch) {
        Ok(()) => Verdict::Ack,
        Err(error) => {
            eprintln!("batch {} of agency {} stays in the queue: {error}", batch.number, batch.agency);
            Verdict::Defer // for the next server: this one's ledger is of no more use
        }
    }
}
