//! Orders that an operator gives to one process of a cluster: told to all by a gateway, and obeyed by the life that they name. So they
//! reach a node wherever it runs, also while the query node hangs. An order for another life is nothing, and neither is one that comes
//! late: a broker or a link that was away may bring it long after whoever gave it was told that it has failed.

use std::{fmt, io, process, sync::Arc, time::Duration};

use coffee_mom::{Broker, Consumer};
use crossbeam_channel::select;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use crate::{
    Stop,
    cluster::{Names, again, listen_to},
    statistics::{NodeView, Sampler},
    threads::Threads,
};

/// The exit code of a process that was ordered to restart: no success, for those who start again what failed.
pub const RESTARTED: u8 = 4;

/// The exit code of a process that is ordered to end by SIGKILL and does not get it, as a shell would tell of one that did.
const KILLED: i32 = 128 + 9;

/// Before an order is obeyed: the gateway that gave it may be the one that it is for, and has answered by then.
const ANSWERED: Duration = Duration::from_millis(100);

/// An order is obeyed so long after it was given, and never later.
pub(crate) const OBEYED_WITHIN: Duration = Duration::from_secs(5);

/// What a process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// It ends at once by SIGKILL, as by a crash.
    Kill,
    /// It stops by SIGSTOP: it is there, and does nothing any more until it is replaced. Not obeyed by the first process of a container.
    Stop,
    /// Its links to the broker are cut, as by the network; they come back by themselves.
    Cut,
    /// It stops in order, to be started again by whoever runs it.
    Restart,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Kill => "kill",
            Order::Stop => "stop",
            Order::Cut => "cut off",
            Order::Restart => "restart",
        })
    }
}

/// An order, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderTo {
    /// The node's name.
    pub node: String,
    /// Which of its lives.
    pub life: u64,
    /// How old that life may be at most, in milliseconds: its own clock is the one that it shares with nobody.
    pub until_ms: u64,
    /// What it is to do.
    pub order: Order,
}

impl OrderTo {
    /// An order that is given now to a node that was heard so.
    pub fn new(node: &NodeView, order: Order) -> Self {
        let age = node.uptime_ms.saturating_add(node.silent_ms);
        let until_ms = age.saturating_add(OBEYED_WITHIN.as_millis() as u64);
        OrderTo { node: node.name().to_owned(), life: node.identity.life, until_ms, order }
    }

    /// Whether it is for that process, and in time.
    fn is_for(&self, me: &Sampler) -> bool {
        let identity = me.identity();
        (&self.node, self.life) == (&identity.name, identity.life) && me.uptime_ms() <= self.until_ms
    }
}

/// Hears orders on a thread, `orders`, and obeys them, until it is dropped.
#[derive(Debug)]
pub struct Orders {
    _threads: Threads,
}

impl Orders {
    /// Obeys from now on, as the node that is sampled: by signals to this process, through this broker, or by calling `restart`, on the thread. A
    /// broker that refuses is asked again.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        broker: &Arc<dyn Broker>,
        names: &Names,
        me: Sampler,
        restart: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (broker, names, threads) = (broker.clone(), names.clone(), Threads::default());
        threads.start("orders", move |stop| hear(&broker, &names, &me, &restart, stop))?;
        Ok(Orders { _threads: threads })
    }
}

fn hear(broker: &Arc<dyn Broker>, names: &Names, me: &Sampler, restart: &impl Fn(), stop: &Stop) {
    let listen = || listen_to(&**broker, &names.orders()?);
    again("no orders are heard", stop, listen, |consumer| hear_by(consumer, broker, me, restart, stop));
}

/// Until the queue or the broker is gone.
fn hear_by(mut consumer: Box<dyn Consumer>, broker: &Arc<dyn Broker>, me: &Sampler, restart: &impl Fn(), stop: &Stop) {
    loop {
        let delivery = select! {
            recv(consumer.deliveries()) -> delivery => delivery,
            recv(stop.receiver()) -> _ => return,
        };
        let Ok(delivery) = delivery else { return };
        // Before it is obeyed: one that was lost is given again, one that is heard twice was not wanted twice.
        let _ = consumer.ack(delivery.tag);
        if let Some(order) =
            postcard::from_bytes(&delivery.message.body).ok().filter(|order: &OrderTo| order.is_for(me))
        {
            log::warn!("{} was ordered by an operator: {}", order.node, order.order);
            stop.wait(ANSWERED);
            obey(order.order, &**broker, restart);
        }
    }
}

fn obey(order: Order, broker: &dyn Broker, restart: &impl Fn()) {
    let signalled = match order {
        Order::Kill => {
            let _ = kill_process(getpid(), Signal::KILL);
            // Only the first process of a container gets here: the system keeps it from its own signals.
            process::exit(KILLED)
        }
        Order::Stop => kill_process(getpid(), Signal::STOP),
        Order::Cut => {
            broker.cut();
            Ok(())
        }
        Order::Restart => {
            restart();
            Ok(())
        }
    };
    if let Err(error) = signalled {
        log::warn!("the order can't be obeyed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use coffee_mom::MemoryBroker;
    use crossbeam_channel::bounded;

    use super::*;
    use crate::{
        cluster::{ClusterNode, Teller},
        statistics::{Board, Identity, Statistics},
    };

    #[test]
    fn only_the_life_that_an_order_names_obeys_and_in_time() {
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
        let names = Names::new("ordered").unwrap();
        let identity = Identity::of(&ClusterNode::Results, 7);
        let me = Sampler::new(broker.clone(), identity, Statistics::default());
        let (mut board, now) = (Board::default(), Instant::now());
        board.note(me.sample(), now);
        let restarts = OrderTo::new(&board.nodes(now)[0], Order::Restart);
        let kills = OrderTo { order: Order::Kill, ..restarts.clone() };
        let (restart, restarted) = bounded(1);
        while me.uptime_ms() == 0 {
            thread::yield_now();
        }
        let _orders = Orders::start(&broker, &names, me, move || {
            let _ = restart.try_send(());
        })
        .unwrap();
        let mut teller = Teller::new(&*broker, &names.orders().unwrap()).unwrap();
        let mut tell = |order: &OrderTo| {
            while teller.settled().try_recv().is_ok() {}
            teller.tell(order, Duration::from_secs(5));
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        // It may listen only after the first of them; one for another life, or one that is late, would end this process.
        while restarted.is_empty() {
            assert!(Instant::now() < deadline);
            tell(&OrderTo { life: 8, ..kills.clone() });
            tell(&OrderTo { node: "query-node".into(), ..kills.clone() });
            tell(&OrderTo { until_ms: 0, ..kills.clone() });
            tell(&restarts);
            thread::yield_now();
        }
    }
}
