//! A gateway on real sockets, a broker and a query node.

mod access;
mod peers;
mod results;
mod sessions;
mod support;
mod uploads;
