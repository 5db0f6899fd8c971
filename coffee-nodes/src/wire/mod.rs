//! What client and gateway say to each other over TCP, or TLS over it: a greeting, then messages, each with an optional payload.
//!
//! ```text
//! greeting := "COFFEE" version:u16le                 once, each way, before anything else
//! message  := length:u32le   payload:u32le   message (postcard)   payload bytes
//! ```
//!
//! A client greets, says [`ToGateway::Hello`], and is answered [`ToClient::Welcome`]. A `Begin` mints a job, a `Start` makes
//! this connection its session: the gateway answers `Waiting` as often as its place changes, and `Started` with the marks from
//! which the client sends. Chunks of one table come in order, one table after the other. Results come once `Results` asks
//! for them, piece by piece, from those that the client says it has.

mod connection;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod receiver;
mod sender;
mod stream;
mod tls;
mod until;

pub(crate) use connection::hail;
pub use connection::{Breaker, accept, connect, greet};
pub use error::WireError;
pub use receiver::Receiver;
pub use sender::Sender;

use coffee_core::frame::{Count, JobId};
use serde::{Deserialize, Serialize};

use crate::{
    bounded,
    job::{ErrorReport, JobSpec, JobState, JobSummary, Mark, Place},
    orders::Order,
    statistics::{self, FedWork, MOST_STAGES, Overview},
};

/// The version of the protocol.
pub const VERSION: u16 = 1;

/// No message is longer, in bytes: a manifest with thousands of files fits. What is decoded takes a few times as much, as
/// its sequences are bounded while they are decoded.
pub const MAX_MESSAGE: u32 = (1 << 20) + (64 << 10);

const _: () = assert!(statistics::MOST_BYTES + HEAD <= MAX_MESSAGE as usize, "an overview fits a message");

/// No job has more results: a plan has at most 64 sinks, and rejected rows.
const MAX_RESULTS: usize = 128;

/// No node's name is longer, in bytes.
const MAX_NODE: usize = 255;

/// No payload is longer, in bytes: a chunk has to fit a frame.
pub const MAX_PAYLOAD: u32 = 8 << 20;

/// Bytes of the two lengths before a message.
const HEAD: usize = 8;

/// Chunks that a client may have sent without their ack.
pub const WINDOW: u32 = 16;

/// Pieces of results that a gateway may have sent without their ack.
pub const RESULT_WINDOW: u32 = 16;

/// From client to gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGateway {
    /// Who it is. The first message.
    Hello {
        /// What it may do follows from it; `None` where the cluster asks for none.
        token: Option<String>,
    },
    /// Mints a job; answered by [`ToClient::Begun`].
    Begin {
        /// Drawn by the client, and the same when it asks again.
        request: u128,
        /// What it asks for.
        spec: JobSpec,
    },
    /// Makes this connection the job's session, to send what is missing; answered by [`ToClient::Started`], once admitted.
    Start {
        /// The job.
        job: JobId,
        /// What the client has at hand; must be what the job was begun with.
        spec: JobSpec,
    },
    /// The next chunk of a table; its bytes are the payload.
    Chunk {
        /// The table, by its index in the manifest.
        table: u16,
        /// Its number.
        seq: u64,
        /// Where it begins.
        at: Place,
        /// Where the next one begins.
        next: Place,
    },
    /// A table has so many chunks; acked like one.
    Finish {
        /// The table, by its index in the manifest.
        table: u16,
        /// How many.
        chunks: u64,
    },
    /// Asks for a job's results, as they become complete.
    Results {
        /// The job.
        job: JobId,
        /// How many pieces of each result the client has already; results that are not named: none.
        #[serde(deserialize_with = "bounded::items::<_, _, MAX_RESULTS>")]
        have: Vec<(String, u64)>,
    },
    /// The client keeps so many pieces that came by this connection.
    Took {
        /// How many in all.
        pieces: u64,
    },
    /// Answered by [`ToClient::Pong`]: both sides say something at least every few seconds.
    Ping,
    /// An answer to a ping.
    Pong,
    /// Cancels a job; answered by [`ToClient::Job`].
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Answered by [`ToClient::Jobs`].
    List,
    /// Answered by [`ToClient::Overview`].
    Overview,
    /// A node is to do something, for operators; answered by [`ToClient::Ordered`].
    Order {
        /// Its name.
        #[serde(deserialize_with = "bounded::text::<_, MAX_NODE>")]
        node: String,
        /// Which of its lives: nothing is done by any other.
        life: u64,
        /// What.
        order: Order,
    },
    /// Answered by [`ToClient::Job`].
    Describe {
        /// The job.
        job: JobId,
    },
    /// Nothing more follows.
    Bye,
}

/// From gateway to client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// The client may go on.
    Welcome,
    /// The job that was minted.
    Begun {
        /// Its id.
        job: JobId,
    },
    /// The job waits until fewer run.
    Waiting {
        /// How many jobs are before it.
        before: u32,
    },
    /// The job takes data, from these marks on.
    Started {
        /// One a table, by index.
        marks: Vec<Mark>,
    },
    /// All chunks of a table below `next` are confirmed: they are never needed again.
    Acked {
        /// The table, by its index in the manifest.
        table: u16,
        /// So many chunks are confirmed.
        next: u64,
        /// Whether its end is, too.
        finished: bool,
    },
    /// A piece of a result; its rows are the payload.
    Piece {
        /// The sink.
        sink: String,
        /// Which piece of it, counted from 0.
        number: u64,
        /// Whether the result is complete with it.
        last: bool,
    },
    /// A result can't be had; the others may.
    NoResult {
        /// The sink.
        sink: String,
        /// Why, in words.
        reason: String,
    },
    /// All results have been sent, or none will follow.
    Ended {
        /// What the job came to.
        state: JobState,
        /// What was counted, by operator of the plan.
        counts: Vec<Count>,
    },
    /// All jobs.
    Jobs {
        /// Oldest first.
        jobs: Vec<JobSummary>,
    },
    /// One job.
    Job {
        /// How far it is.
        summary: JobSummary,
        /// What was reported about it, oldest first.
        errors: Vec<ErrorReport>,
    },
    /// The order is given; whether it is obeyed shows in the next overviews.
    Ordered,
    /// How the cluster is.
    Overview(Box<Overview>),
    /// Asks whether the client is there; answered by [`ToGateway::Pong`].
    Ping,
    /// An answer to a ping.
    Pong,
    /// What was asked for is refused. After some reasons the gateway closes the connection.
    Refused {
        /// Why.
        code: Refusal,
        /// Why, in words.
        text: String,
    },
    /// What was done so far for the job whose session this connection is, as the gateway has heard of it: said unasked, once a
    /// second while it grows, and before [`Ended`](ToClient::Ended).
    Work {
        /// By stage, in the order of the topology.
        #[serde(deserialize_with = "bounded::items::<_, _, MOST_STAGES>")]
        stages: Vec<FedWork>,
    },
}

/// Why a gateway refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Not a message of this protocol, or one that is out of place; closes.
    Protocol,
    /// Another version; closes.
    Version,
    /// More connections than it takes; closes: try another gateway, or later.
    Full,
    /// Too many jobs wait: try again later.
    Busy,
    /// Not allowed.
    Denied,
    /// There is no such job, or none of it is kept.
    UnknownJob,
    /// The job was begun with other data or parameters.
    Differs,
    /// The request makes no sense to this cluster.
    Invalid,
    /// Another session of the job took over; closes.
    Superseded,
    /// The cluster can't be reached or the gateway is stopping; closes: try another gateway, or later.
    Unavailable,
}

#[cfg(test)]
#[path = "../../../coffee-mom/tests/support/certificates.rs"]
pub(crate) mod certificates;
#[cfg(test)]
mod tests;
