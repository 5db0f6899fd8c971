//! A producer that holds messages and settlements back, and sends some twice.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::message::Message;
use crate::producer::{Outcome, Producer, ProducerOptions, PublishError, PublishId, Refusal, Settled};
use crate::random::Random;
use crate::route::Route;

use super::plan::{Fault, FaultPlan};
use super::shared::{Shared, Step};

/// Most publishes that one producer holds back.
const MOST_HELD: usize = 16;

/// A publish on its way: held back, or answered and the answer held back.
#[derive(Clone)]
struct Parcel {
    id: u64,
    to: Route,
    message: Message,
}

pub(super) struct FaultyProducer {
    max_body_bytes: usize,
    settled: Receiver<Settled>,
    /// Shared with `settled`, which lets go what is held back.
    line: RefCell<Line>,
}

struct Line {
    shared: Arc<Shared>,
    inner: Box<dyn Producer>,
    next: u64,
    /// Publishes that the inner producer has not got yet, in order.
    held: VecDeque<Parcel>,
    /// Publishes that it has not answered, by its number for them.
    asked: HashMap<u64, Parcel>,
    /// Answers that are held back.
    answered: Vec<(Parcel, Outcome)>,
    window: usize,
    /// Has room for a settlement a publish of the window.
    to_owner: Sender<Settled>,
    /// Losses of the connection that were dealt with.
    losses: u64,
}

impl FaultyProducer {
    pub(super) fn new(shared: Arc<Shared>, inner: Box<dyn Producer>, options: &ProducerOptions) -> Self {
        let window = options.window_messages.clamp(1, 65_536);
        let (to_owner, settled) = bounded(window);
        let line = Line {
            inner,
            next: 0,
            held: VecDeque::new(),
            asked: HashMap::new(),
            answered: Vec::new(),
            window,
            to_owner,
            losses: shared.losses(),
            shared,
        };
        Self { max_body_bytes: options.max_body_bytes, settled, line: RefCell::new(line) }
    }

    /// What would be refused later must not be held back.
    fn check(&self, message: &Message) -> Result<(), PublishError> {
        let (size, limit) = (message.body.len(), self.max_body_bytes);
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        Ok(message.check()?)
    }
}

impl Producer for FaultyProducer {
    fn publish(&mut self, to: &Route, message: Message, deadline: Instant) -> Result<PublishId, PublishError> {
        let step = self.line.get_mut().shared.step();
        if !self.line.get_mut().shared.begin_publish() {
            self.line.get_mut().forsake();
            return Err(PublishError::Closed);
        }
        let checked = self.check(&message);
        let line = self.line.get_mut();
        let published = checked.and_then(|()| line.publish(to, message, step, deadline));
        if published.is_err() {
            line.shared.end_publishes(1);
        }
        published
    }

    fn settled(&self) -> &Receiver<Settled> {
        let mut line = self.line.borrow_mut();
        if line.shared.is_closed() {
            line.forsake();
        } else if self.settled.is_empty() {
            let losses = line.shared.losses();
            line.notice(losses);
            let mut random = line.random();
            line.let_go(&mut random, 0);
        }
        &self.settled
    }
}

impl Line {
    fn publish(
        &mut self,
        to: &Route,
        message: Message,
        mut step: Step,
        deadline: Instant,
    ) -> Result<PublishId, PublishError> {
        self.notice(step.losses);
        if step.fault == Some(Fault::Fail) {
            return Err(PublishError::Blocked);
        }
        if self.is_full() {
            self.let_go(&mut step.random, 0);
            if self.is_full() {
                return Err(PublishError::SettlementsFull);
            }
        }
        let FaultPlan { duplicates, nacks, delays, .. } = self.shared.plan;
        let parcel = Parcel { id: self.next, to: to.clone(), message };
        let twice = step.random.hits(duplicates) || step.fault == Some(Fault::Disconnect) && step.random.coin();
        if step.random.hits(nacks) {
            self.answered.push((parcel, Outcome::Nacked));
        } else if self.held.len() < MOST_HELD && step.random.hits(delays) {
            self.held.push_back(parcel);
        } else {
            self.send_held(deadline);
            if !self.held.is_empty() {
                // Those before it did not get through, and it may not overtake them.
                return Err(PublishError::Blocked);
            }
            self.send(&parcel, twice, deadline)?;
        }
        let id = PublishId(self.next);
        self.next += 1;
        self.tell(&mut step.random, delays);
        Ok(id)
    }

    fn random(&self) -> Random {
        Random::of(self.shared.plan.seed, self.next)
    }

    /// Publishes that were taken from the owner, and are not settled.
    fn open(&self) -> usize {
        self.held.len() + self.asked.len() + self.answered.len()
    }

    fn is_full(&self) -> bool {
        self.open() + self.to_owner.len() >= self.window
    }

    /// Settles what is open when the connection is closed.
    fn forsake(&mut self) {
        self.answered.iter_mut().for_each(|(_, outcome)| *outcome = Outcome::Unknown);
        let lost = self.held.drain(..).chain(self.asked.drain().map(|(_, parcel)| parcel));
        self.answered.extend(lost.map(|parcel| (parcel, Outcome::Unknown)));
        let mut random = self.random();
        self.tell(&mut random, 0);
    }

    /// Sends a parcel and takes its answer, if it comes by the deadline.
    fn send(&mut self, parcel: &Parcel, twice: bool, deadline: Instant) -> Result<(), PublishError> {
        let PublishId(asked) = self.inner.publish(&parcel.to, parcel.message.clone(), deadline)?;
        self.asked.insert(asked, parcel.clone());
        if twice {
            self.replay(parcel, deadline);
        }
        while self.asked.contains_key(&asked) && self.hear(deadline) {}
        Ok(())
    }

    /// Sends it again; what becomes of that does not count.
    fn replay(&mut self, parcel: &Parcel, deadline: Instant) {
        if let Err(error) = self.inner.publish(&parcel.to, parcel.message.clone(), deadline) {
            log::debug!("a planned duplicate was not taken: {error}");
        }
    }

    /// Takes one settlement of the inner producer; false if there is none by the deadline.
    fn hear(&mut self, deadline: Instant) -> bool {
        // Waiting spins a while before it looks at the deadline, which mostly is now.
        let settled = self.inner.settled();
        let Ok(settled) = settled.try_recv().or_else(|_| match Instant::now() < deadline {
            true => settled.recv_deadline(deadline).map_err(drop),
            false => Err(()),
        }) else {
            return false;
        };
        for asked in settled.ids() {
            if let Some(parcel) = self.asked.remove(&asked) {
                self.answered.push((parcel, settled.outcome));
            }
        }
        true
    }

    /// Sends what is held back, in order, until something does not get through.
    fn send_held(&mut self, deadline: Instant) {
        while let Some(parcel) = self.held.pop_front() {
            match self.send(&parcel, false, deadline) {
                Ok(()) => {}
                Err(error) if error.is_back_pressure() => {
                    self.held.push_front(parcel);
                    return;
                }
                Err(error) => self.answered.push((parcel, outcome_of(&error))),
            }
        }
    }

    /// Sends again what has no answer, as far as its owner knows, if the connection was lost.
    fn notice(&mut self, losses: u64) {
        if self.losses == losses {
            return;
        }
        self.losses = losses;
        self.answered.sort_by_key(|(parcel, _)| parcel.id);
        let again = self.answered.iter().filter(|(_, outcome)| *outcome == Outcome::Confirmed);
        for parcel in again.map(|(parcel, _)| parcel.clone()).collect::<Vec<_>>() {
            self.replay(&parcel, Instant::now());
        }
    }

    fn let_go(&mut self, random: &mut Random, delays: u32) {
        self.send_held(Instant::now());
        while self.hear(Instant::now()) {}
        self.tell(random, delays);
    }

    /// Tells the owner what is known, in any order, but for what is to come late.
    fn tell(&mut self, random: &mut Random, delays: u32) {
        let mut late = Vec::new();
        while !self.answered.is_empty() {
            let (parcel, outcome) = self.answered.swap_remove(random.below(self.answered.len()));
            if random.hits(delays) {
                late.push((parcel, outcome));
                continue;
            }
            let id = PublishId(parcel.id);
            let sent = self.to_owner.try_send(Settled { first: id, last: id, outcome });
            self.shared.end_publishes(1);
            debug_assert!(sent.is_ok(), "publishing is refused while there is no room");
        }
        self.answered = late;
    }
}

impl Drop for FaultyProducer {
    /// What is held back gets through as far as the seed has it, in order.
    fn drop(&mut self) {
        let line = self.line.get_mut();
        line.shared.end_publishes(line.open());
        let mut random = line.random();
        let through = random.below(line.held.len() + 1);
        line.held.truncate(through);
        line.send_held(Instant::now());
    }
}

/// What becomes of a publish that was taken from its owner and is refused now.
fn outcome_of(error: &PublishError) -> Outcome {
    match error {
        PublishError::UnknownExchange(_) => Outcome::Refused(Refusal::UnknownExchange),
        PublishError::TooLarge { .. } => Outcome::Refused(Refusal::TooLarge),
        _ => Outcome::Unknown,
    }
}
