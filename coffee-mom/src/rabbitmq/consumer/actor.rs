//! The thread of a consumer: attaches it on one link after the other, until it is asked to end or
//! there is nothing to attach to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};

use crate::broker::{AttachError, ConnectionError};
use crate::consumer::ConsumerEnd;
use crate::event::Event;
use crate::rabbitmq::answer;
use crate::rabbitmq::backoff::Backoff;
use crate::rabbitmq::desk::{self, CALL_LIMIT, LOCK_LIMIT};
use crate::rabbitmq::failure::Failure;
use crate::rabbitmq::line::{Line, Live, Status};

use super::attachment::{Attachment, Terms};
use super::intake::Intake;
use super::refusal::{Outlook, outlook};
use super::shared::{Shared, Wish};
use super::subscription::Cause;

/// Bounds of the pauses between attempts on one link.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];

/// The result of the first attempt.
pub(super) type Attached = Sender<Result<(), AttachError>>;

pub(super) struct Actor {
    terms: Terms,
    line: Arc<Line>,
    line_changed: Receiver<()>,
    woken: Receiver<()>,
    shared: Arc<Shared>,
    intake: Intake,
    /// Whom to tell about the first attempt, until it is told.
    attached: Option<Attached>,
    backoff: Backoff,
    /// The last attachment had no delivery.
    fruitless: bool,
    refused_since: Option<Instant>,
    /// The epoch of the line's link that is of no more use.
    spent: Option<u64>,
}

impl Actor {
    pub(super) fn new(terms: Terms, line: Arc<Line>, woken: Receiver<()>, intake: Intake, attached: Attached) -> Self {
        let [min, max] = PAUSES;
        Self {
            terms,
            line_changed: line.watch(),
            line,
            woken,
            shared: intake.shared.clone(),
            intake,
            attached: Some(attached),
            backoff: Backoff::new(min, max),
            fruitless: false,
            refused_since: None,
            spent: None,
        }
    }

    pub(super) fn run(mut self) {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        self.shared.finish(end);
        log::debug!("the consumer of {} ended: {end}", self.terms.queue);
    }

    /// One attachment. Err: there is to be no other.
    fn turn(&mut self) -> Result<(), ConsumerEnd> {
        let live = self.await_link()?;
        match self.attach(&live) {
            (Cause::Asked(end), _) => Err(end),
            (cause, fruitful) => {
                self.shared.renew();
                self.recover(cause, fruitful, &live)
            }
        }
    }

    fn await_link(&mut self) -> Result<Live, ConsumerEnd> {
        loop {
            if let Wish::End(end) = self.shared.wish() {
                return Err(end);
            }
            match self.line.status() {
                Status::Up(live) if self.spent != Some(live.epoch) => return Ok(live),
                Status::Closed => {
                    self.tell(Err(ConnectionError::Closed.into()));
                    return Err(ConsumerEnd::ConnectionClosed);
                }
                Status::Up(_) | Status::Away => {}
            }
            select! {
                recv(self.line_changed) -> _ => {}
                recv(self.woken) -> _ => {}
            }
        }
    }

    fn attach(&mut self, live: &Live) -> (Cause, bool) {
        let channel = match live.link.open_channel(Instant::now() + CALL_LIMIT) {
            Ok(channel) => channel,
            Err(failure) => return (Cause::not_attached(failure), false),
        };
        let attached = &mut self.attached;
        let refused_since = &mut self.refused_since;
        let attachment = Attachment::new(&self.terms, &live.link, &channel, &self.woken, &mut self.intake);
        let over = attachment.run(&mut || {
            *refused_since = None;
            tell(attached, Ok(()));
        });
        desk::discard(&live.link, channel);
        over
    }

    /// Gets ready for the next attachment. Err: there is to be none.
    fn recover(&mut self, cause: Cause, fruitful: bool, live: &Live) -> Result<(), ConsumerEnd> {
        match cause {
            Cause::Asked(end) => return Err(end),
            Cause::Refused(refusal) => return self.refused(refusal),
            Cause::Lost(failure @ Failure::ChannelClosed { .. }) => {
                log::warn!("the channel of a consumer of {} was closed: {failure}", self.terms.queue);
                self.intake.hub.emit(Event::ConsumerCancelled(self.terms.queue.clone()));
            }
            Cause::Lost(failure) => {
                log::debug!("the link of a consumer of {} was lost: {failure}", self.terms.queue);
                if live.link.is_alive() {
                    self.line.give_up(live.epoch, failure);
                }
                self.spent = Some(live.epoch);
                return Ok(());
            }
            Cause::Cancelled => self.intake.hub.emit(Event::ConsumerCancelled(self.terms.queue.clone())),
        }
        if fruitful {
            self.backoff.reset();
        } else if self.fruitless {
            self.rest();
        }
        self.fruitless = !fruitful;
        Ok(())
    }

    /// A first attempt is refused at once; later ones, when it looks final.
    fn refused(&mut self, refusal: Failure) -> Result<(), ConsumerEnd> {
        if self.attached.is_some() {
            self.tell(Err(answer::attach(refusal, &self.terms.queue)));
            return Err(ConsumerEnd::Refused);
        }
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        match outlook(&refusal) {
            Outlook::MayPass if since.elapsed() < LOCK_LIMIT => {
                self.rest();
                return Ok(());
            }
            Outlook::QueueGone => return Err(ConsumerEnd::QueueDeleted),
            Outlook::MayPass | Outlook::Final => {}
        }
        log::warn!("{} can't be consumed again: {refusal}", self.terms.queue);
        Err(ConsumerEnd::Refused)
    }

    /// Pauses, but not once it is asked to end.
    fn rest(&mut self) {
        let until = Instant::now() + self.backoff.next_pause();
        while !matches!(self.shared.wish(), Wish::End(_)) && self.woken.recv_deadline(until).is_ok() {}
    }

    fn tell(&mut self, result: Result<(), AttachError>) {
        tell(&mut self.attached, result);
    }
}

fn tell(attached: &mut Option<Attached>, result: Result<(), AttachError>) {
    if let Some(attached) = attached.take() {
        // Whoever attaches may have given up.
        drop(attached.try_send(result));
    }
}

impl Drop for Actor {
    /// Even if it panicked, the deliveries don't end without a reason.
    fn drop(&mut self) {
        self.shared.finish(ConsumerEnd::ConnectionClosed);
    }
}
