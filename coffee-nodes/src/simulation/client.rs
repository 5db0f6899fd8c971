//! A client and its gateway's part: sends a job's chunks, again from its marks after each break, and takes the results.

use std::{collections::BTreeSet, rc::Rc, sync::Arc};

use bytes::Bytes;
use coffee_core::{
    frame::{Count, JobId, Port},
    plan::Topology,
};

use super::{query::QueryDesk, shared::Shared, submitted::Submitted};
use crate::{
    access::Caller,
    cluster::{QueryReply, QueryRequest, ResultsReply},
    job::JobState,
    results::ResultsStore,
};

/// Chunks that are sent and not acked.
const WINDOW: usize = 4;

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The rows of each sink that was asked for and those that were rejected, encoded, and what was counted.
    Done {
        /// By sink; `None` where the result can't be had, as an operator failed on what it depends on.
        rows: Vec<(String, Option<Vec<u8>>)>,
        /// By operator, in plan order; none where results can't be had.
        counts: Vec<Count>,
    },
    /// It failed, for this reason.
    Failed(String),
    /// Its client cancelled it.
    Cancelled,
}

impl Answer {
    /// Whether it lacks results, though the job was done.
    pub(super) fn lacks_results(&self) -> bool {
        matches!(self, Answer::Done { rows, .. } if rows.iter().any(|(_, rows)| rows.is_none()))
    }
}

/// A chunk on its way: whose, in which session, of which table, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub client: usize,
    session: u32,
    table: usize,
    chunk: usize,
}

/// A life of a gateway: its process, and which life of it.
pub(super) type Gateway = (usize, u32);

/// One client.
pub(super) struct Client {
    shared: Rc<Shared>,
    query: Rc<QueryDesk>,
    results: Arc<ResultsStore>,
    number: usize,
    submitted: Arc<Submitted>,
    pub job: Option<JobId>,
    uploads: Vec<Upload>,
    session: u32,
    /// What it is connected to.
    gateway: Option<Gateway>,
    admitted: bool,
    ports: Vec<(String, Port)>,
    rows: Vec<(String, Option<Vec<u8>>)>,
    piece: u64,
    pub answer: Option<Answer>,
}

struct Upload {
    frames: Vec<Bytes>,
    /// All before it are acked.
    mark: usize,
    acked: BTreeSet<usize>,
    /// The next to be sent in this session.
    next: usize,
}

impl Client {
    pub fn new(
        shared: &Rc<Shared>,
        query: &Rc<QueryDesk>,
        results: &Arc<ResultsStore>,
        topology: &Arc<Topology>,
        (number, submitted): (usize, &Arc<Submitted>),
    ) -> Self {
        let ports = submitted.results.iter().filter_map(|name| Some((name.clone(), topology.port_of(name)?)));
        Client {
            ports: ports.collect(),
            shared: shared.clone(),
            query: query.clone(),
            results: results.clone(),
            number,
            submitted: submitted.clone(),
            job: None,
            uploads: Vec::new(),
            session: 0,
            gateway: None,
            admitted: false,
            rows: Vec::new(),
            piece: 0,
            answer: None,
        }
    }

    /// Does the next thing.
    pub fn turn(&mut self, gateways: &[Gateway]) -> Result<(), String> {
        if self.answer.is_some() {
            return Ok(());
        }
        let Some(job) = self.job else { return self.begin() };
        if self.gateway.is_none_or(|gateway| !gateways.contains(&gateway)) || self.shared.once_in(200) {
            self.connect(gateways);
        }
        if self.submitted.may_be_cancelled && self.shared.once_in(60) {
            self.shared.note(|| format!("job {job} is cancelled"));
            self.query
                .call(QueryRequest::Cancel { caller: Caller::local(), job })
                .map_err(|error| error.to_string())?;
        }
        match self.query.state(job)? {
            JobState::Waiting { .. } => Ok(()),
            JobState::Running => {
                self.admitted = true;
                Ok(())
            }
            JobState::Done => self.fetch(job),
            JobState::Failed { reason } => self.end(Answer::Failed(reason)),
            JobState::Cancelled => self.end(Answer::Cancelled),
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let (caller, spec) = (Caller::local(), self.submitted.spec.clone());
        let request = QueryRequest::Begin { caller, request: self.number as u128, spec };
        let job = match self.query.call(request) {
            Ok(QueryReply::Begun(job)) => job,
            other => return Err(format!("asked for a job, the query node answered {other:?}")),
        };
        let (caller, spec) = (Caller::local(), Some(self.submitted.spec.clone()));
        let attach = QueryRequest::Attach { caller, job, session: 1, spec };
        let Ok(QueryReply::Attached(attached)) = self.query.call(attach) else {
            return Err(format!("the query node does not take the client of job {job}"));
        };
        let tables = self.submitted.frames(&attached.head).map_err(|error| error.to_string())?;
        let upload = |frames| Upload { frames, mark: 0, acked: BTreeSet::new(), next: 0 };
        self.uploads = tables.into_iter().map(upload).collect();
        self.job = Some(job);
        Ok(())
    }

    /// Goes on through any gateway, from its marks, or from before: what is known of them there may lag.
    fn connect(&mut self, gateways: &[Gateway]) {
        if gateways.is_empty() {
            return;
        }
        let gateway = gateways[(self.number + self.shared.below(gateways.len())) % gateways.len()];
        self.gateway = Some(gateway);
        self.session += 1;
        let lag = self.shared.below(3);
        for upload in &mut self.uploads {
            upload.next = upload.mark.saturating_sub(lag);
            upload.acked.retain(|chunk| *chunk < upload.mark);
        }
    }

    /// The next chunk, for a gateway that it is connected to.
    pub fn send(&mut self, gateway: Gateway) -> Option<(Ticket, Bytes)> {
        let open = self.admitted && self.answer.is_none() && self.gateway == Some(gateway);
        let table = self.uploads.iter().position(|upload| upload.mark < upload.frames.len()).filter(|_| open)?;
        let upload = &mut self.uploads[table];
        let frame = upload.frames.get(upload.next).filter(|_| upload.next < upload.mark + WINDOW)?.clone();
        upload.next += 1;
        let ticket = Ticket { client: self.number, session: self.session, table, chunk: upload.next - 1 };
        Some((ticket, frame))
    }

    /// What depends on a chunk is confirmed. Told by an earlier session's gateway, it is not heard.
    pub fn ack(&mut self, ticket: Ticket) {
        if ticket.session != self.session {
            return;
        }
        let upload = &mut self.uploads[ticket.table];
        upload.acked.insert(ticket.chunk);
        while upload.acked.remove(&upload.mark) {
            upload.mark += 1;
        }
    }

    /// Takes the next piece of the results.
    fn fetch(&mut self, job: JobId) -> Result<(), String> {
        let broken = |error: crate::runner::StoreError| error.to_string();
        let Some((name, port)) = self.ports.get(self.rows.len().saturating_sub(usize::from(self.piece > 0))).cloned()
        else {
            let counts = match self.results.counts(job).map_err(broken)? {
                Some(ResultsReply::Counts(counts)) => counts,
                other => return Err(format!("asked for the counts of job {job}, the results node answered {other:?}")),
            };
            self.results.taken(job, 0).map_err(broken)?;
            let mut counts: Vec<Count> = counts;
            counts.sort_by_key(|count| count.operator);
            let rows = std::mem::take(&mut self.rows);
            if rows.iter().any(|(_, rows)| rows.is_none()) {
                counts.clear(); // of what is lost they say nothing certain
            }
            return self.end(Answer::Done { rows, counts });
        };
        match self.results.piece(job, port, self.piece).map_err(broken)? {
            Some(ResultsReply::Piece { payload, last }) => {
                if self.piece == 0 {
                    self.rows.push((name, Some(Vec::new())));
                }
                if let Some((_, Some(rows))) = self.rows.last_mut() {
                    rows.extend_from_slice(&payload);
                }
                self.piece = if last { 0 } else { self.piece + 1 };
                Ok(())
            }
            Some(ResultsReply::Failed { .. }) if self.piece == 0 => {
                self.rows.push((name, None));
                Ok(())
            }
            other => Err(format!("job {job} is done, but asked for a piece the results node answered {other:?}")),
        }
    }

    fn end(&mut self, answer: Answer) -> Result<(), String> {
        self.shared.note(|| format!("client {} has its answer", self.number));
        self.answer = Some(answer);
        Ok(())
    }

    /// Where it stands, in words.
    pub fn describe(&self) -> String {
        let marks: Vec<String> =
            self.uploads.iter().map(|upload| format!("{} of {}", upload.mark, upload.frames.len())).collect();
        format!("client {}: sent {}, at gateway {:?}", self.number, marks.join(", "), self.gateway)
    }
}
