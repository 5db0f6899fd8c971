//! What the processes of a cluster share: the names of its queues, the calls that they make to each other, and which
//! jobs live.
//!
//! ```text
//! clients --TCP--> gateways --frames--> stages' queues --> worker nodes --> ... --> results node
//!                     |                                       |                        |
//!                     +---------------- calls: query node ----+------------------------+
//!                     +<--------------- control exchange: jobs start and end --------->+
//! ```

mod again;
mod api;
mod links;
mod listener;
mod live;
mod membership;
mod names;
mod query_client;
mod roster;
mod serve;
mod teller;

pub(crate) use again::again;
pub use api::{
    Attached, Control, LiveSet, QueryError, QueryReply, QueryRequest, ResultsError, ResultsReply, ResultsRequest,
    Working,
};
pub use links::{QUEUE_FRAMES, declare_links};
pub(crate) use listener::listen_to;
pub use listener::{Heard, ListenError, Listener};
pub use live::{Known, LiveJobs};
pub use membership::{GRACE, JoinError, Keeps, Lost, Membership, NodeJobs};
pub use names::Names;
pub use query_client::{QueryCallError, QueryClient, QueryClientError};
pub use roster::{ClusterNode, RosterError, roster};
pub(crate) use serve::serve_alone;
pub(crate) use teller::Teller;
