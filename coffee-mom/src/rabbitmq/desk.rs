//! Declarations: takes them one after the other, on a channel of its own, records what stands, and
//! declares it again on each new link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amiquip::Channel;
use crossbeam_channel::{Receiver, Sender, at, bounded, select_biased};
use parking_lot::Mutex;

use crate::broker::ConnectionError;
use crate::event::Event;
use crate::name::Name;
use crate::topology::{ExchangeSpec, QueueSpec};

use super::backoff::Backoff;
use super::convert;
use super::failure::{Failure, ReplyCode, Retry};
use super::hub::Hub;
use super::keeper::Duty;
use super::line::Line;
use super::link::Link;
use super::record::{Bound, Record};

/// Longest wait for one answer of the broker, the time of an alarm aside; a link that takes longer is given up.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// How long an exclusive queue may stay locked by the link that was lost: until the broker has missed
/// two heartbeats of it.
pub(super) const LOCK_LIMIT: Duration = Duration::from_secs(40);

/// Requests that may wait; more make their callers wait.
const WAITING: usize = 64;

/// One request; answers its caller itself. Err: to be done again on the next link.
pub(super) type Request = Box<dyn FnMut(&mut Counter) -> Result<(), Failure> + Send>;

/// What becomes of a request whose caller has stopped waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Skip,
    /// It is done all the same: a queue that nobody deletes holds back those who publish to it.
    Do,
}

/// How requests reach the desk.
#[derive(Clone)]
pub(super) struct Bell {
    requests: Sender<Request>,
    line: Arc<Line>,
}

impl Bell {
    /// The bell of the desk that takes the requests, on that line.
    pub(super) fn new(requests: Sender<Request>, line: Arc<Line>) -> Self {
        Self { requests, line }
    }

    /// Has `work` done at the desk, on one link after the other until it is answered.
    ///
    /// Err([`ConnectionError`]): there was no answer by the deadline, or never will be one. Ok: the
    /// broker's own answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        deadline: Instant,
        late: Late,
        mut work: impl FnMut(&mut Counter) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Result<T, Failure>, ConnectionError> {
        let (answer, answered) = bounded(1);
        let request: Request = Box::new(move |counter| {
            if late == Late::Skip && Instant::now() >= deadline {
                return Ok(());
            }
            match work(counter) {
                Err(failure) if is_lost(&failure) => Err(failure),
                result => {
                    // Nobody may wait for it any more.
                    let _ = answer.try_send(result);
                    Ok(())
                }
            }
        });
        // The line is watched as well: what is in the channel when the desk ends stays there.
        let closed = self.line.closed();
        let sent = select_biased! {
            send(self.requests, request) -> sent => sent.is_ok(),
            recv(closed) -> _ => false,
            recv(at(deadline)) -> _ => false,
        };
        let answer = sent.then(|| {
            select_biased! {
                recv(answered) -> answer => answer.ok(),
                recv(closed) -> _ => None,
                recv(at(deadline)) -> _ => None,
            }
        });
        let too_late = || if Instant::now() >= deadline { ConnectionError::Deadline } else { ConnectionError::Closed };
        answer.flatten().ok_or_else(too_late)
    }
}

/// Whether the same may be answered by the next link.
fn is_lost(failure: &Failure) -> bool {
    match failure {
        Failure::ChannelClosed { .. } | Failure::NoChannel => false,
        Failure::ConnectionClosed { .. } => failure.retry() != Retry::No,
        _ => true,
    }
}

/// The desk, as the keeper of the consuming side has it.
pub(super) struct Desk {
    counter: Counter,
    requests: Receiver<Request>,
    /// Requests that the last link left undone.
    undone: Vec<Request>,
    hub: Arc<Hub>,
}

/// What a request may use.
pub(super) struct Counter {
    link: Option<Arc<Link>>,
    channel: Option<Channel>,
    record: Arc<Mutex<Record>>,
}

impl Desk {
    /// And how requests reach it: through a [`Bell`].
    pub(super) fn new(record: Arc<Mutex<Record>>, hub: Arc<Hub>) -> (Self, Sender<Request>) {
        let (request, requests) = bounded(WAITING);
        let counter = Counter { link: None, channel: None, record };
        (Self { counter, requests, undone: Vec::new(), hub }, request)
    }

    /// Declares again what stands. What the broker refuses is left out and told; the rest stands.
    fn restore(&mut self) -> Result<(), Failure> {
        let (exchanges, queues, bindings) = self.counter.record().all();
        for spec in &exchanges {
            let done = self.counter.declare_exchange(spec);
            self.note(&spec.name, done)?;
        }
        for (name, spec) in &queues {
            let done = self.restore_queue(name, spec);
            if done.is_ok() && spec.exclusive {
                self.hub.emit(Event::Gap(name.clone()));
            }
            self.note(name, done)?;
        }
        for bound in &bindings {
            let done = self.counter.bind(bound);
            self.note(&bound.queue, done)?;
        }
        Ok(())
    }

    /// Waits while the broker still holds an exclusive queue for the link that was lost.
    fn restore_queue(&mut self, name: &Name, spec: &QueueSpec) -> Result<(), Failure> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        let limit = Instant::now() + LOCK_LIMIT;
        loop {
            let done = self.counter.declare_queue(name, spec);
            let locked =
                matches!(&done, Err(Failure::ChannelClosed { code, .. }) if *code == ReplyCode::RESOURCE_LOCKED);
            let pause = backoff.next_pause();
            let link = self.counter.link.clone();
            match link {
                Some(link) if locked && spec.exclusive && Instant::now() + pause < limit => {
                    // The pause ends early when the link does.
                    let _ = link.ended().recv_timeout(pause);
                }
                _ => return done,
            }
        }
    }

    fn note(&self, name: &Name, done: Result<(), Failure>) -> Result<(), Failure> {
        match done {
            Err(failure @ Failure::ChannelClosed { .. }) => {
                log::warn!("{name} could not be declared again: {failure}");
                self.hub.emit(Event::NotRestored(name.clone(), failure.to_string()));
                Ok(())
            }
            done => done,
        }
    }
}

impl Duty for Desk {
    type Request = Request;

    fn prepare(&mut self, link: &Arc<Link>) -> Result<(), Failure> {
        self.counter.link = Some(link.clone());
        self.restore()?;
        while let Some(request) = self.undone.pop() {
            self.serve(request)?;
        }
        Ok(())
    }

    fn requests(&self) -> &Receiver<Request> {
        &self.requests
    }

    fn serve(&mut self, mut request: Request) -> Result<(), Failure> {
        request(&mut self.counter).inspect_err(|_| self.undone.push(request))
    }

    fn lose(&mut self) {
        self.counter.drop_channel();
        self.counter.link = None;
    }
}

impl Counter {
    pub(super) fn record(&self) -> parking_lot::MutexGuard<'_, Record> {
        self.record.lock()
    }

    /// One call on the desk's channel, which is opened anew after the broker has closed it.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&Channel) -> amiquip::Result<T>) -> Result<T, Failure> {
        let deadline = Instant::now() + CALL_LIMIT;
        let link = self.link.clone().ok_or(Failure::Closed)?;
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => link.open_channel(deadline)?,
        };
        let result = link.call(deadline, || call(&channel));
        self.channel = Some(channel);
        if result.is_err() {
            self.drop_channel();
        }
        result
    }

    pub(super) fn declare_queue(&mut self, name: &Name, spec: &QueueSpec) -> Result<(), Failure> {
        self.call(|channel| channel.queue_declare(name.as_str(), convert::queue_options(spec)).map(drop))
    }

    pub(super) fn declare_exchange(&mut self, spec: &ExchangeSpec) -> Result<(), Failure> {
        let (kind, options) = (convert::exchange_type(spec.kind), convert::exchange_options(spec));
        self.call(|channel| channel.exchange_declare(kind, spec.name.as_str(), options).map(drop))
    }

    pub(super) fn bind(&mut self, bound: &Bound) -> Result<(), Failure> {
        let (key, arguments) = convert::binding_arguments(&bound.binding);
        self.call(|channel| channel.queue_bind(bound.queue.as_str(), bound.exchange.as_str(), key, arguments))
    }

    pub(super) fn unbind(&mut self, bound: &Bound) -> Result<(), Failure> {
        let (key, arguments) = convert::binding_arguments(&bound.binding);
        self.call(|channel| channel.queue_unbind(bound.queue.as_str(), bound.exchange.as_str(), key, arguments))
    }

    /// amiquip says goodbye to the broker when a channel is dropped, and waits for the answer.
    fn drop_channel(&mut self) {
        if let (Some(link), Some(channel)) = (&self.link, self.channel.take()) {
            discard(link, channel);
        }
    }
}

/// Closes a channel; one that the broker does not answer for takes its link along.
pub(super) fn discard(link: &Link, channel: Channel) {
    if let Err(failure) = link.call(Instant::now() + CALL_LIMIT, || channel.close()) {
        log::debug!("a channel was closed before: {failure}");
    }
}
