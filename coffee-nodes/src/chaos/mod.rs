//! Disturbs a running cluster: at each turn one of its nodes is drawn, and killed or made to hang.
//!
//! ```text
//! each turn: list the nodes as they are now -> draw one that lives and is of a wanted kind -> strike its process
//! ```
//!
//! What is drawn is a function of the seed, the turn and the list ([`draw`]). Nothing here starts a node again: that is for
//! whoever runs the cluster.

mod compose;
mod draw;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod kinds;
mod one_host;
mod run;

pub use draw::{draw, random_seed};
pub use kinds::Kinds;
pub use run::{Action, ChaosError, ChaosOptions, NoAction, Strike, Tally, Target, chaos};
