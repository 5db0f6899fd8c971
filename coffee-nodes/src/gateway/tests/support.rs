//! A small cluster around a gateway, and a client of it that does what it is told.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{
    codec,
    frame::{Count, JobId, Port, Sinks},
    operator::AtLeast,
    plan::{Placement, PlanBuilder, Topology},
    source::EncodedRows,
};
use coffee_mom::{
    Broker, ConsumerOptions, Message, Name, ProducerOptions, QueueSpec, Route, RoutingKey, open, rpc, tls::TlsConfig,
};
use tempfile::TempDir;

use crate::{
    cluster::{Control, Names, ResultsError, ResultsReply, ResultsRequest},
    gateway::{Gateway, GatewayOptions},
    job::{FileManifest, JobSpec, Manifest, Mark, Place, TableManifest},
    query::{QueryNode, QueryOptions},
    wire::{self, Receiver, Refusal, Sender, ToClient, ToGateway, WireError},
};

pub const HEADER: &[u8] = b"key,amount";

/// Far enough away that only a hang reaches it.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Asks until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = soon();
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

type Sale = (u8, u32);

/// Large sales, as they are. Chunks are read in a stage of its own, or where they come in.
fn topology(hosted: bool) -> Arc<Topology> {
    let plan = PlanBuilder::<u32>::new();
    let sales = plan.source("sales", |_| EncodedRows::<Sale>::new());
    let more = plan.source("more", |_| EncodedRows::<Sale>::new());
    sales.filter("large", |least: &u32| AtLeast::new(|sale: &Sale| sale.1, *least)).sink("large-sales");
    more.map("trapped", |_| |sale: &Sale| if sale.0 == 66 { panic!("a trap, on purpose") } else { *sale }).sink("all");
    let placement = format!(
        r#"stage = [
            {{ name = "read", operators = ["sales", "large", "more", "trapped"], hosted = {hosted} }},
            {{ name = "results", operators = ["large-sales", "all", "rejected"] }},
        ]"#
    );
    let plan = Arc::new(plan.build().unwrap());
    Arc::new(Topology::new(plan, &Placement::parse(&placement).unwrap()).unwrap())
}

/// What the results node has: by port, the pieces of complete results.
#[derive(Default)]
pub struct Shelf {
    pub pieces: Mutex<HashMap<Port, Vec<Vec<u8>>>>,
    pub asked: AtomicU64,
    pub taken: AtomicU64,
}

impl Shelf {
    fn answer(&self, request: &ResultsRequest) -> Result<ResultsReply, ResultsError> {
        let pieces = self.pieces.lock().unwrap();
        Ok(match request {
            ResultsRequest::Piece { port, number, .. } => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                match pieces.get(port) {
                    Some(pieces) if pieces.is_empty() => ResultsReply::Failed { reason: "lost".into() },
                    Some(pieces) => ResultsReply::Piece {
                        payload: pieces[*number as usize].clone(),
                        last: *number as usize + 1 == pieces.len(),
                    },
                    None => ResultsReply::NotYet,
                }
            }
            ResultsRequest::Counts { .. } => {
                ResultsReply::Counts(vec![Count { operator: 1, rows_in: 7, rows_out: 5, rejected: 0 }])
            }
            ResultsRequest::Taken { .. } => {
                self.taken.fetch_add(1, Ordering::SeqCst);
                ResultsReply::Noted
            }
        })
    }
}

pub struct Cluster {
    pub broker: Arc<dyn Broker>,
    pub names: Names,
    pub topology: Arc<Topology>,
    pub shelf: Arc<Shelf>,
    pub options: GatewayOptions,
    // Dropped before the folder of its state.
    _query: QueryNode,
    _results: rpc::Server,
    state_folder: TempDir,
}

impl Cluster {
    /// On a new in-process broker.
    pub fn new(hosted: bool) -> Self {
        Self::on("memory:", hosted, 4)
    }

    /// On that broker; so many jobs run at a time.
    pub fn on(url: &str, hosted: bool, running: usize) -> Self {
        Self::with(url, hosted, |options| options.max_running(running))
    }

    /// On that broker, with such a query node.
    pub fn with(url: &str, hosted: bool, set: impl FnOnce(QueryOptions) -> QueryOptions) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let broker = open(url, soon()).unwrap();
        let names = Names::new(&format!("gateway-{}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap();
        let (topology, state) = (topology(hosted), tempfile::tempdir().unwrap());
        let options = set(QueryOptions::new(state.path()));
        let query = QueryNode::start(broker.clone(), &names, topology.clone(), options).unwrap();
        let shelf = Arc::new(Shelf::default());
        let serves = shelf.clone();
        let queue = QueueSpec::named(names.results().unwrap());
        let answer = move |request: ResultsRequest| serves.answer(&request);
        let results = rpc::Server::start(broker.clone(), &queue, rpc::ServerOptions::default(), answer).unwrap();
        let mut options = GatewayOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        options.queue_frames = 64;
        Cluster { broker, names, topology, shelf, options, _query: query, _results: results, state_folder: state }
    }

    /// A folder that goes with the cluster.
    pub fn state(&self) -> &Path {
        self.state_folder.path()
    }

    pub fn gateway(&self) -> Gateway {
        let Cluster { broker, names, topology, options, .. } = self;
        Gateway::start(broker.clone(), names.clone(), topology.clone(), options.clone()).unwrap()
    }

    /// A job that sends one file of sales, or of what is trapped.
    pub fn spec(&self, table: &str) -> JobSpec {
        let file = FileManifest { name: "a.csv".into(), bytes: 1 << 30, ends: 1, header: HEADER.to_vec() };
        let at = usize::from(table != "sales");
        let mut parameters = Vec::new();
        codec::encode(&10_u32, &mut parameters).unwrap();
        let tables = vec![TableManifest { name: table.into(), files: vec![file] }];
        let manifest = Manifest { chunk_bytes: 1 << 20, tables };
        JobSpec { parameters, sinks: Sinks(1 << at), strict: false, manifest }
    }

    pub fn tell(&self, control: &Control) {
        let mut body = Vec::new();
        codec::encode(control, &mut body).unwrap();
        let route = Route::exchange(&self.names.control().unwrap(), RoutingKey::default());
        let mut producer = self.broker.producer(ProducerOptions::default()).unwrap();
        producer.publish(&route, Message::new(body), soon()).unwrap();
        producer.settled().recv_deadline(soon()).unwrap();
    }

    pub fn queue(&self, name: &str) -> Name {
        Name::new(&format!("{}.{name}", self.names.prefix())).unwrap()
    }

    /// The next so many frames of a queue.
    pub fn frames(&self, queue: &str, count: usize) -> Vec<Bytes> {
        let mut consumer = self.broker.consumer(&self.queue(queue), ConsumerOptions::default(), soon()).unwrap();
        let taken = (0..count).map(|_| {
            let delivery = consumer.deliveries().recv_deadline(soon()).unwrap();
            consumer.ack(delivery.tag).unwrap();
            delivery.message.body
        });
        taken.collect()
    }
}

/// A client.
pub struct Peer {
    pub sender: Sender,
    pub receiver: Receiver,
}

impl Peer {
    pub fn connect(gateway: &Gateway) -> Self {
        let mut peer = Self::stranger(gateway);
        assert_eq!(peer.hello(None), ToClient::Welcome);
        peer
    }

    /// One that has greeted, and nothing more.
    pub fn stranger(gateway: &Gateway) -> Self {
        Self::by(gateway, None)
    }

    /// A stranger that trusts a certificate for 127.0.0.1.
    pub fn by(gateway: &Gateway, tls: Option<&TlsConfig>) -> Self {
        let wait = Duration::from_secs(20);
        let (mut sender, mut receiver) = wire::connect(gateway.address(), "127.0.0.1", tls, wait, wait).unwrap();
        wire::greet(&mut sender, &mut receiver).unwrap();
        Peer { sender, receiver }
    }

    pub fn hello(&mut self, token: Option<&str>) -> ToClient {
        self.ask(&ToGateway::Hello { token: token.map(str::to_owned) })
    }

    pub fn say(&mut self, message: &ToGateway) {
        self.sender.send(message, &[]).unwrap();
    }

    pub fn ask(&mut self, message: &ToGateway) -> ToClient {
        self.say(message);
        self.next()
    }

    /// The next message but for pings.
    pub fn next(&mut self) -> ToClient {
        self.next_piece().0
    }

    pub fn next_piece(&mut self) -> (ToClient, Vec<u8>) {
        loop {
            let (message, _) = self.receiver.next().unwrap();
            let mut payload = Vec::new();
            self.receiver.payload(&mut payload).unwrap();
            if message != ToClient::Ping {
                return (message, payload);
            }
        }
    }

    pub fn begin(&mut self, spec: &JobSpec) -> JobId {
        match self.ask(&ToGateway::Begin { request: fastrand::u128(..), spec: spec.clone() }) {
            ToClient::Begun { job } => job,
            other => panic!("{other:?}"),
        }
    }

    pub fn start(&mut self, job: JobId, spec: &JobSpec) -> Vec<Mark> {
        match self.ask(&ToGateway::Start { job, spec: spec.clone() }) {
            ToClient::Started { marks } => marks,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a chunk of the first table. Err where the gateway has ended the connection.
    pub fn chunk(&mut self, seq: u64, data: &[u8]) -> Result<(), WireError> {
        self.sender.send(&ToGateway::Chunk { table: 0, seq, at: place(seq), next: place(seq + 1) }, data)
    }

    pub fn finish(&mut self, chunks: u64) {
        self.say(&ToGateway::Finish { table: 0, chunks });
    }

    /// Waits until so many chunks are acked; returns whether the end is.
    pub fn acked(&mut self, chunks: u64) -> bool {
        loop {
            match self.next() {
                ToClient::Acked { table: 0, next, finished } if next >= chunks => return finished,
                ToClient::Acked { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What the connection ends with.
    pub fn last_word(mut self) -> Option<Refusal> {
        let mut word = None;
        while let Ok((message, _)) = self.receiver.next::<ToClient>() {
            match message {
                ToClient::Refused { code, .. } => word = Some(code),
                ToClient::Ping | ToClient::Acked { .. } | ToClient::Started { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        word
    }
}

/// Where a chunk begins.
pub fn place(seq: u64) -> Place {
    Place { file: 0, offset: 11 + 100 * seq, line: 2 + 10 * seq }
}

/// Encoded sales.
pub fn rows(sales: &[Sale]) -> Vec<u8> {
    let mut bytes = Vec::new();
    sales.iter().for_each(|sale| codec::encode(sale, &mut bytes).unwrap());
    bytes
}

/// A plain socket.
pub fn socket(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}
