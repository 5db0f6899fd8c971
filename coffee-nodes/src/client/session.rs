//! A submission from its beginning to its end, over as many connections as it takes.

use std::thread;

use coffee_core::frame::{Count, JobId};
use crossbeam_channel::bounded;

use super::{
    ClientError, ClientOptions, Event, OnEvent,
    connection::{self, Connection},
    results::Results,
    stages::Stages,
    submission::Submission,
    talk::{Talk, read},
    tries::Tries,
    upload::Upload,
};
use crate::{
    Stop,
    embedded::Piece,
    unique::unique,
    wire::{RESULT_WINDOW, ToClient, ToGateway},
};

/// When a submission is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// All data is confirmed, and the query node knows it.
    Uploaded,
    /// The job has ended, and its results are here.
    Ended,
}

/// What was reached when it is done.
pub(super) type Done = (JobId, Vec<Count>);

/// What is known of a submission over all of its connections.
pub(super) struct Session<'a> {
    pub(super) options: &'a ClientOptions,
    submission: &'a Submission<'a>,
    pub(super) until: Until,
    pub(super) stop: &'a Stop,
    on_event: OnEvent<'a>,
    /// The same for each attempt to begin, so that they mint one job; and no other client's.
    request: u128,
    job: Option<JobId>,
    pub(super) upload: Upload<'a>,
    pub(super) results: Results,
    pub(super) stages: Stages,
    /// Whether it was told that all data is confirmed.
    uploaded: bool,
    /// Whether the connection of the moment was of any use.
    pub(super) got_on: bool,
}

impl<'a> Session<'a> {
    pub fn new(
        options: &'a ClientOptions,
        submission: &'a Submission<'a>,
        until: Until,
        stop: &'a Stop,
        on_event: OnEvent<'a>,
    ) -> Self {
        Session {
            options,
            submission,
            until,
            stop,
            on_event,
            request: unique(),
            job: None,
            upload: Upload::new(&submission.feeds, submission.spec.manifest.chunk_bytes as usize),
            results: Results::new(&submission.results),
            stages: Stages::default(),
            uploaded: false,
            got_on: false,
        }
    }

    /// Goes from gateway to gateway until it is done.
    pub fn run(mut self) -> Result<Done, ClientError> {
        let mut tries = Tries::new(self.options, self.stop)?;
        loop {
            self.got_on = false;
            match connection::with(&mut tries, |open| self.talk(open)) {
                Ok(done) => return Ok(done),
                Err(error) => tries.failed(error, self.got_on)?,
            }
        }
    }

    /// Begins or resumes, and goes on until it is done, on one connection.
    fn talk(&mut self, mut open: Connection) -> Result<Done, ClientError> {
        let job = self.begin(&mut open)?;
        let Connection { mut sender, receiver } = open;
        sender.put(&ToGateway::Start { job, spec: self.submission.spec.clone() })?;
        if self.until == Until::Ended {
            sender.put(&ToGateway::Results { job, have: self.results.have() })?;
        }
        self.upload.reset();
        let breaker = sender.breaker();
        thread::scope(|scope| {
            // As many as a gateway sends unasked: the reading thread waits only where one sends more.
            let (heard, incoming) = bounded(2 * RESULT_WINDOW as usize);
            let reading = thread::Builder::new().name("client reading".to_owned());
            reading.spawn_scoped(scope, move || read(receiver, &heard)).map_err(ClientError::Thread)?;
            let done = Talk::new(self, job, sender, incoming).run();
            breaker.shutdown();
            done
        })
    }

    /// The job, which this connection or one before has begun.
    fn begin(&mut self, open: &mut Connection) -> Result<JobId, ClientError> {
        if let Some(job) = self.job {
            return Ok(job);
        }
        let job = match self.submission.job {
            Some(job) => job,
            None => {
                let begin = ToGateway::Begin { request: self.request, spec: self.submission.spec.clone() };
                open.ask(&begin, |answer| match answer {
                    ToClient::Begun { job } => Some(job),
                    _ => None,
                })?
            }
        };
        self.job = Some(job);
        self.tell(Event::Begun(job))?;
        Ok(job)
    }

    pub(super) fn tell(&mut self, event: Event<'_>) -> Result<(), ClientError> {
        (self.on_event)(event).map_err(ClientError::Event)
    }

    /// Tells how far the stages are.
    pub(super) fn tell_stages(&mut self) -> Result<(), ClientError> {
        (self.on_event)(Event::Stages(self.stages.known())).map_err(ClientError::Event)
    }

    /// The job is done, and its stages with it.
    pub(super) fn tell_done(&mut self) -> Result<(), ClientError> {
        self.stages.done();
        if self.stages.known().is_empty() { Ok(()) } else { self.tell_stages() }
    }

    /// Hands a piece of a result over.
    pub(super) fn take(&mut self, number: u64, piece: Piece<'_>) -> Result<(), ClientError> {
        self.results.take(number, piece, self.on_event)
    }

    /// A result can't be had.
    pub(super) fn give_up(&mut self, sink: &str, reason: &str) -> Result<(), ClientError> {
        self.results.give_up(sink, reason, self.on_event)
    }

    /// Tells once that all data is confirmed.
    pub(super) fn tell_uploaded(&mut self) -> Result<(), ClientError> {
        if !self.upload.is_complete() || std::mem::replace(&mut self.uploaded, true) {
            return Ok(());
        }
        self.tell(Event::Uploaded)
    }
}
