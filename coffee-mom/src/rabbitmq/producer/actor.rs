//! The thread behind a producer. It owns the channel: sends what is handed over, tells how it ended,
//! and after a loss sends again what had no answer, in the same order and before anything newer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amiquip::{Channel, Confirm, Publish, Return};
use crossbeam_channel::{Receiver, Sender, at, never, select};
use parking_lot::Mutex;

use crate::producer::{Outcome, ProducerOptions, PublishId, Settled};

use super::super::convert;
use super::super::desk::{CALL_LIMIT, discard};
use super::super::failure::{Failure, Loss};
use super::super::hub::Hub;
use super::super::line::{Line, Live, Status};
use super::super::link::Link;
use super::gate::Gate;
use super::ledger::{Ledger, Pending};
use super::refusal::Refused;

/// How long one try to get a message into a full socket takes, before the actor looks around.
const TRY: Duration = Duration::from_millis(10);

/// Longest time between passing the gate and handing over.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Messages that are sent before the actor looks around.
const BATCH: usize = 64;

/// Channels in a row that the broker may close, without an answer between, before what waits is
/// settled as unknown: nothing helps then.
const MAX_STRIKES: u32 = 5;

/// The largest body that fits into one frame, of the size that brokers use unless told otherwise.
const FRAME_BODY: usize = 131_072 - 8;

pub(super) struct Actor {
    line: Arc<Line>,
    hub: Arc<Hub>,
    mandatory: bool,
    persistent: bool,
    gate: Arc<Gate>,
    intake: Receiver<Pending>,
    settle: Sender<Settled>,
    woken: Receiver<()>,
    until: Arc<Mutex<Option<Instant>>>,
    changed: Receiver<()>,
    ledger: Ledger,
    /// To be sent before anything that is handed over: what a lost channel left, or what the socket
    /// had no room for.
    first: VecDeque<Pending>,
    /// The handle is gone, and what it handed over is taken.
    dropped: bool,
    strikes: u32,
}

/// A channel and what comes from it.
struct Sending<'a> {
    link: &'a Link,
    channel: &'a Channel,
    confirms: &'a Receiver<Confirm>,
    returns: &'a Receiver<Return>,
}

impl Actor {
    #[expect(clippy::too_many_arguments, reason = "the parts of one thread, put together in one place")]
    pub(super) fn new(
        line: Arc<Line>,
        hub: Arc<Hub>,
        options: &ProducerOptions,
        gate: Arc<Gate>,
        intake: Receiver<Pending>,
        settle: Sender<Settled>,
        woken: Receiver<()>,
        until: Arc<Mutex<Option<Instant>>>,
    ) -> Self {
        let changed = line.watch();
        Self {
            line,
            hub,
            mandatory: options.mandatory,
            persistent: options.persistent,
            gate,
            intake,
            settle,
            woken,
            until,
            changed,
            ledger: Ledger::default(),
            first: VecDeque::new(),
            dropped: false,
            strikes: 0,
        }
    }

    /// True if everything had its answer at the end.
    pub(super) fn run(mut self) -> bool {
        while let Some(live) = self.wait_for_link() {
            match self.use_link(&live) {
                Ok(()) => break,
                Err(failure) => self.line.give_up(live.epoch, failure),
            }
        }
        self.gate.close();
        let answered = self.gate.is_empty();
        self.end_all();
        answered
    }

    /// The line's link when it is up; none when the producer is to end.
    fn wait_for_link(&mut self) -> Option<Live> {
        loop {
            if self.is_done() {
                return None;
            }
            match self.line.status() {
                Status::Up(live) if live.link.is_alive() => return Some(live),
                Status::Closed => return None,
                Status::Up(_) | Status::Away => {}
            }
            let patience = self.patience();
            select! {
                recv(self.changed) -> _ => {}
                recv(self.woken) -> _ => {}
                recv(patience) -> _ => {}
            }
        }
    }

    /// Publishes over one channel after the other. Ok: the producer is to end. Err: the link is lost.
    fn use_link(&mut self, live: &Live) -> Result<(), Failure> {
        loop {
            match self.use_channel(&live.link) {
                Err(failure) if self.is_refused(&failure) => {}
                result => return result,
            }
        }
    }

    /// Whether only the channel was lost, over a publish that is settled now.
    fn is_refused(&mut self, failure: &Failure) -> bool {
        if !matches!(failure, Failure::ChannelClosed { .. }) {
            return false;
        }
        self.strikes += 1;
        let largest = self.ledger.largest().unwrap_or(0);
        let refused = Refused::read(failure);
        let ended = match &refused {
            Some(refused) => {
                let outcome = Outcome::Refused(refused.refusal());
                self.ledger.end(outcome, |pending| refused.covers(pending, largest))
            }
            None => 0,
        };
        if ended == 0 && self.strikes >= MAX_STRIKES {
            log::warn!("publishes are given up, as the broker closes each channel: {failure}");
            self.ledger.end(Outcome::Unknown, |_| true);
        }
        self.tell_ends();
        true
    }

    /// Publishes over one channel until it fails, or all is done.
    fn use_channel(&mut self, link: &Arc<Link>) -> Result<(), Failure> {
        self.take_back();
        let deadline = Instant::now() + CALL_LIMIT;
        let channel = link.open_channel(deadline)?;
        let listening = link.call(deadline, || {
            let ends = (channel.listen_for_publisher_confirms()?, channel.listen_for_returns()?);
            channel.enable_publisher_confirms()?;
            Ok(ends)
        });
        let left = listening.and_then(|(confirms, returns)| {
            let sending = Sending { link, channel: &channel, confirms: &confirms, returns: &returns };
            let left = self.serve(&sending);
            // What was answered before the loss need not be sent again.
            while let Ok(confirm) = confirms.try_recv() {
                self.answered(&sending, confirm);
            }
            left
        });
        discard(link, channel);
        left
    }

    /// Puts what has no answer in front of all that is newer.
    fn take_back(&mut self) {
        let mut again = self.ledger.restart();
        let count = again.len() as u64;
        for pending in &mut again {
            pending.returned = false;
            pending.replayed = true;
        }
        again.into_iter().rev().for_each(|pending| self.first.push_front(pending));
        if count > 0 {
            self.hub.count(|stats| stats.replayed += count);
        }
    }

    /// Ok: everything is done, or it is time. Err: the channel was lost, or closed by the broker.
    fn serve(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        loop {
            self.send_batch(sending)?;
            if self.is_done() {
                return Ok(());
            }
            // While something waits for the socket, nothing is waited for here: sending it does.
            let idle = self.first.is_empty();
            let nothing = never();
            let intake = if idle && !self.dropped { &self.intake } else { &nothing };
            let patience = if idle { self.patience() } else { at(Instant::now()) };
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
        let mut count = 1;
        self.first.push_back(pending);
        while self.first.len() < BATCH
            && let Ok(pending) = self.intake.try_recv()
        {
            self.first.push_back(pending);
            count += 1;
        }
        self.hub.count(|stats| stats.published += count);
    }

    /// Sends what waits, as far as the socket takes it soon.
    fn send_batch(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        for _ in 0..BATCH {
            let Some(pending) = self.first.front() else {
                return Ok(());
            };
            let bytes = wire_bytes(pending);
            if !sending.link.flow().admit(bytes, Instant::now() + TRY) {
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
    fn answered(&mut self, sending: &Sending<'_>, confirm: Confirm) {
        self.strikes = 0;
        let mut next = Some(confirm);
        while let Some(confirm) = next {
            sending.returns.try_iter().for_each(|returned| self.ledger.returned(&returned));
            self.ledger.answered(confirm);
            next = sending.confirms.try_recv().ok();
        }
        self.tell_ends();
    }

    /// Settles what has ended, joined to ranges.
    fn tell_ends(&mut self) {
        let (mut messages, mut bytes) = (0, 0);
        let (mut nacked, mut returned, mut dropped) = (0, 0, 0);
        let mut range: Option<Settled> = None;
        for end in self.ledger.take_ends() {
            messages += 1;
            bytes += end.bytes;
            let outcome = match end.outcome {
                Outcome::Returned if !self.mandatory => {
                    dropped += 1;
                    Outcome::Confirmed
                }
                outcome => outcome,
            };
            returned += u64::from(outcome == Outcome::Returned);
            nacked += u64::from(outcome == Outcome::Nacked);
            let id = PublishId(end.id);
            match &mut range {
                Some(range) if range.outcome == outcome && range.last.0 + 1 == end.id => range.last = id,
                range => {
                    let full = range.replace(Settled { first: id, last: id, outcome });
                    full.into_iter().for_each(|settled| tell(&self.settle, settled));
                }
            }
        }
        range.into_iter().for_each(|settled| tell(&self.settle, settled));
        if messages > 0 {
            self.gate.leave(messages, bytes);
            self.hub.count(|stats| {
                stats.settled += messages as u64;
                stats.nacked += nacked;
                stats.returned += returned;
                stats.dropped += dropped;
            });
        }
    }

    /// The end: what has no answer by now is unknown.
    fn end_all(&mut self) {
        self.take_back();
        self.first.drain(..).for_each(|pending| self.ledger.sent(pending));
        self.end_unknown();
        // Who has passed the gate before it was closed hands over soon; a handle that is gone does not.
        while !self.gate.is_empty()
            && let Ok(pending) = self.intake.recv_timeout(HAND_OVER)
        {
            self.hub.count(|stats| stats.published += 1);
            self.ledger.sent(pending);
            self.end_unknown();
        }
    }

    fn end_unknown(&mut self) {
        self.ledger.end(Outcome::Unknown, |_| true);
        self.tell_ends();
    }

    /// Whether the producer is to end now: it was closed, and has nothing more to wait for, or no time.
    fn is_done(&self) -> bool {
        self.until.lock().is_some_and(|until| self.gate.is_empty() || Instant::now() >= until)
    }

    /// Fires when the producer has no more time.
    fn patience(&self) -> Receiver<Instant> {
        self.until.lock().map_or_else(never, at)
    }
}

fn tell(settle: &Sender<Settled>, settled: Settled) {
    // Full it is never, as publishing is refused before; without a receiver nobody wants to know.
    let _ = settle.try_send(settled);
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
