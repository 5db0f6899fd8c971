//! Where an object is, as one host knows it.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::Sender;

use crate::name::Name;
use crate::rpc::codec::{CodecError, decode, encode};
use crate::rpc::table::Table;
use crate::rpc::wire::Request;

use super::host::HostOptions;
use super::transfer::Luggage;
use super::{MoveError, Object};

/// An object that is here.
pub(super) struct Resident<T> {
    pub(super) object: T,
    pub(super) calls: Table,
    /// How often it has moved.
    pub(super) version: u64,
}

impl<T: Object> Resident<T> {
    /// What it takes along when it moves.
    pub(super) fn pack(&self) -> Result<Bytes, CodecError> {
        let luggage = Luggage { state: encode(&self.object)?, calls: &self.calls };
        Ok(encode(&luggage)?.into())
    }

    pub(super) fn unpack(body: &[u8], version: u64, options: &HostOptions) -> Result<Self, CodecError> {
        let luggage: Luggage<Table> = decode(body)?;
        Ok(Self { object: decode(&luggage.state)?, calls: luggage.calls.adopt(options.limits), version })
    }
}

/// Who waits for the end of a move, and until when.
pub(super) type Waiter = (Instant, Sender<Result<(), MoveError>>);

/// An object that is on its way: it belongs to nobody that is known here.
pub(super) struct Leaving<T> {
    /// As it is if it stays after all.
    pub(super) resident: Resident<T>,
    pub(super) to: Name,
    /// What is sent to the other host, again and again.
    pub(super) luggage: Bytes,
    /// How often that was sent, and how often it is known that nobody has got it.
    pub(super) tries: u32,
    pub(super) bounced: u32,
    pub(super) again: Instant,
    pub(super) waiters: Vec<Waiter>,
    /// Calls that wait to know where to go.
    pub(super) parked: VecDeque<(Request, Bytes)>,
}

/// An object that has moved away.
pub(super) struct Gone {
    pub(super) to: Name,
    /// As which it has moved.
    pub(super) version: u64,
    /// Its number among all that have moved away.
    pub(super) departure: u64,
}

pub(super) enum Place<T> {
    Here(Resident<T>),
    Leaving(Leaving<T>),
    Gone(Gone),
    /// It has come, but calls may not be led here yet: its sender will offer it again. With the latest version
    /// that was here before.
    Arriving(Option<u64>),
}

impl<T> Place<T> {
    /// The latest version that is known; none of an object that was never here.
    pub(super) fn version(&self) -> Option<u64> {
        match self {
            Self::Here(resident) => Some(resident.version),
            Self::Leaving(leaving) => Some(leaving.resident.version),
            Self::Gone(gone) => Some(gone.version),
            Self::Arriving(before) => *before,
        }
    }
}
