//! What hosts say to each other about an object that moves.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Message, Properties};
use crate::name::Name;
use crate::rpc::wire::{OBJECT, int, number, text};

const NEWS: &str = "rpc-host";
const VERSION: &str = "rpc-version";
#[cfg(feature = "fuzzing")]
pub(in crate::rpc) const HEADERS: [&str; 2] = [NEWS, VERSION];

/// An object that moves: its own bytes, and the calls that it has executed (`Calls` is a table, owned or borrowed).
#[derive(Serialize, Deserialize)]
pub(super) struct Luggage<Calls> {
    pub(super) state: Vec<u8>,
    pub(super) calls: Calls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The object is in the body: take it.
    Take,
    /// The sender has the object now, or had it already.
    Taken,
    /// The sender can't read the object, and does not have it.
    Refused,
}

/// Said of one object, which counts its moves by its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) news: News,
    pub(super) object: String,
    pub(super) version: u64,
    /// Who says it.
    pub(super) host: Name,
}

impl Notice {
    pub(super) fn message(&self, body: Bytes) -> Message {
        let news = match self.news {
            News::Take => "take",
            News::Taken => "taken",
            News::Refused => "refused",
        };
        let properties = Properties::default()
            .reply_to(self.host.as_str())
            .header(NEWS, news)
            .header(OBJECT, self.object.as_str())
            .header(VERSION, int(self.version));
        Message::new(body).with(properties)
    }

    /// None if the message is none of a host.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let properties = message.properties();
        let news = match text(properties, NEWS)? {
            "take" => News::Take,
            "taken" => News::Taken,
            "refused" => News::Refused,
            _ => return None,
        };
        Some(Self {
            news,
            object: text(properties, OBJECT)?.to_owned(),
            version: number(properties, VERSION)?,
            host: Name::new(properties.reply_to.as_deref()?).ok()?,
        })
    }
}
