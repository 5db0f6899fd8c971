//! A gateway for tests, on real TCP: it keeps what it is sent, checks that nothing is out of order, and does what a script
//! says to each connection.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use coffee_core::frame::{Count, JobId};
use parking_lot::Mutex;

use crate::{
    job::{JobSpec, JobState, JobSummary, Mark, Place},
    wire::{self, Receiver, Refusal, Sender, ToClient, ToGateway, WINDOW, WireError},
};

/// What a gateway does to one connection.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Says so instead of welcome.
    pub refuse: Option<Refusal>,
    /// Hangs up after so many messages, and says why, or not.
    pub messages: usize,
    pub farewell: Option<Refusal>,
    /// The places that the job waits in.
    pub waits: Vec<u32>,
    /// The marks are so many chunks behind.
    pub lag: u64,
    /// Acks when so many chunks are unacked; more than the window: when nothing comes any more.
    pub ack_at: u64,
    /// Sends so many pieces of each result again.
    pub repeat: u64,
    /// Says nothing after its welcome.
    pub mute: bool,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            refuse: None,
            messages: usize::MAX,
            farewell: None,
            waits: Vec::new(),
            lag: 0,
            ack_at: 1,
            repeat: 0,
            mute: false,
        }
    }
}

/// A chunk as it came: where it begins, where the next one does, its bytes.
pub(crate) type Chunk = (Place, Place, Vec<u8>);

/// What all gateways of a cluster share.
#[derive(Default)]
pub(crate) struct Cluster {
    /// The jobs, by request.
    pub begun: BTreeMap<u128, JobId>,
    pub spec: Option<JobSpec>,
    /// By table of the manifest.
    pub chunks: Vec<Vec<Chunk>>,
    pub finished: Vec<bool>,
    /// What it answers with: the pieces of each result; none: it can't be had.
    pub results: BTreeMap<String, Vec<Vec<u8>>>,
    pub counts: Vec<Count>,
    /// What becomes of the job once all is there.
    pub end: Option<JobState>,
    /// What the job is said to be when it is asked for; none: it runs.
    pub state: Option<JobState>,
    /// So many times more it is said before that it runs, and that not all of its data is known to be there.
    pub unknown: usize,
    pub pings: usize,
    /// How many connections have started the job.
    pub starts: usize,
    /// The most chunks that were unacked at once.
    pub most_unacked: u64,
}

impl Cluster {
    fn describe(&mut self, job: JobId) -> JobSummary {
        if let Some(left) = self.unknown.checked_sub(1) {
            self.unknown = left;
            return JobSummary { uploaded: false, ..summary(job) };
        }
        JobSummary { state: self.state.clone().unwrap_or(JobState::Running), ..summary(job) }
    }
}

/// The gateway; stopped and joined when dropped.
pub(crate) struct Gateway {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// One that follows these scripts, one a connection, and does as it should after the last.
    pub fn start(cluster: &Arc<Mutex<Cluster>>, scripts: Vec<Script>) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let (cluster, stop) = (cluster.clone(), stopped.clone());
        let thread = thread::Builder::new().name("test gateway".to_owned()).spawn(move || {
            let mut scripts = scripts.into_iter();
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // A client that hangs up is its own business.
                let _ = Talk::serve(&cluster, scripts.next().unwrap_or_default(), stream.unwrap());
            }
        });
        Gateway { address, stopped, thread: Some(thread.unwrap()) }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(Err(failed)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            panic::resume_unwind(failed);
        }
    }
}

/// One connection.
struct Talk<'a> {
    cluster: &'a Mutex<Cluster>,
    script: Script,
    sender: Sender,
    receiver: Receiver,
    job: JobId,
    /// By table: what was acked on this connection, and what came.
    acked: Vec<u64>,
    came: Vec<u64>,
    /// By result: the next piece to send; empty until it is asked for any.
    pieces: BTreeMap<String, u64>,
}

impl<'a> Talk<'a> {
    fn serve(cluster: &'a Mutex<Cluster>, script: Script, stream: TcpStream) -> Result<(), WireError> {
        let (mut sender, mut receiver) = wire::accept(stream, None, Duration::from_secs(20))?;
        wire::greet(&mut sender, &mut receiver)?;
        if script.ack_at > WINDOW.into() {
            receiver.set_patience(Duration::from_millis(300));
        }
        let talk = Talk {
            cluster,
            script,
            sender,
            receiver,
            job: JobId::default(),
            acked: Vec::new(),
            came: Vec::new(),
            pieces: BTreeMap::new(),
        };
        talk.run()
    }

    fn run(mut self) -> Result<(), WireError> {
        let hello: ToGateway = self.receiver.next()?.0;
        assert_eq!(hello, ToGateway::Hello { token: Some("secret".to_owned()) });
        if let Some(code) = self.script.refuse {
            self.say(&ToClient::Refused { code, text: "as the script says".to_owned() })?;
            return Ok(());
        }
        self.say(&ToClient::Welcome)?;
        for _ in 0..self.script.messages {
            match self.receiver.next() {
                Ok((ToGateway::Bye, _)) => return Ok(()),
                Ok(_) if self.script.mute => {}
                Ok((message, payload)) => {
                    let mut bytes = Vec::new();
                    if payload > 0 {
                        self.receiver.payload(&mut bytes)?;
                    }
                    self.hear(message, bytes)?;
                }
                Err(WireError::Silent) if self.script.ack_at > WINDOW.into() => self.ack()?,
                Err(error) => return Err(error),
            }
        }
        if let Some(code) = self.script.farewell {
            self.say(&ToClient::Refused { code, text: "as the script says".to_owned() })?;
            self.sender.finish()?;
            // Until the client has hung up as well: with anything unread the system would take the farewell back.
            let mut rest = Vec::new();
            while let Ok((_, _)) = self.receiver.next::<ToGateway>() {
                self.receiver.payload(&mut rest)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, message: ToGateway, bytes: Vec<u8>) -> Result<(), WireError> {
        match message {
            ToGateway::Begin { request, .. } => {
                let mut cluster = self.cluster.lock();
                let number = cluster.begun.len() as u64 + 1;
                let job = *cluster.begun.entry(request).or_insert(JobId { cluster: 7, number });
                drop(cluster);
                self.say(&ToClient::Begun { job })
            }
            ToGateway::Start { job, spec } => self.start(job, spec),
            ToGateway::Chunk { table, seq, at, next } => {
                self.chunk(usize::from(table), seq, (at, next, bytes));
                self.answer()
            }
            ToGateway::Finish { table, chunks } => {
                let table = usize::from(table);
                assert_eq!(chunks, self.came[table]);
                self.came[table] += 1;
                self.cluster.lock().finished[table] = true;
                self.answer()
            }
            ToGateway::Results { job, have } => {
                assert_eq!(job, self.job);
                self.pieces = have.into_iter().map(|(sink, n)| (sink, n.saturating_sub(self.script.repeat))).collect();
                self.answer()
            }
            ToGateway::Ping => {
                self.cluster.lock().pings += 1;
                self.say(&ToClient::Ping)?;
                self.say(&ToClient::Pong)
            }
            ToGateway::Took { .. } | ToGateway::Pong => Ok(()),
            ToGateway::List => self.say(&ToClient::Jobs { jobs: vec![summary(self.job)] }),
            ToGateway::Describe { job } | ToGateway::Cancel { job } => {
                let summary = self.cluster.lock().describe(job);
                self.say(&ToClient::Job { summary, errors: Vec::new() })
            }
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self, job: JobId, spec: JobSpec) -> Result<(), WireError> {
        self.job = job;
        for before in self.script.waits.clone() {
            self.say(&ToClient::Waiting { before })?;
        }
        let mut cluster = self.cluster.lock();
        cluster.starts += 1;
        let tables = spec.manifest.tables.len();
        assert_eq!(*cluster.spec.get_or_insert_with(|| spec.clone()), spec);
        cluster.chunks.resize(tables, Vec::new());
        cluster.finished.resize(tables, false);
        let lag = self.script.lag;
        let mark = |(table, chunks): (usize, &Vec<Chunk>)| {
            let next = (chunks.len() as u64).saturating_sub(lag);
            let place = chunks[..next as usize].last().map(|chunk| chunk.1).unwrap_or_default();
            let finished = cluster.finished[table] && lag == 0;
            Mark { table: table as u16, next, place, finished, ..Mark::default() }
        };
        let marks: Vec<Mark> = cluster.chunks.iter().enumerate().map(mark).collect();
        drop(cluster);
        self.acked = marks.iter().map(|mark| mark.next + u64::from(mark.finished)).collect();
        self.came = self.acked.clone();
        self.say(&ToClient::Started { marks })
    }

    /// The next one of its table; what came before comes again as it was.
    fn chunk(&mut self, table: usize, seq: u64, chunk: Chunk) {
        assert_eq!(seq, self.came[table]);
        self.came[table] += 1;
        let mut cluster = self.cluster.lock();
        match cluster.chunks[table].get(seq as usize) {
            Some(before) => assert!(*before == chunk, "chunk {seq} of table {table} is another one than before"),
            None => cluster.chunks[table].push(chunk),
        }
    }

    fn unacked(&self) -> u64 {
        self.came.iter().sum::<u64>() - self.acked.iter().sum::<u64>()
    }

    /// Acks and sends pieces as the script has it; ends the job when all is there and sent.
    fn answer(&mut self) -> Result<(), WireError> {
        let unacked = self.unacked();
        let mut cluster = self.cluster.lock();
        cluster.most_unacked = cluster.most_unacked.max(unacked);
        let all = !cluster.finished.is_empty() && cluster.finished.iter().all(|finished| *finished);
        let (results, end) = (cluster.results.clone(), cluster.end.clone());
        let counts = cluster.counts.clone();
        drop(cluster);
        let all = all && self.came.iter().zip(&self.acked).all(|(came, acked)| came >= acked);
        if unacked >= self.script.ack_at || all {
            self.ack()?;
        }
        // The first result is complete early; the others when all data is there.
        let ready = if all { results.len() } else { 1 };
        for (sink, pieces) in results.iter().take(ready) {
            self.piece(sink, pieces, all)?;
        }
        if let Some(state) = end.filter(|_| all && !self.pieces.is_empty()) {
            self.say(&ToClient::Ended { state, counts })?;
        }
        Ok(())
    }

    fn piece(&mut self, sink: &str, pieces: &[Vec<u8>], all: bool) -> Result<(), WireError> {
        let Some(mut next) = self.pieces.get(sink).copied() else { return Ok(()) };
        if pieces.is_empty() {
            let reason = "it was lost".to_owned();
            return self.say(&ToClient::NoResult { sink: sink.to_owned(), reason });
        }
        while let Some(piece) = pieces.get(next as usize) {
            let last = next as usize + 1 == pieces.len();
            let message = ToClient::Piece { sink: sink.to_owned(), number: next, last };
            self.sender.send(&message, piece)?;
            next += 1;
            self.pieces.insert(sink.to_owned(), next);
            if !all {
                break;
            }
        }
        Ok(())
    }

    fn ack(&mut self) -> Result<(), WireError> {
        let finished = self.cluster.lock().finished.clone();
        for (table, finished) in finished.into_iter().enumerate().filter(|(table, _)| *table < self.came.len()) {
            let next = self.came[table] - u64::from(finished && self.is_finished(table));
            let finished = finished && self.is_finished(table);
            self.sender.put(&ToClient::Acked { table: table as u16, next, finished })?;
        }
        self.acked = self.came.clone();
        self.sender.flush()
    }

    /// Whether the end of a table came, or had come, on this connection.
    fn is_finished(&self, table: usize) -> bool {
        self.came[table] > self.cluster.lock().chunks[table].len() as u64
    }

    fn say(&mut self, message: &ToClient) -> Result<(), WireError> {
        self.sender.put(message)?;
        self.sender.flush()
    }
}

pub(crate) fn summary(job: JobId) -> JobSummary {
    let (state, without) = (JobState::Running, Vec::new());
    JobSummary { job, state, minted_ms: 1, ended_ms: None, bytes: 2, chunks: 3, uploaded: true, without, owner: None }
}
