//! From the bytes of one connection to what its client says.

use std::collections::HashMap;

use super::content::Partial;
use super::frame::{self, Frame, Kind, PROTOCOL_HEADER};
use super::from_client::{self, FromClient};
use super::link::MAX_FRAME;
use super::malformed::Malformed;

/// What a client says, by channel.
pub(super) type Said = (u16, FromClient);

#[derive(Default)]
pub(super) struct Decoder {
    greeted: bool,
    /// Where the next frame begins is not known any more.
    lost: bool,
    channels: HashMap<u16, Channel>,
}

impl Decoder {
    /// Takes what is whole off the front of `input`, and appends what it says.
    pub(super) fn decode(&mut self, input: &mut Vec<u8>, said: &mut Vec<Said>) {
        let mut used = 0;
        while !self.lost {
            match self.step(&input[used..]) {
                Ok(Some((bytes, heard))) => {
                    used += bytes;
                    said.extend(heard);
                }
                Ok(None) => break,
                Err(malformed) => {
                    self.lost = true;
                    said.push((0, FromClient::Malformed(malformed)));
                }
            }
        }
        if self.lost {
            input.clear();
        } else {
            input.drain(..used);
        }
    }

    /// The length of what is next and what it says, if it says something yet.
    fn step(&mut self, input: &[u8]) -> Result<Option<(usize, Option<Said>)>, Malformed> {
        if !self.greeted {
            return self.greet(input);
        }
        let Some(frame) = frame::first(input, MAX_FRAME)? else { return Ok(None) };
        let channel = self.channels.entry(frame.channel).or_default();
        let heard = channel.hear(&frame).unwrap_or_else(|malformed| Some(FromClient::Malformed(malformed)));
        if heard == Some(FromClient::ChannelOpen) {
            *channel = Channel::default();
        }
        Ok(Some((frame.len(), heard.map(|heard| (frame.channel, heard)))))
    }

    fn greet(&mut self, input: &[u8]) -> Result<Option<(usize, Option<Said>)>, Malformed> {
        let length = PROTOCOL_HEADER.len();
        match input.get(..length) {
            Some(header) if header == PROTOCOL_HEADER => {
                self.greeted = true;
                Ok(Some((length, Some((0, FromClient::ProtocolHeader)))))
            }
            None if PROTOCOL_HEADER.starts_with(input) => Ok(None),
            _ => Err(Malformed::ProtocolHeader),
        }
    }
}

#[derive(Default)]
struct Channel {
    /// Publishes since the confirm mode was chosen.
    confirming: Option<u64>,
    publish: Option<FromClient>,
    content: Option<Partial>,
}

impl Channel {
    fn hear(&mut self, frame: &Frame<'_>) -> Result<Option<FromClient>, Malformed> {
        match frame.kind {
            Kind::Heartbeat => return Ok(Some(FromClient::Heartbeat)),
            Kind::Method => return self.method(frame.payload),
            Kind::Header if self.publish.is_some() && self.content.is_none() => {
                self.content = Some(Partial::from_header(frame.payload)?);
            }
            Kind::Header => return Err(Malformed::OutOfTurn),
            Kind::Body => self.content.as_mut().ok_or(Malformed::OutOfTurn)?.add(frame.payload)?,
        }
        Ok(self.published())
    }

    fn method(&mut self, payload: &[u8]) -> Result<Option<FromClient>, Malformed> {
        self.content = None;
        let interrupted = self.publish.take().is_some();
        let mut method = from_client::read(payload)?;
        // A client that hears of the channel's end in the middle of a message leaves it at that.
        if interrupted && method != FromClient::ChannelCloseOk {
            return Err(Malformed::OutOfTurn);
        }
        match &mut method {
            FromClient::Publish { tag, .. } => {
                self.confirming = self.confirming.map(|count| count + 1);
                *tag = self.confirming.unwrap_or(0);
                self.publish = Some(method);
                return Ok(None);
            }
            FromClient::ConfirmSelect { .. } => self.confirming = self.confirming.or(Some(0)),
            _ => {}
        }
        Ok(Some(method))
    }

    /// The publish whose message has come in whole.
    fn published(&mut self) -> Option<FromClient> {
        let content = self.content.take_if(|content| content.is_whole())?;
        let mut method = self.publish.take()?;
        if let FromClient::Publish { message, persistent, .. } = &mut method {
            (*message, *persistent) = content.into_message();
        }
        Some(method)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Message;
    use crate::testing::peer::content;

    fn publish(out: &mut Vec<u8>, body: &[u8]) {
        frame::put(out, Kind::Method, 1, b"\0\x3c\0\x28\0\0\0\x01q\x01");
        content::put(out, 1, &Message::new(body.to_vec()), MAX_FRAME);
    }

    fn decode(bytes: &[u8], chunk: usize) -> Vec<Said> {
        let (mut decoder, mut input, mut said) = (Decoder::default(), Vec::new(), Vec::new());
        for bytes in bytes.chunks(chunk) {
            input.extend_from_slice(bytes);
            decoder.decode(&mut input, &mut said);
        }
        said
    }

    #[test]
    fn publishes_are_whole_and_counted_from_the_confirm_mode_on() {
        let mut bytes = PROTOCOL_HEADER.to_vec();
        publish(&mut bytes, b"");
        frame::put(&mut bytes, Kind::Method, 1, b"\0\x55\0\x0a\0");
        publish(&mut bytes, b"one");
        publish(&mut bytes, &vec![2; 300_000]);
        let whole = decode(&bytes, bytes.len());
        let publishes: Vec<_> = whole
            .iter()
            .filter_map(|(_, said)| match said {
                FromClient::Publish { tag, message, .. } => Some((*tag, message.body.len())),
                _ => None,
            })
            .collect();
        assert_eq!(publishes, [(0, 0), (1, 3), (2, 300_000)]);
        assert_eq!(decode(&bytes, 7), whole);
    }

    #[test]
    fn a_malformed_payload_costs_one_frame_and_a_malformed_frame_the_rest() {
        let mut bytes = PROTOCOL_HEADER.to_vec();
        frame::put(&mut bytes, Kind::Method, 1, b"\0\x3c\0\x50");
        frame::put(&mut bytes, Kind::Heartbeat, 0, b"");
        bytes.extend_from_slice(b"\x05garbage");
        let said = decode(&bytes, bytes.len());
        assert_eq!(
            said[1..],
            [
                (1, FromClient::Malformed(Malformed::Truncated)),
                (0, FromClient::Heartbeat),
                (0, FromClient::Malformed(Malformed::FrameKind(5))),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in 1_u8..4, payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = PROTOCOL_HEADER.to_vec();
            publish(&mut bytes, b"x");
            bytes.push(kind);
            bytes.extend_from_slice(&[0, 1, 0, 0, 0, payload.len() as u8]);
            bytes.extend_from_slice(&payload);
            bytes.push(0xCE);
            bytes.extend_from_slice(&payload);
            decode(&bytes, 50);
        }
    }
}
