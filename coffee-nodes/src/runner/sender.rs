//! The publishing half of a transport: frames to any queue of a topology, and their confirmations. What a full queue
//! refuses is published again.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{node::PublishId, plan::Target};
use coffee_mom::{Broker, ConsumerEnd, Message, Outcome, Producer, ProducerOptions, Settled};
use crossbeam_channel::select;

use super::{Links, TransportError, credit::Credit};
use crate::{Pulse, Stop};

/// How long one attempt to publish waits for room, before it is looked whether to stop.
const ATTEMPT: Duration = Duration::from_millis(200);

/// The pauses before what was refused is published again: doubled with each refusal, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A frame on its way.
struct Sent {
    id: PublishId,
    to: Target,
    body: Bytes,
}

/// Publishes to the queues of a topology. One owner.
pub struct Sender {
    links: Links,
    producer: Box<dyn Producer>,
    /// Where publishers bound the queues.
    credit: Option<Credit>,
    stop: Stop,
    sent: HashMap<u64, Sent>,
    refused: VecDeque<Sent>,
    pause: Duration,
    /// When the refused ones are tried again.
    again: Instant,
    confirmed: VecDeque<PublishId>,
    /// Of the loop that owns it: what waits here looks around, and what comes here is a turn of it.
    pulse: Pulse,
}

impl Sender {
    /// Publishes to these queues.
    ///
    /// # Errors
    /// Where the broker is closed.
    pub fn new(broker: &dyn Broker, links: Links, stop: Stop) -> Result<Self, TransportError> {
        let producer = broker.producer(ProducerOptions::default())?;
        Ok(Sender {
            credit: links.gauge().cloned().map(Credit::new),
            links,
            producer,
            stop,
            sent: HashMap::new(),
            refused: VecDeque::new(),
            pause: FIRST_PAUSE,
            again: Instant::now(),
            confirmed: VecDeque::new(),
            pulse: Pulse::default(),
        })
    }

    /// Sets what beats while it is used.
    #[must_use]
    pub fn pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// Publishes a frame, waiting for room as long as it takes: also for what was refused before, so that no more than
    /// the producer's window waits here.
    ///
    /// # Errors
    /// Where asked to stop meanwhile, or the broker refuses for good.
    pub fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        let sent = Sent { id, to, body };
        while !self.refused.is_empty() {
            if self.stop.is_triggered() || !self.wait(ATTEMPT)? {
                return Err(TransportError::Stopped);
            }
        }
        while let Err(pause) = self.find_room(to)? {
            if self.stop.is_triggered() || !self.wait(pause)? {
                return Err(TransportError::Stopped);
            }
        }
        while !self.attempt(&sent)? {
            if self.stop.is_triggered() {
                return Err(TransportError::Stopped);
            }
        }
        Ok(())
    }

    /// Whether there is room for one frame more, or how long to wait before that is asked again.
    fn find_room(&mut self, to: Target) -> Result<Result<(), Duration>, TransportError> {
        let Some(credit) = &mut self.credit else { return Ok(Ok(())) };
        let queue = self.links.queue(to).ok_or(TransportError::NotConfirmed(Outcome::Returned))?;
        Ok(credit.take(to, queue))
    }

    /// Hands a frame to the broker; false where there was no room.
    fn attempt(&mut self, sent: &Sent) -> Result<bool, TransportError> {
        self.pulse.beat();
        self.settle()?;
        let Sent { id, to, ref body } = *sent;
        let Some(route) = self.links.route(to) else {
            return Err(TransportError::NotConfirmed(Outcome::Returned));
        };
        match self.producer.publish(route, Message::new(body.clone()), Instant::now() + ATTEMPT) {
            Ok(number) => {
                self.sent.insert(number.0, Sent { id, to, body: body.clone() });
                Ok(true)
            }
            Err(error) if error.is_back_pressure() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The next confirmation that has come.
    ///
    /// # Errors
    /// Where a publish was refused for good.
    pub fn confirmed(&mut self) -> Result<Option<PublishId>, TransportError> {
        self.pulse.beat();
        self.settle()?;
        self.retry()?;
        Ok(self.confirmed.pop_front())
    }

    /// Whether it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_triggered()
    }

    /// How many publishes wait for their confirmation, or for its being taken.
    pub fn unconfirmed(&self) -> usize {
        self.sent.len() + self.refused.len() + self.confirmed.len()
    }

    /// The longest wait that leaves no refused frame lying.
    pub(crate) fn patience(&self, wait: Duration) -> Duration {
        if self.refused.is_empty() { wait } else { wait.min(self.again.saturating_duration_since(Instant::now())) }
    }

    pub(crate) fn settlements(&self) -> &crossbeam_channel::Receiver<Settled> {
        self.producer.settled()
    }

    fn settle(&mut self) -> Result<(), TransportError> {
        while let Ok(settled) = self.producer.settled().try_recv() {
            self.note(settled)?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self, settled: Settled) -> Result<(), TransportError> {
        let sent = settled.ids().filter_map(|number| self.sent.remove(&number));
        match settled.outcome {
            Outcome::Confirmed => {
                self.confirmed.extend(sent.map(|sent| sent.id));
                self.pause = FIRST_PAUSE;
            }
            // A full queue. Others that the frame was routed to may have it: repetitions do no harm.
            Outcome::Nacked => {
                self.refused.extend(sent);
                self.again = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
            other => return Err(TransportError::NotConfirmed(other)),
        }
        Ok(())
    }

    /// Publishes again what was refused, when its time has come.
    fn retry(&mut self) -> Result<(), TransportError> {
        if self.refused.is_empty() || Instant::now() < self.again {
            return Ok(());
        }
        // One that finds no room is a sign for all of them: only it waits for that.
        while let Some(sent) = self.refused.pop_front() {
            if !self.attempt(&sent)? {
                self.refused.push_front(sent);
                self.again = Instant::now() + self.pause;
                break;
            }
        }
        Ok(())
    }

    /// Waits for the next confirmation, for at most `wait`; false where asked to stop.
    pub(crate) fn wait(&mut self, wait: Duration) -> Result<bool, TransportError> {
        self.pulse.beat();
        let wait = self.patience(wait);
        select! {
            recv(self.producer.settled()) -> settled => match settled {
                Ok(settled) => self.note(settled)?,
                Err(_) => return Err(TransportError::Consume(ConsumerEnd::ConnectionClosed)),
            },
            recv(self.stop.receiver()) -> _ => return Ok(false),
            default(wait) => {}
        }
        self.retry()?;
        Ok(true)
    }
}
