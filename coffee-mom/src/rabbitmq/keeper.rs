//! Keeps a line up: opens links, with pauses between attempts, has each prepared before anybody uses
//! it, notices its loss, and closes the last one. One named thread a line.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use amiquip::ConnectionBlockedNotification;
use crossbeam_channel::{Receiver, bounded, select};

use crate::event::{Event, Side};

use super::backoff::Backoff;
use super::config::RabbitConfig;
use super::desk::CALL_LIMIT;
use super::failure::{Failure, Loss, Retry};
use super::hub::Hub;
use super::line::{Line, Live, Status};
use super::link::{Link, Purpose};

/// Attempts of an opening after failures that may pass and may not.
const FEW: u32 = 3;

/// What a side does with its link besides lending it to producers and consumers.
pub(super) trait Duty: Send + 'static {
    /// What the side is asked to do.
    type Request: Send;

    /// Makes a new link ready for its users. Err: the link is of no use; another one is opened.
    fn prepare(&mut self, link: &Arc<Link>) -> Result<(), Failure>;

    /// Where requests come from.
    fn requests(&self) -> &Receiver<Self::Request>;

    /// Does what it is asked. Err: the link is lost; the request was kept and is done on the next.
    fn serve(&mut self, request: Self::Request) -> Result<(), Failure>;

    /// The link is gone.
    fn lose(&mut self);
}

/// Starts the keeper of a line; its first attempts end at `first`, or before with a failure that will
/// not pass, and then the line is closed.
pub(super) fn start(
    config: Arc<RabbitConfig>,
    side: Side,
    line: Arc<Line>,
    woken: Receiver<()>,
    hub: Arc<Hub>,
    duty: impl Duty,
    first: Instant,
) -> io::Result<JoinHandle<()>> {
    let (purpose, name) = match side {
        Side::Publishing => (Purpose::Publish, "rabbitmq publishing"),
        Side::Consuming => (Purpose::Consume, "rabbitmq consuming"),
    };
    let backoff = Backoff::new(config.backoff_min, config.backoff_max);
    let keeper = Keeper { config, side, purpose, line, woken, hub, duty, backoff, epoch: 0 };
    thread::Builder::new().name(name.into()).spawn(move || keeper.run(first))
}

struct Keeper<D: Duty> {
    config: Arc<RabbitConfig>,
    side: Side,
    purpose: Purpose,
    line: Arc<Line>,
    woken: Receiver<()>,
    hub: Arc<Hub>,
    duty: D,
    backoff: Backoff,
    epoch: u64,
}

impl<D: Duty> Keeper<D> {
    fn run(mut self, first: Instant) {
        let _closed = CloseAtEnd(self.line.clone());
        let mut until = Some(first);
        while let Some(link) = self.connect(until) {
            until = None;
            self.epoch += 1;
            if self.epoch > 1 {
                self.hub.count(|stats| stats.reconnects += 1);
            }
            self.hub.emit(Event::Connected(self.side));
            let since = Instant::now();
            self.line.set(Status::Up(Live { link: link.clone(), epoch: self.epoch }));
            self.watch(&link);
            self.line.set(Status::Away);
            self.line.set_blocked(false);
            self.end(&link);
            self.line.hold(None);
            // Whatever kills links as soon as they are up is not helped by many of them.
            self.rest(since + self.config.backoff_min);
        }
    }

    /// A link that is prepared; none if the line is to be closed, or at the end of the first attempts.
    fn connect(&mut self, until: Option<Instant>) -> Option<Arc<Link>> {
        let mut tries = 0;
        loop {
            if self.line.closing().is_some() {
                return None;
            }
            let failure = match self.attempt(until) {
                Ok(link) => {
                    self.backoff.reset();
                    return Some(link);
                }
                Err(failure) => failure,
            };
            if self.line.closing().is_some() {
                return None;
            }
            tries += 1;
            let pause = self.backoff.next_pause();
            self.line.failed(failure.clone());
            if let Some(until) = until {
                let hopeless = match failure.retry() {
                    Retry::Yes => false,
                    Retry::AFewTimes => tries >= FEW,
                    Retry::No => true,
                };
                if hopeless || Instant::now() + pause >= until {
                    return None;
                }
            }
            self.hub.emit(Event::Retrying(self.side, failure.to_string(), pause));
            self.rest(Instant::now() + pause);
        }
    }

    fn attempt(&mut self, until: Option<Instant>) -> Result<Arc<Link>, Failure> {
        // Each attempt is bounded by the config's timeout a host, so this is only a roof over it.
        let deadline = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let link = Arc::new(self.open(deadline)?);
        self.line.hold(Some(&link));
        self.duty.prepare(&link).inspect_err(|_| {
            link.kill();
            self.duty.lose();
            self.line.hold(None);
        })?;
        Ok(link)
    }

    /// Opens a link on a thread of its own, as nothing can interrupt that. Once the line is to be closed
    /// it is left alone: it ends at the latest when its attempt times out, and the link with it.
    fn open(&self, deadline: Instant) -> Result<Link, Failure> {
        let (config, purpose) = (self.config.clone(), self.purpose);
        let (tell, told) = bounded(1);
        let opening = thread::Builder::new().name("rabbitmq connect".into()).spawn(move || {
            // Without a receiver the link is dropped here.
            let _ = tell.send(Link::open(&config, purpose, deadline));
        });
        let opening = opening.map_err(|error| Failure::System(error.kind()))?;
        while self.line.closing().is_none() {
            select! {
                recv(told) -> opened => {
                    // A panic shows as no answer.
                    let _ = opening.join();
                    return opened.unwrap_or(Err(Failure::Lost(Loss::Panic)));
                }
                recv(self.woken) -> _ => {}
            }
        }
        Err(Failure::Closed)
    }

    /// Waits, but not once the line is to be closed.
    fn rest(&self, until: Instant) {
        while self.line.closing().is_none() && self.woken.recv_deadline(until).is_ok() {}
    }

    /// Returns when the link is lost or the line is to be closed.
    fn watch(&mut self, link: &Arc<Link>) {
        let mut notes = link.blocked().clone();
        let requests = self.duty.requests().clone();
        loop {
            select! {
                recv(link.ended()) -> _ => return,
                recv(notes) -> note => match note {
                    Ok(note) => self.note(link, note),
                    Err(_) => notes = crossbeam_channel::never(),
                },
                recv(self.woken) -> _ => {
                    if self.line.closing().is_some() || self.line.useless(self.epoch).is_some() {
                        return;
                    }
                }
                recv(requests) -> request => if let Ok(request) = request
                    && self.duty.serve(request).is_err()
                {
                    return;
                },
            }
        }
    }

    fn note(&self, link: &Link, note: ConnectionBlockedNotification) {
        link.hold(matches!(note, ConnectionBlockedNotification::Blocked(_)));
        match note {
            ConnectionBlockedNotification::Blocked(reason) => {
                self.line.set_blocked(true);
                self.hub.emit(Event::Blocked(reason));
            }
            ConnectionBlockedNotification::Unblocked => {
                self.line.set_blocked(false);
                self.hub.emit(Event::Unblocked);
            }
        }
    }

    /// Ends the link, politely only if the line is to be closed.
    fn end(&mut self, link: &Link) {
        match self.line.closing() {
            Some(deadline) => {
                // First: a channel's goodbye would have a deadline of its own.
                if let Err(failure) = link.close(deadline) {
                    log::debug!("a link was not closed cleanly: {failure}");
                }
                self.duty.lose();
            }
            None => {
                link.kill();
                // In time: the socket is dead.
                let lost = link.close(Instant::now() + CALL_LIMIT).err();
                self.duty.lose();
                let cause = self.line.useless(self.epoch).or(lost).unwrap_or(Failure::Closed);
                log::warn!("the {} link to the broker was lost: {cause}", self.purpose);
                self.hub.emit(Event::Disconnected(self.side, cause.to_string()));
            }
        }
    }
}

/// Closes the line when its keeper ends, also by a panic.
struct CloseAtEnd(Arc<Line>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.set(Status::Closed);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{RecvTimeoutError, never};

    use super::*;
    use crate::testing::peer::{FromClient, ScriptedPeer, ToClient};

    /// Nothing but a link.
    struct Idle(Receiver<()>);

    impl Duty for Idle {
        type Request = ();

        fn prepare(&mut self, _link: &Arc<Link>) -> Result<(), Failure> {
            Ok(())
        }

        fn requests(&self) -> &Receiver<()> {
            &self.0
        }

        fn serve(&mut self, (): ()) -> Result<(), Failure> {
            Ok(())
        }

        fn lose(&mut self) {}
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_call_that_an_alarm_meets_waits_for_its_end() {
        const LIMIT: Duration = Duration::from_secs(1);
        let is_second = |call: &FromClient, channel| *call == FromClient::ChannelOpen && channel == 2;
        let peer = ScriptedPeer::start(move |call, link| {
            if is_second(&call.method, call.channel) {
                link.send(0, ToClient::Blocked { reason: "low on memory".into() });
            } else {
                link.standard(call);
            }
        });
        let peer = peer.unwrap();
        let config = Arc::new(RabbitConfig::new("127.0.0.1", peer.address().port()));
        let (line, woken) = Line::new();
        let keeper =
            start(config, Side::Publishing, line.clone(), woken, Arc::default(), Idle(never()), soon()).unwrap();
        let live = line.wait(soon()).unwrap();
        let first = live.link.open_channel(soon()).unwrap();
        thread::scope(|scope| {
            let opening = scope.spawn(|| live.link.open_channel(Instant::now() + LIMIT));
            let next = scope.spawn(|| {
                peer.wait_for(
                    |calls| calls.iter().find(|call| is_second(&call.method, call.channel)).map(drop),
                    soon(),
                );
                live.link.open_channel(Instant::now() + LIMIT)
            });
            assert_eq!(live.link.ended().recv_timeout(2 * LIMIT), Err(RecvTimeoutError::Timeout));
            assert!(line.is_blocked());
            let free = |link: &mut crate::testing::peer::Link| {
                link.send(0, ToClient::Unblocked);
                link.send(2, ToClient::ChannelOpenOk);
            };
            assert!(peer.tell(1, free));
            assert!(opening.join().unwrap().is_ok());
            assert!(next.join().unwrap().is_ok(), "one that waits for the other");
        });
        drop(first);
        line.close(soon());
        keeper.join().unwrap();
    }
}
