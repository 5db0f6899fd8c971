//! How publishers keep queues bounded that the broker does not bound: they look how full a queue is, and publish no more
//! before they look again than a share of the room that they saw.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use coffee_core::plan::Target;
use coffee_mom::Name;

use super::links::Gauge;

/// The part of the room that one publisher may fill before it looks again: so all of them together, each having seen the same
/// room, fill little more than there is.
const SHARE: usize = 8;

/// How long the broker may take to tell.
const PATIENCE: Duration = Duration::from_millis(200);

/// The pauses before it is looked again whether there is room: doubled each time that there is none.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What one publisher may publish.
#[derive(Debug)]
pub(super) struct Credit {
    gauge: Gauge,
    queues: HashMap<Target, Account>,
}

#[derive(Debug)]
struct Account {
    left: usize,
    pause: Duration,
    /// Not looked again before.
    again: Instant,
}

impl Credit {
    pub fn new(gauge: Gauge) -> Self {
        Credit { gauge, queues: HashMap::new() }
    }

    /// Takes room for one frame. Blocks while the broker is asked.
    ///
    /// # Errors
    /// How long to wait before it is asked again: there is no room, or the broker does not tell.
    pub fn take(&mut self, target: Target, queue: &Name) -> Result<(), Duration> {
        let new = || Account { left: 0, pause: FIRST_PAUSE, again: Instant::now() };
        let account = self.queues.entry(target).or_insert_with(new);
        if account.left == 0 {
            let now = Instant::now();
            if now < account.again {
                return Err(account.again - now);
            }
            let waiting = self.gauge.waiting(queue, now + PATIENCE);
            let room = waiting.map_or(0, |waiting| self.gauge.frames.saturating_sub(waiting));
            if room == 0 {
                let pause = account.pause;
                account.again = Instant::now() + pause;
                account.pause = (pause * 2).min(LONGEST_PAUSE);
                return Err(pause);
            }
            account.left = room.div_ceil(SHARE);
            account.pause = FIRST_PAUSE;
        }
        account.left -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroU16};

    use coffee_core::node::PublishId;
    use coffee_mom::{
        ConsumerOptions, QueueKind, open,
        testing::rabbitmq::{OwnBroker, OwnOptions},
    };

    use super::*;
    use crate::{
        Stop,
        results::{stages, testing::topology},
        runner::{Links, Sender},
    };

    const FRAMES: usize = 4;

    /// Far enough away that only a hang reaches it.
    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_full_queue_outlasts_a_restart_of_its_broker_with_all_that_was_delivered() {
        let mut own = OwnBroker::start(OwnOptions::default()).unwrap();
        let broker = open(&own.url(), soon()).unwrap();
        let topology = topology();
        let links = Links::declare_lasting(&broker, &topology, "lasting", QueueKind::Classic, FRAMES).unwrap();
        let target = Target::Stage { stage: stages(&topology)[0], shard: 0 };
        let queue = links.queue(target).unwrap().clone();
        let options = ConsumerOptions::default().prefetch(NonZeroU16::new(3).unwrap());
        let mut consumer = broker.consumer(&queue, options, soon()).unwrap();
        let mut sender = Sender::new(&*broker, links.clone(), Stop::new()).unwrap();
        let sent: BTreeSet<u8> = (0..7).collect();
        for number in &sent {
            sender.publish(PublishId((*number).into()), target, vec![*number].into()).unwrap();
        }
        let mut confirmed = 0;
        while confirmed < sent.len() {
            assert!(sender.wait(Duration::from_secs(30)).unwrap());
            while sender.confirmed().unwrap().is_some() {
                confirmed += 1;
            }
        }
        let mut credit = Credit::new(links.gauge().unwrap().clone());
        assert!(credit.take(target, &queue).is_err(), "four wait, three are with the consumer");

        own.restart().unwrap();
        let mut seen = BTreeSet::new();
        while seen != sent {
            let delivery = consumer.deliveries().recv_deadline(soon()).unwrap();
            seen.insert(delivery.message.body[0]);
            let _ = consumer.ack(delivery.tag); // one from before the restart comes again
        }
        while credit.take(target, &queue).is_err() {
            std::thread::sleep(FIRST_PAUSE);
        }
        broker.close(soon()).unwrap();
    }
}
