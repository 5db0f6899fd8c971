//! What is said, and as which bytes.
//!
//! ```text
//! datagram := version:u8 (1)   key (16 bytes)   postcard of Datagram      at most 1,200 bytes
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Key;
use crate::statistics::NodeStatistics;

const VERSION: u8 = 1;

/// No network cuts a datagram of so many bytes into pieces.
const LONGEST: usize = 1200;

/// Longest name of a node that is taken, in bytes.
const LONGEST_NAME: usize = 255;

/// A monitor, counted from 0; the highest that lives leads.
pub type MonitorId = u16;

/// What one datagram says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datagram {
    /// A node, to all monitors: it lives.
    Beat(Beat),
    /// The agent, to all monitors: some of what it has.
    Report(Vec<Seat>),
    /// A monitor, to those above it: is one of them there?
    Election(MonitorId),
    /// A monitor above, to one that asks: yes.
    Answer(MonitorId),
    /// The leader, to all other monitors and the agent: it leads.
    Leading(MonitorId),
    /// The leader, to the agent.
    Order(Order),
    /// A node, to all monitors: how are they?
    Question,
    /// A monitor, to whoever asks how it is.
    Status(Box<NodeStatistics>),
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Its name in the cluster.
    pub name: String,
    /// Which of its lives.
    pub life: u64,
    /// What it does.
    pub phase: Phase,
    /// For how many seconds one of its loops has made no progress.
    pub stalled: u32,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not ready yet.
    Starting,
    /// Works.
    Ready,
    /// Was asked to stop, or stops by itself.
    Stopping,
}

/// A node's place at the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The node's name.
    pub name: String,
    /// The life that it has, or had last.
    pub life: u64,
    /// Whether that lives.
    pub state: SeatState,
    /// For how many milliseconds it has been so.
    pub since_ms: u64,
}

/// Whether a node's process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeatState {
    /// There is a process; whether it has said that it works.
    Running {
        /// It has.
        ready: bool,
    },
    /// It has ended, and was waited for.
    Ended(End),
}

/// How a process has ended, and those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many in a row ended of their own accord early: before they were ready, or soon after their start. One that is ended by
    /// a signal breaks the row.
    pub early: u32,
    /// Whether one of its lives ever was ready.
    pub was_ready: bool,
}

/// What the agent is to do. It concerns one life: where the node has another by now, nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Kill this life for certain: it is silent.
    Kill {
        /// The node.
        name: String,
        /// Which life.
        life: u64,
    },
    /// Start a successor of this life, which has ended.
    Start {
        /// The node.
        name: String,
        /// Which life.
        life: u64,
    },
}

impl Seat {
    /// For how long it has been so.
    pub fn since(&self) -> Duration {
        Duration::from_millis(self.since_ms)
    }
}

/// The bytes of a datagram; `None` where it is too long to be sent, by a very long name.
pub fn encode(key: Key, datagram: &Datagram) -> Option<Vec<u8>> {
    let mut bytes = vec![VERSION];
    bytes.extend(key.bytes());
    let bytes = postcard::to_extend(datagram, bytes).ok()?;
    (bytes.len() <= LONGEST).then_some(bytes)
}

/// The datagram of these bytes; `None` where they are of another cluster or version, or make no sense.
pub fn decode(key: Key, bytes: &[u8]) -> Option<Datagram> {
    let body = bytes.strip_prefix(&[VERSION])?.strip_prefix(&key.bytes())?;
    let (datagram, rest) = postcard::take_from_bytes(body).ok()?;
    let fits = |name: &str| name.len() <= LONGEST_NAME;
    let named = match &datagram {
        Datagram::Beat(beat) => fits(&beat.name),
        Datagram::Report(seats) => seats.iter().all(|seat| fits(&seat.name)),
        Datagram::Order(Order::Kill { name, .. } | Order::Start { name, .. }) => fits(name),
        Datagram::Status(status) => fits(&status.identity.name),
        Datagram::Election(_) | Datagram::Answer(_) | Datagram::Leading(_) | Datagram::Question => true,
    };
    (named && rest.is_empty()).then_some(datagram)
}

/// The datagrams of a report: as many as its length needs. A seat that fits none is left out.
pub fn report(key: Key, seats: &[Seat]) -> Vec<Vec<u8>> {
    let Some(bytes) = encode(key, &Datagram::Report(seats.to_vec())) else {
        if seats.len() < 2 {
            return Vec::new();
        }
        let (first, second) = seats.split_at(seats.len() / 2);
        return [report(key, first), report(key, second)].concat();
    };
    if seats.is_empty() { Vec::new() } else { vec![bytes] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        "000102030405060708090a0b0c0d0e0f".parse().unwrap()
    }

    #[test]
    fn only_whole_datagrams_of_the_same_cluster_are_taken() {
        let name = "groups.0".to_owned();
        let beat = Datagram::Beat(Beat { name: name.clone(), life: u64::MAX, phase: Phase::Ready, stalled: 3 });
        for datagram in [beat, Datagram::Leading(2), Datagram::Order(Order::Kill { name, life: 7 })] {
            let bytes = encode(key(), &datagram).unwrap();
            assert_eq!(decode(key(), &bytes), Some(datagram));
            assert_eq!(decode(Key::random().unwrap(), &bytes), None);
            assert!((0..bytes.len()).all(|end| decode(key(), &bytes[..end]).is_none()));
            assert_eq!(decode(key(), &[&bytes[..], &[0]].concat()), None);
            assert_eq!(decode(key(), &[&[VERSION + 1], &bytes[1..]].concat()), None);
        }
    }

    #[test]
    fn a_long_report_travels_in_pieces() {
        let state = SeatState::Ended(End { early: 3, was_ready: true });
        let seat =
            |number| Seat { name: format!("aggregate-purchases.{number}"), life: number, state, since_ms: 1 << 40 };
        let seats: Vec<Seat> = (0..1000).map(seat).collect();
        let pieces = report(key(), &seats);
        assert!(pieces.len() > 10 && pieces.iter().all(|piece| piece.len() <= LONGEST));
        let read = pieces.iter().flat_map(|piece| match decode(key(), piece) {
            Some(Datagram::Report(seats)) => seats,
            other => panic!("{other:?}"),
        });
        assert_eq!(read.collect::<Vec<_>>(), seats);
        assert!(report(key(), &[]).is_empty());
        let endless = Seat { name: "x".repeat(2000), ..seats[0].clone() };
        assert_eq!(report(key(), &[endless, seats[1].clone()]).len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut all = vec![VERSION];
            all.extend(key().bytes());
            all.extend(&bytes);
            if let Some(datagram) = decode(key(), &all) {
                prop_assert_eq!(decode(key(), &encode(key(), &datagram).unwrap()), Some(datagram));
            }
        }
    }
}
