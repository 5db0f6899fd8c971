//! What a client is told when it can't have what it asks for.

use crate::{
    access::Denied,
    cluster::{QueryCallError, QueryError},
    wire::{Refusal, ToClient, WireError},
};

/// A refusal, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub code: Refusal,
    pub text: String,
    /// Whether it is for what one client may take.
    pub is_limit: bool,
}

impl Refused {
    pub fn new(code: Refusal, text: impl Into<String>) -> Self {
        Refused { code, text: text.into(), is_limit: false }
    }

    /// The client takes more than one may; later that may be otherwise.
    pub fn limited(text: &'static str) -> Self {
        Refused { is_limit: true, ..Refused::new(Refusal::Busy, text) }
    }

    /// The client does what the protocol does not allow.
    pub fn protocol(text: &'static str) -> Self {
        Refused::new(Refusal::Protocol, text)
    }

    /// Another gateway, or the same one later, may do better.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Refused::new(Refusal::Unavailable, text)
    }

    /// Whether the connection closes with it.
    pub fn closes(&self) -> bool {
        match self.code {
            Refusal::Protocol | Refusal::Version | Refusal::Full | Refusal::Superseded | Refusal::Unavailable => true,
            Refusal::Busy | Refusal::Denied | Refusal::UnknownJob | Refusal::Differs | Refusal::Invalid => false,
        }
    }

    pub fn message(self) -> ToClient {
        let Refused { code, text, .. } = self;
        ToClient::Refused { code, text }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Refused::new(Refusal::Denied, denied.to_string())
    }
}

impl From<QueryCallError> for Refused {
    fn from(error: QueryCallError) -> Self {
        let code = match &error {
            QueryCallError::Refused(QueryError::UnknownJob(_)) => Refusal::UnknownJob,
            QueryCallError::Refused(QueryError::Superseded) => Refusal::Superseded,
            QueryCallError::Refused(QueryError::Differs(..)) => Refusal::Differs,
            QueryCallError::Refused(QueryError::Invalid(_) | QueryError::TooLarge { .. } | QueryError::Ended(_)) => {
                Refusal::Invalid
            }
            QueryCallError::Refused(QueryError::Busy | QueryError::TooMany(_)) => Refusal::Busy,
            QueryCallError::Refused(QueryError::Denied(_)) => Refusal::Denied,
            _ => Refusal::Unavailable,
        };
        let is_limit = matches!(error, QueryCallError::Refused(QueryError::TooMany(_) | QueryError::TooLarge { .. }));
        Refused { is_limit, ..Refused::new(code, error.to_string()) }
    }
}

/// What is said to a peer whose connection is of no more use; `None` where nobody would hear it.
pub(super) fn last_word(error: &WireError) -> Option<Refused> {
    let code = match error {
        WireError::Closed | WireError::Io(_) | WireError::Tls(_) => return None,
        WireError::Version(_) => Refusal::Version,
        _ => Refusal::Protocol,
    };
    Some(Refused::new(code, error.to_string()))
}
