//! The typed client of a space of objects.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::broker::Broker;
use crate::deadline::after;
use crate::middleware::StopError;
use crate::name::{Name, RoutingKey};
use crate::route::Route;
use crate::rpc::Semantics;
use crate::rpc::caller::{Call, Caller};
use crate::rpc::client::{ClientOptions, ClientStats, result, stats};
use crate::rpc::codec::encode;
use crate::rpc::error::{CallError, SetupError};

use super::Object;

/// Calls objects of one space by their ids. As [`rpc::Client`](super::super::Client), else.
pub struct Client<T> {
    caller: Caller,
    space: Name,
    objects: PhantomData<fn(T)>,
}

impl<T: Object> Client<T> {
    /// A client of the objects that hosts hold in `space`; the options' semantics are those of objects
    /// in any case.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(broker: Arc<dyn Broker>, space: &Name, options: ClientOptions) -> Result<Self, SetupError> {
        super::host::declare_space(broker.as_ref(), space, after(options.setup))?;
        let caller = Caller::start(broker, space.as_str(), &options.semantics(Semantics::AtMostOnce))?;
        Ok(Self { caller, space: space.clone(), objects: PhantomData })
    }

    /// Calls an object, and waits for the result, until `deadline` at most.
    ///
    /// # Errors
    /// [`CallError`]; each says whether the call may have been executed.
    pub fn call(&self, id: &str, request: &T::Request, deadline: Instant) -> Result<T::Response, CallError<T::Error>> {
        let key = RoutingKey::new(id).map_err(CallError::ObjectId)?;
        let body = Bytes::from(encode(request).map_err(CallError::Encode)?);
        let to = Route::exchange(&self.space, key);
        result(self.caller.call(Call { to, object: Some(id.to_owned()), body, deadline }))
    }

    /// What it has seen so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        stats(&self.caller)
    }

    /// Ends its thread. Calls that wait, and later ones, fail as [`CallError::Closed`]. Blocks until
    /// `deadline` at most.
    ///
    /// # Errors
    /// [`StopError`]; it is closed all the same.
    pub fn close(&self, deadline: Instant) -> Result<(), StopError> {
        self.caller.close(deadline)
    }
}
