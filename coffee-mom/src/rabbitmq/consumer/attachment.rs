//! A consumer on one channel, from its opening to its loss: deliveries in, answers out, the owner's
//! wishes in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use amiquip::{Channel, ConsumerMessage};
use crossbeam_channel::{Receiver, TryRecvError, never, select};

use crate::name::Name;
use crate::rabbitmq::desk::CALL_LIMIT;
use crate::rabbitmq::failure::{Failure, Loss};
use crate::rabbitmq::link::Link;

use super::acks::Settlement;
use super::intake::{Held, Intake};
use super::ledger::Ledger;
use super::shared::Wish;
use super::subscription::{Cause, Subscription, open};

/// Most deliveries that are taken before the owner's answers are looked at again.
const ROUND: usize = 64;

/// Longest wait of an answer that was not worth waking the actor for.
const PULSE: Duration = Duration::from_millis(50);

/// Longest wait while the broker waits for nothing; whatever happens ends it earlier.
const IDLE: Duration = Duration::from_secs(3600);

/// What to consume, and how.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) queue: Name,
    pub(super) prefetch: u16,
    pub(super) exclusive: bool,
    /// Whether requeued messages keep their place in the queue.
    pub(super) keeps_place: bool,
}

pub(super) struct Attachment<'a> {
    terms: &'a Terms,
    link: &'a Link,
    channel: &'a Channel,
    woken: &'a Receiver<()>,
    intake: &'a mut Intake,
    ledger: Ledger<Held>,
    /// Beyond the prefetch: a quorum queue delivers again what is given back without counting it. The
    /// owner gets them when the others are answered.
    surplus: VecDeque<amiquip::Delivery>,
    subscription: Option<Subscription<'a>>,
    /// Nothing has come or been answered for a pulse.
    owner_waits: bool,
    /// Empty between calls; kept for its space.
    settlements: Vec<Settlement>,
    silence: Receiver<ConsumerMessage>,
}

impl<'a> Attachment<'a> {
    pub(super) fn new(
        terms: &'a Terms,
        link: &'a Link,
        channel: &'a Channel,
        woken: &'a Receiver<()>,
        intake: &'a mut Intake,
    ) -> Self {
        let ledger = Ledger::new(terms.prefetch.into());
        let (subscription, settlements, silence) = (None, Vec::new(), never());
        let (surplus, owner_waits) = (VecDeque::new(), false);
        Self { terms, link, channel, woken, intake, ledger, surplus, subscription, owner_waits, settlements, silence }
    }

    /// Works until it is over, and calls `attached` each time that it has begun to consume. Tells why
    /// it is over, and whether there was a delivery.
    pub(super) fn run(mut self, attached: &mut dyn FnMut()) -> (Cause, bool) {
        let cause = loop {
            if let Err(cause) = self.step(attached) {
                break cause;
            }
        };
        if let Err(later) = self.leave() {
            log::trace!("after {cause:?}: {later:?}");
        }
        self.intake.report();
        (cause, self.ledger.next_number() > 0)
    }

    fn step(&mut self, attached: &mut dyn FnMut()) -> Result<(), Cause> {
        // Whatever stops the flow comes before the answers: the broker sends more for each of them.
        match self.intake.shared.look(&mut self.settlements) {
            Wish::Flow => {
                self.answer()?;
                self.flow(attached)?;
            }
            Wish::Pause => {
                let halted = self.halt();
                self.answer_after(halted)?;
            }
            Wish::Resume => {
                let halted = self.halt();
                self.answer_after(halted)?;
                self.flow(attached)?;
            }
            Wish::End(end) => {
                let left = self.leave();
                self.answer_after(left)?;
                self.give_back()?;
                return Err(Cause::Asked(end));
            }
        }
        if self.take_arrivals()? { self.wait() } else { Ok(()) }
    }

    /// Sends the settlements when the subscription has been stopped: also when the broker has taken it off
    /// the queue before, as the channel is as good as ever.
    fn answer_after(&mut self, stopped: Result<(), Cause>) -> Result<(), Cause> {
        if !matches!(stopped, Err(Cause::Lost(_))) {
            self.answer()?;
        }
        stopped
    }

    /// Sends the settlements; what was beyond the prefetch may be within it then.
    fn answer(&mut self) -> Result<(), Cause> {
        if self.settlements.is_empty() {
            return Ok(());
        }
        self.owner_waits = false;
        let (ledger, intake, channel) = (&mut self.ledger, &mut *self.intake, self.channel);
        let settlements = self.settlements.drain(..);
        let answered = self
            .link
            .call(Instant::now() + CALL_LIMIT, || ledger.answer(settlements, |command| intake.send(command, channel)));
        answered?;
        self.accept_surplus()
    }

    /// Requeues what has no answer. The end of the channel would do so too, but for a channel without
    /// a consumer the broker does it after it has agreed to the end, and others could overtake.
    fn give_back(&self) -> Result<(), Cause> {
        if self.terms.keeps_place {
            self.link.call(Instant::now() + CALL_LIMIT, || self.channel.nack_all(true))?;
        }
        Ok(())
    }

    /// Consumes, by a limit that leaves room for what is unanswered from before: the broker counts
    /// for each subscription anew.
    fn flow(&mut self, attached: &mut dyn FnMut()) -> Result<(), Cause> {
        let Terms { queue, prefetch, exclusive, .. } = self.terms;
        if self.subscription.as_ref().is_some_and(|now| self.is_narrow(now)) {
            self.halt()?;
        }
        let room = prefetch.saturating_sub(self.unanswered());
        if self.subscription.is_none() && room > 0 {
            let first = self.ledger.next_number();
            let started = Subscription::start(self.link, self.channel, queue, *exclusive, room, first)?;
            self.subscription = Some(started);
            attached();
        }
        Ok(())
    }

    /// Whether there should be a new subscription, for its limit: the earlier deliveries that this one's
    /// leaves room for are answered; or the owner, who has answered nothing for a while, waits for what
    /// this one holds back.
    fn is_narrow(&self, now: &Subscription<'_>) -> bool {
        let Subscription { limit, first, .. } = *now;
        if limit >= self.terms.prefetch {
            return false;
        }
        let wide_again = self.ledger.first_number().is_none_or(|number| number >= first);
        let holds_back = || self.unanswered() < self.terms.prefetch && self.ledger.count_from(first) >= limit.into();
        // An exclusive consumer could lose its place meanwhile.
        let waits = self.owner_waits && !self.terms.exclusive && self.intake.shared.inbox().is_empty();
        (wide_again && limit < self.terms.prefetch.div_ceil(2)) || (waits && holds_back())
    }

    fn unanswered(&self) -> u16 {
        u16::try_from(self.ledger.len() + self.surplus.len()).unwrap_or(u16::MAX)
    }

    /// Stops consuming; what arrives until then goes back to the broker with all that has no answer.
    fn leave(&mut self) -> Result<(), Cause> {
        self.subscription.take().map_or(Ok(()), |subscription| subscription.end(self.link, drop))
    }

    /// Stops consuming; what came before goes to the owner.
    fn halt(&mut self) -> Result<(), Cause> {
        let Some(subscription) = self.subscription.take() else {
            return Ok(());
        };
        let mut arrived = Vec::new();
        subscription.end(self.link, |delivery| arrived.push(delivery))?;
        arrived.into_iter().try_for_each(|delivery| self.accept(delivery))
    }

    fn accept(&mut self, delivery: amiquip::Delivery) -> Result<(), Cause> {
        if self.ledger.len() >= usize::from(self.terms.prefetch) {
            self.surplus.push_back(delivery);
            return Ok(());
        }
        self.hand_over(delivery)
    }

    /// Hands over what there is room for now.
    fn accept_surplus(&mut self) -> Result<(), Cause> {
        while self.ledger.len() < usize::from(self.terms.prefetch)
            && let Some(delivery) = self.surplus.pop_front()
        {
            self.hand_over(delivery)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, delivery: amiquip::Delivery) -> Result<(), Cause> {
        self.owner_waits = false;
        let held = self.intake.accept(delivery)?;
        self.ledger.push(held);
        Ok(())
    }

    /// Takes what has arrived, but not for ever; true if that is all.
    fn take_arrivals(&mut self) -> Result<bool, Cause> {
        for _ in 0..ROUND {
            let message = match self.arrivals().try_recv() {
                Ok(message) => Ok(message),
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Disconnected) => Err(crossbeam_channel::RecvError),
            };
            self.accept(open(message)?)?;
        }
        Ok(false)
    }

    fn arrivals(&self) -> &Receiver<ConsumerMessage> {
        self.subscription.as_ref().map_or(&self.silence, Subscription::arrivals)
    }

    fn wait(&mut self) -> Result<(), Cause> {
        self.intake.report();
        let pulse = if self.ledger.len() > 0 { PULSE } else { IDLE };
        select! {
            recv(self.arrivals()) -> message => self.accept(open(message)?),
            recv(self.woken) -> _ => Ok(()),
            recv(self.link.ended()) -> _ => Err(Failure::Lost(Loss::Earlier).into()),
            default(pulse) => {
                self.owner_waits = true;
                Ok(())
            }
        }
    }
}
