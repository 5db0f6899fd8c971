//! The gateway: where clients' data comes in and their results go out. Any number of them serve a cluster; a client may
//! come back to another one at any time.
//!
//! | thread | how many | does |
//! |---|---|---|
//! | `gateway door` | 1 | accepts connections, sees clients out at the end |
//! | `gateway reading N`, `gateway writing N` | 1 each a connection | what a client says, and what is said to it |
//! | `gateway results` | 1 a connection that asks for results | fetches them piece by piece |
//! | `gateway entry N` | `threads` | answer or pass on the chunks of all clients, and publish |
//! | `gateway keeper` | 1 | tells the query node how the sessions are, and their clients what is done for them |
//! | `gateway hearing`, `gateway looking` | 1 | know how the cluster is, for whoever watches it |
//! | `control` | 1 | hears what happens to jobs |
//!
//! A chunk's way: read straight into its frame (`conversation`), taken in hand by its session (`session`), handed to an
//! entry thread (`entry`), and when all that follows from it is confirmed its table's mark moves, which the client is told
//! (`writing`) and the query node as well (`keeper`). What is in hand is bounded for each session, and entry threads wait
//! for the broker, never for a client: so a slow cluster slows its clients down, and a slow client nobody.
//!
//! Who a client is follows from its token, or from its address where the cluster asks for none (`access`). What it asks for is
//! passed on with that, and the query node decides whether it may; how much it may take is a matter of each gateway.
//!
//! A gateway keeps nothing that can't be lost: clients send again what was not acked, from marks that may lag.

mod calls;
mod connection;
mod conversation;
mod door;
mod entry;
mod fetch;
mod keeper;
mod lookout;
mod options;
mod post;
mod refused;
mod registry;
mod session;
mod writing;

pub use options::{GatewayError, GatewayOptions};

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::plan::Topology;
use coffee_mom::{Broker, tls::TlsServerConfig};
use crossbeam_channel::bounded;

use self::{
    calls::Calls,
    door::Door,
    entry::{Entrance, Entry},
    keeper::Keeper,
    lookout::{Looking, Lookout},
    registry::Registry,
};
use crate::{
    Stop,
    access::Clients,
    cluster::{Listener, Names},
    knock::knock,
    runner::Links,
    seldom::Seldom,
    statistics::GATEWAY,
    threads::Threads,
};

/// How long a gateway that is dropped takes to end.
const DROPPED: Duration = Duration::from_secs(5);

/// What the connections share.
struct House {
    topology: Arc<Topology>,
    calls: Arc<Calls>,
    registry: Arc<Registry>,
    entrance: Entrance,
    clients: Arc<Clients>,
    /// Told once in a while.
    turned_away: Seldom,
    lookout: Arc<Lookout>,
    options: GatewayOptions,
}

/// A running gateway. Dropping it stops it, and waits for at most five seconds.
pub struct Gateway {
    address: SocketAddr,
    calls: Arc<Calls>,
    /// The parts, ended in this order.
    door: Threads,
    entry: Threads,
    keeper: Threads,
    lookout: Threads,
    /// What those threads find out.
    watched: Option<Arc<Lookout>>,
    /// Makes the entry threads end also with something in hand.
    force: Stop,
    /// Triggered once it hears nothing of jobs any more.
    lost: Stop,
    listener: Option<Listener>,
}

impl Gateway {
    /// Declares the stages' queues, if need be, and listens for clients. The query node and the results node need not be
    /// there yet: until they are, clients are told that the cluster can't be reached.
    ///
    /// # Errors
    /// Where the address or the broker can't be used. Nothing is left running.
    pub fn start(
        broker: Arc<dyn Broker>,
        names: Names,
        topology: Arc<Topology>,
        options: GatewayOptions,
    ) -> Result<Self, GatewayError> {
        let tls = options.tls.as_ref().map(TlsServerConfig::server).transpose()?;
        let unusable = |source| GatewayError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let links =
            Links::declare_lasting(&broker, &topology, names.prefix(), names.queue_kind(), options.queue_frames)?;
        let calls = Arc::new(Calls::new(&broker, &names, options.call)?);
        let (wake, woken) = bounded(1);
        let registry = Arc::new(Registry::new(wake));
        let mut gateway = Gateway {
            address,
            calls: calls.clone(),
            door: Threads::default(),
            entry: Threads::default(),
            keeper: Threads::default(),
            lookout: Threads::default(),
            watched: None,
            force: Stop::new(),
            lost: Stop::new(),
            listener: None,
        };
        let entry = Entry {
            name: options.name.clone(),
            state: options.state.clone(),
            broker: broker.clone(),
            links: links.clone(),
            topology: topology.clone(),
            registry: registry.clone(),
            pulses: options.pulses.clone(),
            counters: options.statistics.entry(&topology, GATEWAY),
            drain: gateway.entry.stopped().clone(),
            stop: gateway.force.clone(),
        };
        let (entrance, ended, threads) = entry.threads(options.threads.get());
        for (number, thread) in threads.into_iter().enumerate() {
            let name = format!("gateway entry {number}");
            gateway.entry.start(&name, move |_| thread.run()).map_err(GatewayError::Thread)?;
        }
        let lookout = gateway.look_out((&broker, links), &names, &topology, &options)?;
        gateway.watched = Some(lookout.clone());
        let keeper = Keeper {
            calls: calls.clone(),
            registry: registry.clone(),
            lookout: lookout.clone(),
            ended,
            lost: gateway.lost.clone(),
        };
        let hears = keeper.clone();
        gateway.listener = Some(Listener::start(&broker, &names, move |heard| hears.hear(heard))?);
        gateway.keeper.start("gateway keeper", move |stop| keeper.run(&woken, stop)).map_err(GatewayError::Thread)?;
        let clients = Clients::new(options.limits.clone());
        let turned_away = Seldom::default();
        let house = Arc::new(House { topology, calls, registry, entrance, clients, turned_away, lookout, options });
        let door = Door { listener, tls, house };
        gateway.door.start("gateway door", move |stop| door.run(stop)).map_err(GatewayError::Thread)?;
        Ok(gateway)
    }

    /// Starts to know how the cluster is.
    fn look_out(
        &self,
        (broker, links): (&Arc<dyn Broker>, Links),
        names: &Names,
        topology: &Arc<Topology>,
        options: &GatewayOptions,
    ) -> Result<Arc<Lookout>, GatewayError> {
        let (wake, woken) = bounded(1);
        let lookout = Arc::new(Lookout::new(options, broker, names, wake));
        let (topology, calls) = (topology.clone(), self.calls.clone());
        let (hears, monitors) = (lookout.clone(), options.monitors.clone());
        let hear = move |stop: &Stop| hears.hear(monitors.as_ref(), stop);
        self.lookout.start("gateway hearing", hear).map_err(GatewayError::Thread)?;
        let looking = Looking { lookout: lookout.clone(), links, topology, calls };
        self.lookout.start("gateway looking", move |stop| looking.run(&woken, stop)).map_err(GatewayError::Thread)?;
        Ok(lookout)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it is of no more use, though nobody has stopped it: it hears nothing of jobs, or can't call the other nodes, as
    /// its queues are gone for good; or one of its threads has ended.
    pub fn is_lost(&self) -> bool {
        let ended = [&self.door, &self.entry, &self.keeper, &self.lookout].map(|threads| threads.ended().is_some());
        self.lost.is_triggered() || self.calls.have_ended() || ended != [false; 4]
    }

    /// Stops: lets nobody in, tells all clients to try elsewhere, waits a while until what is in hand is confirmed, tells
    /// the query node how far it came, and ends all threads. What was not acked by then, clients send again. Blocks until
    /// `deadline` at most.
    ///
    /// # Errors
    /// Where some threads have not ended by then.
    pub fn stop(mut self, deadline: Instant) -> Result<(), GatewayError> {
        if self.end(deadline) { Ok(()) } else { Err(GatewayError::Deadline) }
    }

    /// Ends one part after the other; what takes too long loses what it waits for.
    fn end(&mut self, deadline: Instant) -> bool {
        let begin = Instant::now();
        let share = |tenths| begin + deadline.saturating_duration_since(begin) * tenths / 10;
        self.door.stopped().trigger();
        self.lookout.stopped().trigger();
        self.watched.iter().for_each(|lookout| lookout.end());
        knock(self.address);
        if !self.door.stop(share(4)) {
            self.calls.close(share(5)); // frees those who wait for an answer
        }
        if !self.entry.stop(share(7)) {
            log::info!("what is in hand is left to be sent again: the queues have no room for it");
        }
        self.force.trigger();
        self.keeper.stop(share(9));
        self.calls.close(deadline);
        self.listener.take();
        let ended = [&self.door, &self.entry, &self.keeper, &self.lookout].map(|threads| threads.stop(deadline));
        ended == [true; 4]
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.listener.is_some() {
            self.end(Instant::now() + DROPPED);
        }
    }
}

#[cfg(test)]
mod tests;
