//! The cases, by what they are about. Each is what its line in the list promises.

pub(super) mod access;
pub(super) mod attachments;
pub(super) mod bodies;
pub(super) mod closing;
pub(super) mod consuming;
pub(super) mod links;
pub(super) mod outages;
pub(super) mod publishing;
pub(super) mod redelivery;
pub(super) mod routing;
pub(super) mod scale;
pub(super) mod soak;
pub(super) mod stopping;
pub(super) mod topology;
pub(super) mod work_queue;
