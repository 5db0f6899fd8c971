//! The meeting of a group: everybody says that it has come, and greets whoever comes later.
//!
//! Each member binds a queue of its own before it says hello to the group. So of any two members, the
//! later one is heard by the earlier, and the earlier one's welcome reaches the later: both know of
//! both, whatever the order, and nobody has to lead.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::broker::Broker;
use crate::consumer::{Consumer, ConsumerOptions};
use crate::message::{Message, Properties};
use crate::name::Name;
use crate::producer::{Outcome, Producer, ProducerOptions};
use crate::route::Route;
use crate::topology::{Binding, DeleteOptions, ExchangeKind, ExchangeSpec, QueueSpec};

use super::{BarrierError, SendError};

/// The exchange of all meetings; the group's name is the routing key.
const EXCHANGE: &str = "coffee.barrier";

/// Says to the group that a member has come, and asks who else has.
const HELLO: &[u8] = b"hello";

/// Says to one member that another has come.
const WELCOME: &[u8] = b"welcome";

/// How long a member waits before it says hello again: what was said while a connection was lost may
/// be gone.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the queue of a meeting may still be deleted when the deadline has passed.
const DELETE_GRACE: Duration = Duration::from_secs(1);

/// Waits until that many members of the group have called it.
pub(super) fn meet(broker: &dyn Broker, group: &Name, members: usize, deadline: Instant) -> Result<(), BarrierError> {
    broker.declare_exchange(&ExchangeSpec::new(exchange(), ExchangeKind::Direct), deadline)?;
    let own = broker.declare_queue(&QueueSpec::anonymous(), deadline)?;
    let result = meet_at(broker, &own, group, members, deadline);
    let deletion = deadline.max(Instant::now() + DELETE_GRACE);
    if let Err(error) = broker.delete_queue(&own, DeleteOptions::default(), deletion) {
        log::debug!("the queue of a meeting is left to its connection: {error}");
    }
    result
}

/// Meets the others by a queue of its own.
fn meet_at(
    broker: &dyn Broker,
    own: &Name,
    group: &Name,
    members: usize,
    deadline: Instant,
) -> Result<(), BarrierError> {
    let exchange = exchange();
    broker.bind(own, &exchange, &Binding::Key(group.clone().into()), deadline)?;
    let mut consumer = broker.consumer(own, ConsumerOptions::default(), deadline)?;
    let mut meeting = Meeting {
        producer: broker.producer(ProducerOptions::default().mandatory(false))?,
        own: own.clone(),
        group: Route::exchange(&exchange, group.clone().into()),
        come: HashSet::from([own.clone()]),
    };
    meeting.wait(consumer.as_mut(), members, deadline)
}

fn exchange() -> Name {
    #[expect(clippy::expect_used, reason = "the text is a short one")]
    Name::new(EXCHANGE).expect("a valid name")
}

/// A member is known by its queue, which nobody else has.
struct Meeting {
    producer: Box<dyn Producer>,
    own: Name,
    group: Route,
    come: HashSet<Name>,
}

impl Meeting {
    fn wait(&mut self, consumer: &mut dyn Consumer, members: usize, deadline: Instant) -> Result<(), BarrierError> {
        let mut again = Instant::now();
        while self.come.len() < members {
            let now = Instant::now();
            if now >= again {
                say(self.producer.as_mut(), &self.group, HELLO, &self.own, deadline)?;
                again = now + AGAIN;
            }
            match consumer.deliveries().recv_deadline(deadline.min(again)) {
                Ok(delivery) => {
                    self.hear(&delivery.message, deadline)?;
                    if let Err(error) = consumer.ack(delivery.tag) {
                        // It comes again, and says nothing new then.
                        log::debug!("a greeting was not acked: {error}");
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(BarrierError::Deadline { arrived: self.come.len(), members });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(BarrierError::Closed),
            }
        }
        Ok(())
    }

    fn hear(&mut self, message: &Message, deadline: Instant) -> Result<(), BarrierError> {
        let Some(member) = message.properties().message_id.as_deref().and_then(|id| Name::new(id).ok()) else {
            return Ok(());
        };
        if message.body == HELLO && member != self.own {
            say(self.producer.as_mut(), &Route::queue(&member), WELCOME, &self.own, deadline)?;
        }
        self.come.insert(member);
        Ok(())
    }
}

/// Ok also if nobody is there to hear it: a member that has gone has met the others.
fn say(
    producer: &mut dyn Producer,
    to: &Route,
    what: &'static [u8],
    own: &Name,
    deadline: Instant,
) -> Result<(), BarrierError> {
    let message = Message::new(what).with(Properties::default().message_id(own.as_str()));
    producer.publish(to, message, deadline).map_err(SendError::from)?;
    let settled = producer.settled().recv_deadline(deadline).map_err(|_| SendError::Unknown)?;
    match settled.outcome {
        Outcome::Confirmed | Outcome::Returned => Ok(()),
        Outcome::Nacked => Err(SendError::Nacked.into()),
        Outcome::Refused(refusal) => Err(SendError::from(refusal).into()),
        Outcome::Unknown => Err(SendError::Unknown.into()),
    }
}
