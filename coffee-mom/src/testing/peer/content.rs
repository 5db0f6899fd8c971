//! What a message looks like behind its method: a header frame, then body frames.
//!
//! ```text
//! header payload   u16 class, u16 0, u64 body bytes, u16 flags, then one field a flag, from the left:
//!                  content-type, content-encoding, headers, delivery-mode, priority, correlation-id,
//!                  reply-to, expiration, message-id, timestamp, type, user-id, app-id, cluster-id
//! body payload     the next bytes of the body
//! ```

use bytes::Bytes;

use super::Malformed;
use super::field::{Fields, put_short, put_table};
use super::frame::{self, Kind, OVERHEAD};
use crate::{Message, Properties};

/// More than any test sends, and little enough to keep.
const MAX_BODY: u64 = 256 << 20;
const BASIC: u16 = 60;
const PERSISTENT: u8 = 2;

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
/// type, user-id, app-id, cluster-id: short texts that nobody here looks at.
const REST: [u16; 4] = [1 << 5, 1 << 4, 1 << 3, 1 << 2];

/// A message of which some body frames have come.
#[derive(Debug)]
pub(super) struct Partial {
    persistent: bool,
    properties: Properties,
    body: Vec<u8>,
    missing: u64,
}

impl Partial {
    pub(super) fn from_header(payload: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        let (_class, _weight, missing) = (fields.u16()?, fields.u16()?, fields.u64()?);
        if missing > MAX_BODY {
            return Err(Malformed::BodySize(missing));
        }
        let (properties, persistent) = properties(&mut fields)?;
        fields.end()?;
        Ok(Self { persistent, properties, body: Vec::new(), missing })
    }

    pub(super) fn add(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        self.missing = self.missing.checked_sub(payload.len() as u64).ok_or(Malformed::OutOfTurn)?;
        self.body.extend_from_slice(payload);
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// The message, and whether it is persistent.
    pub(super) fn into_message(self) -> (Message, bool) {
        let message = Message::new(Bytes::from(self.body));
        let has_properties = self.properties != Properties::default();
        (if has_properties { message.with(self.properties) } else { message }, self.persistent)
    }
}

fn properties(fields: &mut Fields<'_>) -> Result<(Properties, bool), Malformed> {
    let flags = fields.u16()?;
    let mut properties = Properties::default();
    let mut persistent = false;
    let short = |fields: &mut Fields<'_>, flag| (flags & flag != 0).then(|| fields.short()).transpose();
    properties.content_type = short(fields, CONTENT_TYPE)?;
    short(fields, CONTENT_ENCODING)?;
    if flags & HEADERS != 0 {
        properties.headers = fields.table()?;
    }
    if flags & DELIVERY_MODE != 0 {
        persistent = fields.u8()? == PERSISTENT;
    }
    if flags & PRIORITY != 0 {
        fields.u8()?;
    }
    properties.correlation_id = short(fields, CORRELATION_ID)?;
    properties.reply_to = short(fields, REPLY_TO)?;
    short(fields, EXPIRATION)?;
    properties.message_id = short(fields, MESSAGE_ID)?;
    if flags & TIMESTAMP != 0 {
        properties.timestamp = Some(fields.u64()?);
    }
    for flag in REST {
        short(fields, flag)?;
    }
    Ok((properties, persistent))
}

/// Appends the frames of a message, none of them larger than `max_frame`.
pub(super) fn put(out: &mut Vec<u8>, channel: u16, message: &Message, max_frame: u32) {
    let mut header = Vec::new();
    header.extend_from_slice(&BASIC.to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(&(message.body.len() as u64).to_be_bytes());
    put_properties(&mut header, message.properties());
    frame::put(out, Kind::Header, channel, &header);
    for chunk in message.body.chunks(max_frame.saturating_sub(OVERHEAD).max(1) as usize) {
        frame::put(out, Kind::Body, channel, chunk);
    }
}

fn put_properties(out: &mut Vec<u8>, properties: &Properties) {
    let mut flags = 0;
    let mut fields = Vec::new();
    let mut short = |fields: &mut Vec<u8>, flag, text: &Option<String>| {
        if let Some(text) = text {
            flags |= flag;
            put_short(fields, text);
        }
    };
    short(&mut fields, CONTENT_TYPE, &properties.content_type);
    put_table(&mut fields, &properties.headers);
    short(&mut fields, CORRELATION_ID, &properties.correlation_id);
    short(&mut fields, REPLY_TO, &properties.reply_to);
    short(&mut fields, MESSAGE_ID, &properties.message_id);
    if let Some(seconds) = properties.timestamp {
        flags |= TIMESTAMP;
        fields.extend_from_slice(&seconds.to_be_bytes());
    }
    out.extend_from_slice(&(flags | HEADERS).to_be_bytes());
    out.extend_from_slice(&fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back() {
        let mut properties = Properties::default().message_id("m").reply_to("r").header("h", 7);
        properties.timestamp = Some(9);
        let message = Message::new(vec![7; 10_000]).with(properties);
        let mut bytes = Vec::new();
        put(&mut bytes, 1, &message, 4096);
        let mut rest = &bytes[..];
        let mut partial = None;
        while let Some(frame) = frame::first(rest, 4096).unwrap() {
            match frame.kind {
                Kind::Header => partial = Some(Partial::from_header(frame.payload).unwrap()),
                _ => partial.as_mut().unwrap().add(frame.payload).unwrap(),
            }
            rest = &rest[frame.len()..];
        }
        assert!(rest.is_empty());
        assert_eq!(partial.unwrap().into_message(), (message, false));
    }
}
