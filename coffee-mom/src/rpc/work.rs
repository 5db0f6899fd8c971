//! From the bytes of a request to those of its reply, through a typed handler. Never panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{CodecError, decode, encode};
use super::wire::{Reply, Status};

/// Handles one request. A panic of the handler is caught, and becomes a reply.
pub(super) fn work<Req, Resp, E>(body: &[u8], handler: impl FnOnce(Req) -> Result<Resp, E>) -> Reply
where
    Req: DeserializeOwned,
    Resp: Serialize,
    E: Serialize,
{
    let Ok(request) = decode(body) else {
        return Reply::empty(Status::Undecodable);
    };
    // Encoding runs foreign code as well.
    let worked = catch_unwind(AssertUnwindSafe(|| match handler(request) {
        Ok(result) => reply(Status::Done, encode(&result)),
        Err(error) => reply(Status::Failed, encode(&error)),
    }));
    worked.unwrap_or_else(|_| {
        log::error!("the handler of a remote call panicked");
        Reply::empty(Status::Panicked)
    })
}

fn reply(status: Status, body: Result<Vec<u8>, CodecError>) -> Reply {
    body.map_or_else(|_| Reply::empty(Status::Unsendable), |body| Reply { status, body })
}
