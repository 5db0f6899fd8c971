//! Publishing over one channel: sends what is handed over, and takes the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amiquip::{Channel, Confirm, Publish, Return};
use crossbeam_channel::{Receiver, at, never, select};

use super::super::super::convert;
use super::super::super::desk::CALL_LIMIT;
use super::super::super::failure::{Failure, Loss};
use super::super::super::line::Status;
use super::super::super::link::Link;
use super::super::ledger::Pending;
use super::Actor;

/// How long one try to get a message into a full socket takes, before the actor looks around.
const TRY: Duration = Duration::from_millis(10);

/// Messages that are sent before the actor looks around.
const BATCH: usize = 64;

/// The largest body that fits into one frame, of the size that brokers use unless told otherwise.
const FRAME_BODY: usize = 131_072 - 8;

/// A channel and what comes from it.
pub(super) struct Sending<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) channel: &'a Channel,
    pub(super) confirms: &'a Receiver<Confirm>,
    pub(super) returns: &'a Receiver<Return>,
}

impl Actor {
    /// Ok: everything is done, or it is time. Err: the channel was lost, or closed by the broker.
    pub(super) fn serve(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        loop {
            self.send_batch(sending)?;
            if self.is_done() {
                return Ok(());
            }
            // While something waits for the socket, nothing is waited for here: sending it does.
            let full = !self.first.is_empty() && !self.is_held();
            let nothing = never();
            let intake = if self.first.is_empty() && !self.dropped { &self.intake } else { &nothing };
            let patience = if full { at(Instant::now()) } else { self.patience() };
            select! {
                recv(intake) -> pending => match pending {
                    Ok(pending) => self.accept(pending),
                    Err(_) => self.dropped = true,
                },
                recv(sending.confirms) -> confirm => match confirm {
                    Ok(confirm) => self.answered(sending, confirm),
                    Err(_) => return Err(cause(sending)),
                },
                recv(sending.link.ended()) -> _ => return Err(cause(sending)),
                recv(self.changed) -> _ => {
                    self.gate.look_again();
                    if matches!(self.line.status(), Status::Closed) {
                        return Ok(());
                    }
                }
                recv(self.woken) -> _ => {}
                recv(patience) -> _ => {}
            }
        }
    }

    fn accept(&mut self, pending: Pending) {
        self.first.push_back(pending);
        let room = BATCH - self.first.len().min(BATCH);
        self.first.extend(self.intake.try_iter().take(room));
    }

    /// Whether the next one has to wait for the answer to the last: so the one that the broker closes
    /// a channel over is known.
    fn is_held(&self) -> bool {
        self.suspects > 0 && self.ledger.waiting() > 0
    }

    /// Sends what waits, as far as the socket takes it soon.
    fn send_batch(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        for _ in 0..BATCH {
            let Some(pending) = self.first.front() else {
                return Ok(());
            };
            let bytes = wire_bytes(pending);
            if self.is_held() || !sending.link.flow().admit(bytes, Instant::now() + TRY) {
                return Ok(());
            }
            let Some(pending) = self.first.pop_front() else {
                return Ok(());
            };
            // Not under the link's guard, as it never blocks: the I/O thread takes all it is given.
            let result = self.send(sending.channel, &pending);
            self.ledger.sent(pending);
            result.map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Always mandatory: what is dropped for want of a queue is to be counted at least.
    fn send(&self, channel: &Channel, pending: &Pending) -> amiquip::Result<()> {
        let exchange = pending.route.to_exchange().map_or("", |exchange| exchange.as_str());
        let publish = Publish {
            body: &pending.message.body,
            routing_key: pending.route.key().as_str().to_owned(),
            mandatory: true,
            immediate: false,
            properties: convert::to_amqp(pending.message.properties(), self.persistent, pending.replayed),
        };
        channel.basic_publish(exchange, publish)
    }

    /// Takes an answer and all that have come with it; returned messages come before their answer.
    pub(super) fn answered(&mut self, sending: &Sending<'_>, confirm: Confirm) {
        self.backoff.reset();
        let mut next = Some(confirm);
        while let Some(confirm) = next {
            sending.returns.try_iter().for_each(|returned| self.ledger.returned(&returned));
            self.ledger.answered(confirm);
            next = sending.confirms.try_recv().ok();
        }
        self.tell_ends();
    }
}

/// Why nothing comes any more: asking the channel tells.
fn cause(sending: &Sending<'_>) -> Failure {
    let asked = sending.link.call(Instant::now() + CALL_LIMIT, || sending.channel.enable_publisher_confirms_nowait());
    asked.err().unwrap_or(Failure::Lost(Loss::Earlier))
}

/// The bytes of a publish on the wire: its three kinds of frames, as AMQP 0-9-1 has them.
fn wire_bytes(pending: &Pending) -> u64 {
    let name = pending.route.to_exchange().map_or(0, |exchange| exchange.as_str().len());
    let method = 17 + name + pending.route.key().as_str().len();
    let header = 23 + pending.message.properties().wire_size();
    let body = pending.message.body.len();
    let bodies = body + 8 * body.div_ceil(FRAME_BODY);
    (method + header + bodies) as u64
}
