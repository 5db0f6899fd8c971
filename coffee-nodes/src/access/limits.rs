//! What one client may take of a gateway, over all of its connections; operators may take all of it.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Caller, Owner, Role, rate::Rate};
use crate::{Stop, seldom::Seldom};

/// Requests that would have to wait longer are refused.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Data waits no longer, as a client that can't go on for much longer takes the gateway for dead: it is refused then.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// How long data waits before it is looked whether it may go on: connections of one client come before each other.
const SLICE: Duration = Duration::from_secs(1);

/// A chunk with fewer bytes counts as one of so many: each costs the cluster some work.
const LEAST_BYTES: u64 = 4096;

/// What one client may take of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections at a time; more are refused.
    pub connections: NonZeroUsize,
    /// Requests a second: faster ones wait, and are refused where they would have to wait for two seconds. One that changes jobs
    /// counts as ten, and each 64 KiB of one as another; none as more than a second's.
    pub requests: NonZeroU32,
    /// Bytes of data a second, by all of its connections: faster ones wait, and a chunk that others are before for ten seconds is
    /// refused. `None`: as fast as they come.
    pub upload: Option<NonZeroU64>,
}

impl Default for ClientLimits {
    /// 64 connections, 100 requests a second, any bytes.
    fn default() -> Self {
        ClientLimits {
            connections: NonZeroUsize::MIN.saturating_add(63),
            requests: NonZeroU32::MIN.saturating_add(99),
            upload: None,
        }
    }
}

/// The clients that are connected, and those that were in the last seconds.
pub(crate) struct Clients {
    limits: ClientLimits,
    known: Mutex<HashMap<Owner, Known>>,
}

struct Known {
    connections: usize,
    account: Arc<Account>,
}

/// What becomes of data that is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It goes on.
    GoesOn,
    /// It was stopped, and does not count.
    Stopped,
    /// It has waited for too long, and does not count.
    Refused,
}

/// What the connections of one client share.
struct Account {
    requests: Rate,
    upload: Option<Rate>,
    /// That a limit refuses something is told once in a while.
    refused: Seldom,
}

impl Clients {
    pub fn new(limits: ClientLimits) -> Arc<Self> {
        Arc::new(Clients { limits, known: Mutex::default() })
    }

    /// Counts a connection of a caller, until the visit is dropped. An error, with the caller: it has as many as it may.
    pub fn enter(self: &Arc<Self>, caller: Caller) -> Result<Visit, Caller> {
        if caller.role == Role::Operator {
            return Ok(Visit { caller, counted: None });
        }
        let now = Instant::now();
        let mut known = self.known.lock();
        // Whoever comes back finds its account as it was.
        known.retain(|_, client| client.connections > 0 || !client.account.is_even(now));
        let client = known
            .entry(caller.owner.clone())
            .or_insert_with(|| Known { connections: 0, account: Arc::new(Account::new(&self.limits, now)) });
        if client.connections >= self.limits.connections.get() {
            return Err(caller);
        }
        client.connections += 1;
        let counted = Counted { clients: self.clone(), account: client.account.clone() };
        Ok(Visit { caller, counted: Some(counted) })
    }

    fn leave(&self, owner: &Owner) {
        if let Some(client) = self.known.lock().get_mut(owner) {
            client.connections = client.connections.saturating_sub(1);
        }
    }
}

impl Account {
    fn new(limits: &ClientLimits, now: Instant) -> Self {
        Account {
            requests: Rate::per_second(limits.requests.get().into(), now),
            upload: limits.upload.map(|bytes| Rate::per_second(bytes.get(), now)),
            refused: Seldom::default(),
        }
    }

    /// Whether another one would allow the same.
    fn is_even(&self, now: Instant) -> bool {
        self.requests.is_full(now) && self.upload.as_ref().is_none_or(|upload| upload.is_full(now))
    }
}

/// A connection of a caller, within its limits.
pub(crate) struct Visit {
    caller: Caller,
    /// `None` of an operator.
    counted: Option<Counted>,
}

struct Counted {
    clients: Arc<Clients>,
    account: Arc<Account>,
}

impl Visit {
    /// Whose connection it is.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// How long a request that counts as so many has to wait before it is answered; an error: before it is refused, as others
    /// already wait for so long.
    pub fn request(&self, weight: u32) -> Result<Duration, Duration> {
        let Some(Counted { clients, account }) = &self.counted else { return Ok(Duration::ZERO) };
        // What weighs more than all that may be saved could never come.
        let weight = weight.min(clients.limits.requests.get());
        account.requests.take(weight.into(), LONGEST_WAIT, Instant::now()).ok_or(LONGEST_WAIT)
    }

    /// Holds a chunk of so many bytes back while its client sends faster than it may, for ten seconds at most, or until `stop`.
    pub fn hold_back(&self, bytes: u64, stop: &Stop) -> Held {
        let rate = self.counted.as_ref().and_then(|counted| counted.account.upload.as_ref());
        let Some(rate) = rate else { return Held::GoesOn };
        hold(rate, bytes.max(LEAST_BYTES), LONGEST_HOLD, stop)
    }

    /// Logs that one of the limits refuses something to this client: once in a while, as it may ask as often as it likes.
    pub fn tell_limited(&self, what: &str) {
        if let Some(Counted { account, .. }) = &self.counted {
            account.refused.warn(|| format!("{} is refused what it asks for: {what}", self.caller.owner));
        }
    }
}

/// Waits until so many bytes may go on.
fn hold(rate: &Rate, bytes: u64, longest: Duration, stop: &Stop) -> Held {
    let deadline = Instant::now() + longest;
    while let Err(wait) = rate.take_now(bytes, Instant::now()) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Held::Refused;
        }
        if stop.wait(wait.min(SLICE).min(left)) {
            return Held::Stopped;
        }
    }
    Held::GoesOn
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(counted) = &self.counted {
            counted.clients.leave(&self.caller.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn clients() -> Arc<Clients> {
        Clients::new(ClientLimits {
            connections: NonZeroUsize::new(2).unwrap(),
            requests: NonZeroU32::new(1).unwrap(),
            upload: NonZeroU64::new(8192),
        })
    }

    fn client(name: &str) -> Caller {
        Caller { owner: Owner::Named(name.to_owned()), role: Role::Client }
    }

    #[test]
    fn each_client_has_its_connections_and_operators_have_any() {
        let clients = clients();
        let mut ours: Vec<_> = (0..2).map(|_| clients.enter(client("a")).unwrap()).collect();
        assert!(clients.enter(client("a")).is_err());
        assert!(clients.enter(client("b")).is_ok());
        let operators: Vec<_> = (0..9).map(|_| clients.enter(Caller::local()).unwrap()).collect();
        assert!(operators.iter().all(|visit| visit.request(1000).is_ok_and(|wait| wait.is_zero())));
        ours.pop();
        assert!(clients.enter(client("a")).is_ok());
    }

    #[test]
    fn connections_of_one_client_share_its_rates_also_one_after_the_other() {
        let clients = clients();
        let (one, two, other) = (clients.enter(client("a")), clients.enter(client("a")), clients.enter(client("b")));
        let (one, two, other) = (one.unwrap(), two.unwrap(), other.unwrap());
        let waits: Vec<_> = (0..3).map(|_| one.request(1).unwrap()).collect();
        assert!(waits[0].is_zero() && waits[1] > waits[0] && waits[2] > waits[1], "{waits:?}");
        assert_eq!(two.request(1), Err(LONGEST_WAIT), "it would wait for three seconds");
        assert!(other.request(1000).unwrap().is_zero(), "nothing weighs more than a second's requests");
        drop((one, two));
        assert_eq!(clients.enter(client("a")).unwrap().request(1), Err(LONGEST_WAIT), "who comes back is no stranger");
    }

    #[test]
    fn data_is_held_back_and_does_not_count_where_its_connection_ends() {
        let clients = clients();
        let (one, two, other) = (clients.enter(client("a")), clients.enter(client("a")), clients.enter(client("b")));
        let (one, two, other) = (one.unwrap(), two.unwrap(), other.unwrap());
        let (open, closed) = (Stop::new(), Stop::new());
        closed.trigger();
        // An empty chunk is 4 KiB as well.
        assert!([4096, 0].into_iter().all(|bytes| one.hold_back(bytes, &closed) == Held::GoesOn));
        assert!((0..100).all(|_| two.hold_back(4096, &closed) == Held::Stopped));
        assert_eq!(other.hold_back(8192, &closed), Held::GoesOn, "each client has its own");
        let begin = Instant::now();
        assert_eq!(two.hold_back(4096, &open), Held::GoesOn);
        let held = begin.elapsed();
        assert!(held > Duration::from_millis(300) && held < Duration::from_secs(5), "{held:?}");
    }

    #[test]
    fn connections_that_share_a_rate_get_no_more_of_it_together_than_one() {
        let rate = Rate::per_second(40_960, Instant::now());
        let (longest, begin) = (Duration::from_millis(1000), Instant::now());
        let try_all = || (0..3).map(|_| hold(&rate, 8192, longest, &Stop::new())).collect::<Vec<_>>();
        let held: Vec<Held> = thread::scope(|scope| {
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(try_all)).collect();
            tries.into_iter().flat_map(|tries| tries.join().unwrap()).collect()
        });
        let went_on = held.iter().filter(|held| **held == Held::GoesOn).count() as u32;
        // A pause has saved one second's, and then there is a fifth of a second for each.
        let most = 5 + 5 * (begin.elapsed().as_secs() as u32 + 1);
        assert!((5..=most).contains(&went_on), "{went_on} of at most {most}");
        let rate = Rate::per_second(1, Instant::now());
        let begin = Instant::now();
        let held = [(); 2].map(|()| hold(&rate, 4096, Duration::from_millis(100), &Stop::new()));
        assert_eq!(held, [Held::GoesOn, Held::Refused], "the first one of all does not have to wait");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let clients = clients();
        for number in 0..1000 {
            drop(clients.enter(client(&number.to_string())));
        }
        assert!(clients.known.lock().len() <= 2);
    }
}
