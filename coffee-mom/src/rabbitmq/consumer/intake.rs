//! The way from the broker to the owner: converts, numbers and hands over, and gives back no message
//! more often than its queue wants.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::consumer::Delivery;
use crate::rabbitmq::failure::Failure;
use crate::rabbitmq::hub::Hub;

use super::courier::Courier;
use super::ledger::Command;
use super::poison::{Requeues, Traced};
use super::shared::Shared;

/// What the broker waits for an answer about.
#[derive(Debug)]
pub(super) struct Held {
    /// What is left of it: what it is acked by.
    delivery: amiquip::Delivery,
    /// What it is counted by, if it is.
    traced: Option<Traced>,
}

/// All attachments of a consumer deliver into it.
pub(super) struct Intake {
    pub(super) shared: Arc<Shared>,
    pub(super) to_inbox: Sender<Delivery>,
    pub(super) hub: Arc<Hub>,
    pub(super) courier: Courier,
    /// Of queues for which the broker does not count.
    pub(super) requeues: Option<Requeues>,
}

impl Intake {
    /// Hands a delivery to the owner. Err: the broker does not keep to the prefetch.
    pub(super) fn accept(&mut self, mut delivery: amiquip::Delivery) -> Result<Held, Failure> {
        let Some(parcel) = self.courier.take(&mut delivery) else {
            log::warn!("a delivery without a valid route is dead-lettered");
            self.shared.refuse();
            return Ok(Held { delivery, traced: None });
        };
        let traced = self.requeues.is_some().then(|| Traced {
            message: parcel.message.clone(),
            route: parcel.route.clone(),
            redelivered: parcel.redelivered,
        });
        if let Some(tag) = self.shared.deliver() {
            let delivery =
                Delivery { message: parcel.message, tag, redelivered: parcel.redelivered, route: parcel.route };
            // Never full while the broker keeps to the prefetch, as all in it is unacked.
            let handed_over = self.to_inbox.try_send(delivery);
            handed_over.map_err(|_| Failure::Protocol("more deliveries than the prefetch".into()))?;
        }
        Ok(Held { delivery, traced })
    }

    /// Tells the broker.
    pub(super) fn send(&mut self, command: Command<Held>, channel: &amiquip::Channel) -> amiquip::Result<()> {
        match command {
            Command::Ack(held) => self.forget(held).ack(channel),
            Command::AckThrough(held) => self.forget(held).ack_multiple(channel),
            Command::Covered(held) => {
                self.forget(held);
                Ok(())
            }
            Command::DeadLetter(held) => self.forget(held).nack(channel, false),
            Command::Requeue(held) => {
                let may_requeue = self.may_requeue(&held);
                held.delivery.nack(channel, may_requeue)
            }
        }
    }

    fn forget(&mut self, held: Held) -> amiquip::Delivery {
        if let (Some(requeues), Some(traced)) = (&mut self.requeues, &held.traced) {
            requeues.forget(traced);
        }
        held.delivery
    }

    fn may_requeue(&mut self, held: &Held) -> bool {
        match (&mut self.requeues, &held.traced) {
            (Some(requeues), Some(traced)) => requeues.may_requeue(traced),
            _ => true,
        }
    }

    /// Adds to the counts of the connection.
    pub(super) fn report(&mut self) {
        self.courier.report(&self.hub);
    }
}
