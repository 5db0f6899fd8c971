//! The thread behind a producer, over all its links and channels. Here: which channel it uses, and
//! what follows when that is lost. `serving` publishes over one channel, `settling` tells how
//! publishes ended.

mod serving;
mod settling;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amiquip::Channel;
use crossbeam_channel::{Receiver, Sender, at, never, select};
use parking_lot::Mutex;

use crate::producer::{Outcome, ProducerOptions, Refusal, Settled};

use super::super::backoff::Backoff;
use super::super::desk::{CALL_LIMIT, discard};
use super::super::failure::{Failure, Loss};
use super::super::hub::Hub;
use super::super::line::{Line, Live, Status};
use super::super::link::Link;
use super::gate::Gate;
use super::ledger::{Ledger, Pending};
use super::orders::Orders;
use super::refusal;

use self::serving::Sending;

/// Bounds of the pause before another channel is opened, when the last one came to nothing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

pub(super) struct Actor {
    line: Arc<Line>,
    hub: Arc<Hub>,
    mandatory: bool,
    persistent: bool,
    gate: Arc<Gate>,
    intake: Receiver<Pending>,
    settle: Sender<Settled>,
    woken: Receiver<()>,
    orders: Arc<Mutex<Orders>>,
    changed: Receiver<()>,
    ledger: Ledger,
    /// To be sent before anything that is handed over: what a lost channel left, or what the socket
    /// had no room for.
    first: VecDeque<Pending>,
    /// How many to send one at a time: the broker closed a channel over one of them, and which one is
    /// not known. They are the oldest of all that have no answer.
    suspects: usize,
    /// The handle is gone, and what it handed over is taken.
    dropped: bool,
    backoff: Backoff,
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
        orders: Arc<Mutex<Orders>>,
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
            orders,
            changed,
            ledger: Ledger::default(),
            first: VecDeque::new(),
            suspects: 0,
            dropped: false,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
        }
    }

    /// True if everything had its answer at the end.
    pub(super) fn run(mut self) -> bool {
        let mut last = None;
        while let Some(live) = self.wait_for_link() {
            match self.use_link(&live) {
                Ok(channel) => {
                    last = channel.map(|channel| (live.link, channel));
                    break;
                }
                Err(failure) => self.line.give_up(live.epoch, failure),
            }
        }
        self.gate.close();
        let answered = self.gate.is_empty();
        self.end_all();
        if let Some((link, channel)) = last {
            self.leave(&link, channel);
        }
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
                recv(self.changed) -> _ => self.gate.look_again(),
                recv(self.woken) -> _ => {}
                recv(patience) -> _ => {}
            }
        }
    }

    /// Publishes over one channel after the other. Ok: the producer is to end, and leaves that channel
    /// behind. Err: the link is lost.
    fn use_link(&mut self, live: &Live) -> Result<Option<Channel>, Failure> {
        loop {
            match self.use_channel(&live.link) {
                Err(failure @ Failure::NoChannel) => {
                    log::warn!("a producer waits: {failure}");
                    self.pause(&live.link);
                }
                Err(failure) => match refusal::refusal(&failure) {
                    Some(refusal) => self.strike(&live.link, &failure, refusal),
                    None => return Err(failure),
                },
                ended => return ended,
            }
        }
    }

    /// The broker closed the channel over a publish: settles it if it is known, else has all that it
    /// may be sent one at a time.
    fn strike(&mut self, link: &Link, failure: &Failure, refusal: Refusal) {
        let waiting = self.ledger.waiting();
        let missing = refusal::missing_exchange(failure);
        let ended = self.ledger.end(Outcome::Refused(refusal), |pending| {
            waiting == 1
                || missing.is_some_and(|name| pending.route.to_exchange().is_some_and(|to| to.as_str() == name))
        });
        self.tell_ends();
        if ended == 0 {
            log::debug!("{waiting} publishes are sent one at a time: {failure}");
            self.suspects = self.suspects.max(waiting);
        }
        if waiting == 0 {
            log::warn!("the broker closed a channel over nothing: {failure}");
            self.pause(link);
        }
    }

    /// Publishes over one channel until it fails, or all is done; then the channel is left open.
    fn use_channel(&mut self, link: &Arc<Link>) -> Result<Option<Channel>, Failure> {
        self.take_back();
        self.wait_while_blocked(link);
        if self.is_done() {
            return Ok(None);
        }
        if !link.is_alive() {
            return Err(Failure::Lost(Loss::Earlier));
        }
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
        match left {
            Ok(()) => Ok(Some(channel)),
            Err(failure) => {
                discard(link, channel);
                Err(failure)
            }
        }
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

    /// Waits while the broker reads nothing: a channel opened now would have no answer, and who waits
    /// for that hears nothing else.
    fn wait_while_blocked(&self, link: &Link) {
        while self.line.is_blocked() && link.is_alive() && !self.is_done() {
            self.look_out(link, &never());
        }
    }

    /// Waits a while, unless the link or the producer ends.
    fn pause(&mut self, link: &Link) {
        let until = Instant::now() + self.backoff.next_pause();
        while Instant::now() < until && link.is_alive() && !self.is_done() {
            self.look_out(link, &at(until));
        }
    }

    /// Waits for news of the link or for the producer, and for `timeout` at most.
    fn look_out(&self, link: &Link, timeout: &Receiver<Instant>) {
        let patience = self.patience();
        select! {
            recv(self.changed) -> _ => self.gate.look_again(),
            recv(self.woken) -> _ => {}
            recv(link.ended()) -> _ => {}
            recv(patience) -> _ => {}
            recv(timeout) -> _ => {}
        }
    }

    /// Closes the channel, as soon as the broker would answer to that, or leaves it to the end of the
    /// connection.
    fn leave(self, link: &Link, channel: Channel) {
        // Nothing is settled any more, and who waits for that need not wait for the broker.
        drop(self.settle);
        let with_connection = || self.orders.lock().with_connection;
        while self.line.is_blocked() && link.is_alive() && !with_connection() {
            select! {
                recv(self.changed) -> _ => {}
                recv(self.woken) -> _ => {}
                recv(link.ended()) -> _ => {}
            }
        }
        if with_connection() {
            link.keep(channel);
        } else {
            discard(link, channel);
        }
    }

    /// Whether the producer is to end now: it was closed, and has nothing more to wait for, or no time.
    fn is_done(&self) -> bool {
        let until = self.orders.lock().until;
        until.is_some_and(|until| self.gate.is_empty() || Instant::now() >= until)
    }

    /// Fires when the producer has no more time.
    fn patience(&self) -> Receiver<Instant> {
        self.orders.lock().until.map_or_else(never, at)
    }
}
