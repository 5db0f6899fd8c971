//! What a gateway is to be like, and why there is none.

use std::{io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use coffee_mom::{
    NameError,
    rpc::SetupError,
    tls::{TlsError, TlsServerConfig},
};

use crossbeam_channel::Receiver;

use crate::{
    Pulses,
    access::{ClientLimits, TokensFile},
    cluster::{ListenError, QUEUE_FRAMES, QueryClientError},
    runner::LinksError,
    statistics::{NodeStatistics, Statistics},
};

/// What a gateway is to be like.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The gateway's name in reports of errors.
    pub name: String,
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// Threads that answer chunks of hosted sources and publish, for all clients.
    pub threads: NonZeroUsize,
    /// Connections at a time, of two or three threads each; more are refused.
    pub max_connections: usize,
    /// Frames that a stage's queue holds: the same in the whole cluster.
    pub queue_frames: usize,
    /// The folder where its threads count in what work the process has died; without one it is tried for ever.
    pub state: Option<PathBuf>,
    /// Whom it lets in, by their tokens; `None`: everyone, and who comes from its own machine is an operator.
    pub tokens: Option<TokensFile>,
    /// What one client may take of it.
    pub limits: ClientLimits,
    /// How connections are encrypted, and which certificate clients have to show; `None`: they are plain.
    pub tls: Option<TlsServerConfig>,
    /// How long a new connection may take to say who it is.
    pub handshake: Duration,
    /// Whoever has said nothing for so long pings.
    pub ping: Duration,
    /// A client that is silent for so long, or takes as long for one message, is cut off.
    pub patience: Duration,
    /// How long a client may stay that has nothing under way and asks for nothing: pings are no reason to be here.
    pub idle: Duration,
    /// How long a client may take for a piece of a result until it says that it keeps it.
    pub take: Duration,
    /// How long a call to the query node or the results node may take.
    pub call: Duration,
    /// Where its loops are watched.
    pub pulses: Pulses,
    /// Where its work is counted.
    pub statistics: Statistics,
    /// What monitors say of themselves; `None` where there are none.
    pub monitors: Option<Receiver<NodeStatistics>>,
}

impl GatewayOptions {
    /// Listens there: two threads, 256 connections, the cluster's frames a queue, no tokens, the usual limits, no TLS, 10 s for the handshake, pings after 5 s,
    /// cut off after 30 s, a minute for idle clients, no state, two minutes for a piece, 3 s for calls.
    pub fn new(listen: SocketAddr) -> Self {
        GatewayOptions {
            name: "gateway".to_owned(),
            listen,
            threads: NonZeroUsize::MIN.saturating_add(1),
            max_connections: 256,
            queue_frames: QUEUE_FRAMES,
            state: None,
            tokens: None,
            limits: ClientLimits::default(),
            tls: None,
            handshake: Duration::from_secs(10),
            ping: Duration::from_secs(5),
            patience: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            take: Duration::from_secs(120),
            call: Duration::from_secs(3),
            pulses: Pulses::default(),
            statistics: Statistics::default(),
            monitors: None,
        }
    }
}

/// Why there is no gateway, or it did not end as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// Nobody can be listened to there.
    #[error("can't listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Certificates or a key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The stages' queues can't be used.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// The query node can't be called.
    #[error(transparent)]
    Query(#[from] QueryClientError),
    /// The results node can't be called.
    #[error(transparent)]
    Results(#[from] SetupError),
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What is told to all can't be heard.
    #[error(transparent)]
    Control(#[from] ListenError),
    /// The system gives no thread.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
    /// It did not end in time: what clients had not been told to be confirmed, they send again.
    #[error("the gateway did not end in time")]
    Deadline,
}
