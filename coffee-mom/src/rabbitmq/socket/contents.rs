//! Looks at the frames as they go out, for messages that amiquip has begun and never ends. It takes them
//! frame by frame, forgets what it has not taken yet when the server closes the channel, and agrees to
//! that in the middle of the message: for RabbitMQ an error of the whole connection. So the rest of
//! the message is made up here; the server has stopped looking at what it says.

use std::collections::BTreeMap;

use super::frames::{BODY_FRAME, HEADER_BYTES, HEADER_FRAME, METHOD_FRAME};

/// Class and number of methods.
const PUBLISH: u32 = 60 << 16 | 40;
const CHANNEL_CLOSE_OK: u32 = 20 << 16 | 41;

/// What amiquip begins with is no frame: the protocol's name, which has as many bytes as this.
const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

const FRAME_END: u8 = 0xce;

/// The payload of the smallest frame that both sides have to take.
const MADE_UP_BODY: u64 = 4096 - 8;

/// Follows the messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// What the channels have begun and not ended.
    owed: BTreeMap<u16, Owed>,
    /// Bytes at the front of what amiquip offers that were looked at and can be written.
    looked_at: usize,
    /// To be written before the rest of what amiquip offers.
    missing: Vec<u8>,
}

/// What is still to come of a message.
#[derive(Debug, Clone, Copy)]
enum Owed {
    /// The header, and then the body, if it has one.
    Header,
    /// So many bytes of the body.
    Body(u64),
}

/// What to write next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// So many of the bytes that are offered.
    Offered(usize),
    /// These, and none of the bytes that are offered.
    Missing(&'a [u8]),
}

impl Contents {
    /// What to write of the bytes that amiquip offers, which are all that it has, whole frames but for
    /// what is written of the first one.
    pub(super) fn next(&mut self, offered: &[u8]) -> Next<'_> {
        if self.missing.is_empty() {
            self.look(offered);
        }
        if self.missing.is_empty() { Next::Offered(self.looked_at) } else { Next::Missing(&self.missing) }
    }

    /// So many of the bytes that were offered last are written.
    pub(super) fn written(&mut self, bytes: usize) {
        self.looked_at = self.looked_at.saturating_sub(bytes);
    }

    /// So many of the missing bytes are written.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.missing.drain(..bytes.min(self.missing.len()));
    }

    /// Looks at what is new, up to the first agreement that comes too early; if that is the next to be
    /// written, makes up a frame that has to come before it.
    fn look(&mut self, offered: &[u8]) {
        while let Some(new) = offered.get(self.looked_at..)
            && !new.is_empty()
        {
            let Some(frame) = Frame::first(new) else {
                self.looked_at += if new.starts_with(GREETING) { GREETING.len() } else { new.len() };
                continue;
            };
            if frame.is(CHANNEL_CLOSE_OK)
                && let Some(owed) = self.owed.get(&frame.channel).copied()
            {
                if self.looked_at == 0 {
                    let (missing, then) = owed.made_up(frame.channel);
                    self.missing = missing;
                    self.owe(frame.channel, then);
                }
                return;
            }
            self.follow(&frame);
            self.looked_at += frame.size;
        }
    }

    fn follow(&mut self, frame: &Frame<'_>) {
        let owed = match (frame.kind, self.owed.get(&frame.channel)) {
            (METHOD_FRAME, _) if frame.is(PUBLISH) => Some(Owed::Header),
            (HEADER_FRAME, _) => frame.body_bytes().map(Owed::Body),
            (BODY_FRAME, Some(Owed::Body(left))) => Some(Owed::Body(left.saturating_sub(frame.payload.len() as u64))),
            _ => return,
        };
        self.owe(frame.channel, owed);
    }

    fn owe(&mut self, channel: u16, owed: Option<Owed>) {
        match owed {
            None | Some(Owed::Body(0)) => self.owed.remove(&channel),
            Some(owed) => self.owed.insert(channel, owed),
        };
    }
}

impl Owed {
    /// A frame that takes the place of the next one, and what is to come after it.
    fn made_up(self, channel: u16) -> (Vec<u8>, Option<Self>) {
        match self {
            // Of class 60, without a body and properties.
            Self::Header => (frame(HEADER_FRAME, channel, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None),
            Self::Body(left) => {
                let now = left.min(MADE_UP_BODY);
                (frame(BODY_FRAME, channel, &vec![0; now as usize]), Some(Self::Body(left - now)))
            }
        }
    }
}

/// Of a payload that is known to be short.
fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = payload.len() as u32;
    [&[kind], &channel.to_be_bytes()[..], &size.to_be_bytes(), payload, &[FRAME_END]].concat()
}

/// A frame that amiquip has made.
struct Frame<'a> {
    kind: u8,
    channel: u16,
    payload: &'a [u8],
    /// All of its bytes.
    size: usize,
}

impl<'a> Frame<'a> {
    /// The one at the front; none if there is no whole one.
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let (&[kind, high, low, size @ ..], rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let payload = rest.get(..u32::from_be_bytes(size) as usize)?;
        let size = HEADER_BYTES + payload.len() + 1;
        let channel = u16::from_be_bytes([high, low]);
        (bytes.len() >= size).then_some(Self { kind, channel, payload, size })
    }

    fn is(&self, method: u32) -> bool {
        self.kind == METHOD_FRAME && self.payload.starts_with(&method.to_be_bytes())
    }

    /// What a header says about the body: it is behind the class and the weight.
    fn body_bytes(&self) -> Option<u64> {
        self.payload.get(4..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn method(channel: u16, method: u32) -> Vec<u8> {
        frame(METHOD_FRAME, channel, &[&method.to_be_bytes()[..], b"arguments"].concat())
    }

    /// The frames of a message whose body comes in pieces of these sizes.
    fn message(channel: u16, pieces: &[usize]) -> Vec<Vec<u8>> {
        let size = (pieces.iter().sum::<usize>() as u64).to_be_bytes();
        let header = frame(HEADER_FRAME, channel, &[&[0, 60, 0, 0], &size[..], &[0, 0]].concat());
        let bodies = pieces.iter().map(|size| frame(BODY_FRAME, channel, &vec![7; *size]));
        [method(channel, PUBLISH), header].into_iter().chain(bodies).collect()
    }

    /// What the socket gets of frames that come in groups, if it takes so many bytes at a time; 0 is
    /// `WouldBlock`.
    fn written(groups: &[Vec<u8>], takes: &[usize]) -> Vec<u8> {
        let mut contents = Contents::default();
        let (mut got, mut offered) = (Vec::new(), GREETING.to_vec());
        let mut takes = takes.iter().copied().chain(std::iter::repeat(usize::MAX));
        let mut groups = groups.iter();
        loop {
            while !offered.is_empty() {
                let take = takes.next().unwrap();
                match contents.next(&offered) {
                    _ if take == 0 => break,
                    Next::Offered(count) => {
                        assert!(count > 0);
                        got.extend(offered.drain(..count.min(take)));
                        contents.written(count.min(take));
                    }
                    Next::Missing(missing) => {
                        let count = missing.len().min(take);
                        got.extend(&missing[..count]);
                        contents.filled(count);
                    }
                }
            }
            match groups.next() {
                Some(group) => offered.extend(group),
                None if offered.is_empty() => return got,
                None => {}
            }
        }
    }

    /// Fails where a server would, on any channel: at a frame within a message that is not the next one
    /// of it.
    fn check(mut bytes: &[u8]) {
        bytes = bytes.strip_prefix(GREETING).unwrap();
        let mut left: BTreeMap<u16, Option<u64>> = BTreeMap::new();
        while !bytes.is_empty() {
            let frame = Frame::first(bytes).unwrap();
            assert_eq!(bytes[frame.size - 1], FRAME_END);
            let now = left.remove(&frame.channel);
            let then = match (frame.kind, now) {
                (METHOD_FRAME, None) => frame.is(PUBLISH).then_some(None),
                (HEADER_FRAME, Some(None)) => frame.body_bytes().filter(|size| *size > 0).map(Some),
                (BODY_FRAME, Some(Some(size))) => {
                    let size = size.checked_sub(frame.payload.len() as u64).unwrap();
                    (size > 0).then_some(Some(size))
                }
                (kind, _) => unreachable!("a frame of kind {kind} in place of {now:?}"),
            };
            if let Some(then) = then {
                left.insert(frame.channel, then);
            }
            bytes = &bytes[frame.size..];
        }
        assert!(left.is_empty());
    }

    proptest! {
        #[test]
        fn whole_messages_go_out_as_they_are(
            messages in prop::collection::vec((0_u16..3, prop::collection::vec(1_usize..30, 0..3)), 0..9),
            takes in prop::collection::vec(0_usize..90, 0..40),
        ) {
            let groups: Vec<_> = messages.iter().map(|(channel, pieces)| message(*channel, pieces).concat()).collect();
            let expected = [GREETING, &groups.concat()].concat();
            prop_assert_eq!(written(&groups, &takes), expected);
        }

        #[test]
        fn a_message_that_is_cut_is_ended_before_its_channel(
            messages in prop::collection::vec(
                (0_u16..3, prop::collection::vec(1_usize..9000, 0..3), any::<prop::sample::Index>()), 1..9,
            ),
            takes in prop::collection::vec(0_usize..5000, 0..40),
        ) {
            let groups: Vec<_> = messages.iter().flat_map(|(channel, pieces, cut)| {
                let mut frames = message(*channel, pieces);
                frames.truncate(cut.index(frames.len() + 1));
                frames.push(method(*channel, CHANNEL_CLOSE_OK));
                frames.push(method(*channel, 20 << 16 | 10));
                frames
            }).collect();
            check(&written(&groups, &takes));
        }
    }

    #[test]
    fn other_channels_need_not_wait() {
        let cut = [&message(1, &[100])[..2].concat()[..], &message(2, &[5]).concat()].concat();
        let end = method(1, CHANNEL_CLOSE_OK);
        let expected = [GREETING, &cut, &frame(BODY_FRAME, 1, &[0; 100]), &end].concat();
        assert_eq!(written(&[[cut.clone(), end].concat()], &[]), expected);
    }
}
