//! One connection's part of a submission: what is said and heard once the job is started.

use std::time::{Duration, Instant};

use coffee_core::frame::{Count, JobId};
use crossbeam_channel::{Receiver as Channel, RecvTimeoutError, Sender as ToChannel, TryRecvError};

use super::{
    ClientError, Event,
    connection::OUT_OF_PLACE,
    session::{Done, Session, Until},
};
use crate::{
    embedded::Piece,
    job::{JobState, JobSummary},
    wire::{Receiver, Refusal, Sender, ToClient, ToGateway, WireError},
};

/// How long a connection that is lost is listened to: what was said on it is here already, or nearly.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long after an answer it is asked again whether the query node knows that all data is there.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A message with its payload, as the reading thread hears it.
type Heard = Result<(ToClient, Vec<u8>), WireError>;

/// Hears the gateway until the connection ends, or nobody listens any more.
pub(super) fn read(mut receiver: Receiver, heard: &ToChannel<Heard>) {
    let mut next = move || -> Heard {
        let (message, payload) = receiver.next()?;
        let mut bytes = Vec::new();
        if payload > 0 {
            receiver.payload(&mut bytes)?;
        }
        Ok((message, bytes))
    };
    loop {
        let message = next();
        let is_last = message.is_err();
        if heard.send(message).is_err() || is_last {
            return;
        }
    }
}

/// One connection's talk about a job, once it is started.
pub(super) struct Talk<'s, 'a> {
    session: &'s mut Session<'a>,
    job: JobId,
    sender: Sender,
    incoming: Channel<Heard>,
    /// When something was said last.
    said: Instant,
    /// Pieces that came by this connection.
    taken: u64,
    /// When it was first asked what has become of the job, as all data was confirmed.
    confirmed: Option<Instant>,
    /// Whether that was asked and is not answered.
    asked: bool,
}

impl<'s, 'a> Talk<'s, 'a> {
    pub fn new(session: &'s mut Session<'a>, job: JobId, sender: Sender, incoming: Channel<Heard>) -> Self {
        Talk { session, job, sender, incoming, said: Instant::now(), taken: 0, confirmed: None, asked: false }
    }

    /// Goes on until the submission is done.
    pub fn run(mut self) -> Result<Done, ClientError> {
        match self.go_on() {
            Err(error @ ClientError::Wire(_)) => Err(self.last_words().unwrap_or(error)),
            done => done,
        }
    }

    /// A gateway says why before it hangs up, and then the next write fails, maybe before that was heard.
    fn last_words(&self) -> Option<ClientError> {
        let deadline = Instant::now() + LAST_WORDS;
        while let Ok(Ok((message, _))) = self.incoming.recv_deadline(deadline) {
            if let ToClient::Refused { code, text } = message {
                return Some(ClientError::Refused { code, text });
            }
        }
        None
    }

    /// Hears what came, else sends what there is room for, else waits.
    fn go_on(&mut self) -> Result<Done, ClientError> {
        loop {
            let heard = match self.incoming.try_recv() {
                Ok(heard) => Some(heard),
                Err(TryRecvError::Disconnected) => return Err(WireError::Closed.into()),
                Err(TryRecvError::Empty) if self.session.upload.can_send() => {
                    self.send()?;
                    None
                }
                Err(TryRecvError::Empty) => self.wait()?,
            };
            let Some(heard) = heard else { continue };
            let (message, payload) = heard?;
            if let Some(counts) = self.hear(message, &payload)? {
                // All is here: whether the goodbye arrives does not matter.
                let _ = self.say(&ToGateway::Bye).and_then(|()| Ok(self.sender.flush()?));
                return Ok((self.job, counts));
            }
        }
    }

    fn send(&mut self) -> Result<(), ClientError> {
        let bytes = self.session.upload.send(&mut self.sender)?;
        self.said = Instant::now();
        self.session.tell(Event::Sent { bytes })
    }

    /// Waits for the gateway; pings it rather than be silent.
    fn wait(&mut self) -> Result<Option<Heard>, ClientError> {
        self.sender.flush()?;
        match self.incoming.recv_deadline(self.said + self.session.options.ping_after) {
            Ok(heard) => Ok(Some(heard)),
            Err(RecvTimeoutError::Disconnected) => Err(WireError::Closed.into()),
            Err(RecvTimeoutError::Timeout) => {
                self.say(&ToGateway::Ping)?;
                Ok(None)
            }
        }
    }

    /// Some counts when the submission is done.
    fn hear(&mut self, message: ToClient, payload: &[u8]) -> Result<Option<Vec<Count>>, ClientError> {
        let session = &mut *self.session;
        match message {
            ToClient::Ping => self.say(&ToGateway::Pong)?,
            ToClient::Pong => {}
            ToClient::Refused { code, text } => {
                // Who is held back by a rate is not given up, however often.
                session.got_on |= code == Refusal::Busy;
                return Err(ClientError::Refused { code, text });
            }
            ToClient::Waiting { before } => {
                session.got_on = true;
                session.tell(Event::Waiting { before })?;
            }
            ToClient::Started { marks } => {
                // Who can't send a chunk before the gateway gives it up starts again and again.
                session.got_on |= session.upload.start(&marks)?;
            }
            ToClient::Acked { table, next, finished } => {
                session.got_on = true;
                session.upload.acked(table, next, finished)?;
            }
            ToClient::Piece { sink, number, last } => {
                session.got_on = true;
                session.take(number, Piece { sink: &sink, payload, last })?;
                self.taken += 1;
                self.say(&ToGateway::Took { pieces: self.taken })?;
            }
            ToClient::NoResult { sink, reason } => session.give_up(&sink, &reason)?,
            ToClient::Job { summary, .. } if self.asked => {
                self.asked = false;
                if let Some(counts) = self.left(summary)? {
                    return Ok(Some(counts));
                }
            }
            ToClient::Work { stages } => {
                let chunks = session.upload.all_chunks();
                session.stages.heard(stages, &chunks);
                session.tell_stages()?;
            }
            ToClient::Ended { state, counts } => {
                let counts = self.ended(state, counts)?;
                self.session.tell_done()?;
                return Ok(Some(counts));
            }
            _ => return Err(OUT_OF_PLACE),
        }
        self.session.tell_uploaded()?;
        if self.session.until == Until::Uploaded && self.session.upload.is_complete() && !self.asked {
            // Its end may be on its way: what is confirmed says nothing of a job that is cancelled meanwhile.
            self.asked = true;
            self.confirmed.get_or_insert_with(Instant::now);
            self.say(&ToGateway::Describe { job: self.job })?;
        }
        Ok(None)
    }

    /// All data is confirmed, and this is what has become of the job by then. `None`: the query node does not know yet that
    /// all is there. If the gateway died now it never would, and the job would be cancelled, as one whose client is away.
    fn left(&self, summary: JobSummary) -> Result<Option<Vec<Count>>, ClientError> {
        if summary.state.is_ended() {
            return self.ended(summary.state, Vec::new()).map(Some);
        }
        if summary.uploaded {
            return Ok(Some(Vec::new()));
        }
        if self.confirmed.is_some_and(|since| since.elapsed() > self.session.options.patience) {
            // Another connection begins where the query node believes the job to be.
            return Err(WireError::Silent.into());
        }
        self.session.stop.wait(ASK_AGAIN); // a stop closes the connection, which is seen there
        Ok(None)
    }

    fn ended(&self, state: JobState, counts: Vec<Count>) -> Result<Vec<Count>, ClientError> {
        match state {
            JobState::Failed { reason } => Err(ClientError::Failed { job: self.job, reason }),
            JobState::Cancelled => Err(ClientError::Cancelled(self.job)),
            JobState::Done if self.session.until == Until::Uploaded || self.session.results.are_complete() => {
                Ok(counts)
            }
            _ => Err(WireError::Protocol("an end before the last piece of each result").into()),
        }
    }

    fn say(&mut self, message: &ToGateway) -> Result<(), ClientError> {
        self.said = Instant::now();
        Ok(self.sender.put(message)?)
    }
}
