//! Monitors: they hear the nodes' heartbeats, elect a leader among them, and it orders what is dead to be started again.
//!
//! ```text
//! node  --Beat, each second-------> all monitors
//! agent --Report, each second,----> all monitors        the agent: `coffee up`, whose children the nodes are
//!         and when a node ends
//! agent <-Leading, Kill, Start----- the leader
//! monitor <-Election, Answer, Leading-> monitor
//! ```
//!
//! All of it are datagrams, directly and not over the broker, so a lost broker is reported and not restarted around. Each is true
//! by itself and said again until it is not true any more: so what is lost, late or repeated does no harm. An order names the
//! life that it is about, and is nothing to any other.
//!
//! What is decided has neither I/O nor a clock: a [`Member`], with its [`Election`] and [`Watch`], is given messages and the time,
//! and returns what is to be done.

mod clock;
mod datagram;
mod docker;
mod election;
mod heart;
mod key;
mod member;
mod peer;
mod policy;
mod post;
mod run;
#[cfg(test)]
mod tests;
mod watch;

pub use clock::OwnTime;
pub use datagram::{Beat, Datagram, End, MonitorId, Order, Phase, Seat, SeatState, decode, encode};
pub use election::{Election, Say, Vote};
pub use heart::{Heart, HeartOptions, Hung};
pub use key::{KEY_VARIABLE, Key, KeyError, LIFE_VARIABLE, new_life};
pub use member::{Act, Member};
pub use peer::{Peer, PeerError};
pub use policy::{Next, after};
pub use run::{MonitorError, MonitorOptions, monitor};
pub use watch::{Finding, Watch};

pub use crate::docker::DockerError;
pub(crate) use datagram::report as report_datagrams;
pub(crate) use post::Post;
