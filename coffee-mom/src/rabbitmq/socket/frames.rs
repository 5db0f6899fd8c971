//! Looks at the frames as they come, for what amiquip can't stand. It makes room for a whole frame,
//! and fills it with zeros on each read, as soon as it knows the size; so a peer that is no broker,
//! or garbage, would cost gigabytes and more time than any deadline. What can be mended within a
//! frame is mended in place, by `parts`.

use std::io;

use super::fields::Fields;
use super::parts::Parts;

/// RabbitMQ sends no larger frames unless it is told to; a body of that size is its own limit.
const MOST_BYTES: u32 = 128 << 20;

pub(super) const HEADER_BYTES: usize = 7;
pub(super) const METHOD_FRAME: u8 = 1;
pub(super) const HEADER_FRAME: u8 = 2;
pub(super) const BODY_FRAME: u8 = 3;
const HEARTBEAT_FRAME: u8 = 8;

/// Follows the frames of one connection:
///
/// ```text
/// octet  0      1..3      3..7   7..7+size   7+size
///        type   channel   size   payload     end
/// ```
#[derive(Debug)]
pub(super) struct Frames {
    most: u32,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes that are still to come of the frame whose header is complete: of the payload, and the end.
    left: u64,
    payload: Payload,
}

impl Frames {
    /// `most` is the bound of whole frames that was asked for, or 0.
    pub(super) fn new(most: u32) -> Self {
        let most = if most == 0 { MOST_BYTES } else { most };
        Self { most, header: [0; HEADER_BYTES], have: 0, left: 0, payload: Payload::Kept }
    }

    /// Mends these bytes, the next ones. Fails if something begins in them that is no frame, or too large.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wanted = if self.left > 0 { self.left } else { (HEADER_BYTES - self.have) as u64 };
            let (now, later) = bytes.split_at_mut(bytes.len().min(usize::try_from(wanted).unwrap_or(usize::MAX)));
            if self.left > 0 {
                let payload = now.len() - usize::from(now.len() as u64 == self.left);
                self.payload.mend(&mut now[..payload]);
                self.left -= now.len() as u64;
            } else {
                self.header[self.have..self.have + now.len()].copy_from_slice(now);
                self.have += now.len();
                if self.have == HEADER_BYTES {
                    self.begin()?;
                }
            }
            bytes = later;
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let [kind, _, _, size @ ..] = self.header;
        let size = u32::from_be_bytes(size);
        self.payload = match kind {
            METHOD_FRAME => Payload::Method(Fields::new(0, 4)),
            HEADER_FRAME => Payload::Message(Fields::new(12, 2)),
            BODY_FRAME | HEARTBEAT_FRAME => Payload::Kept,
            // Such as an alert of TLS, whose size would be waited for.
            _ => return Err(invalid("what came is no frame of AMQP")),
        };
        if size > self.most {
            return Err(invalid("a frame is too large"));
        }
        self.have = 0;
        self.left = u64::from(size) + 1;
        Ok(())
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// What a payload is, as far as it matters.
#[derive(Debug)]
enum Payload {
    /// Nothing to mend.
    Kept,
    /// A method whose number has not come.
    Method(Fields),
    /// A message whose flags have not come: behind its class, weight and size.
    Message(Fields),
    Parts(Parts),
}

impl Payload {
    fn mend(&mut self, mut bytes: &mut [u8]) {
        let parts = match self {
            Self::Method(fields) => fields.next(&mut bytes).map(|(method, _)| Parts::of_method(method)),
            // Two bytes fit.
            Self::Message(fields) => fields.next(&mut bytes).map(|(flags, _)| Parts::of_message(flags as u16)),
            Self::Kept | Self::Parts(_) => None,
        };
        if let Some(parts) = parts {
            *self = Self::Parts(parts);
        }
        if let Self::Parts(parts) = self {
            parts.mend(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parts::{CHANNEL_CLOSE, CONNECTION_CLOSE, CONNECTION_START, DELIVER};
    use super::*;

    fn frame(size: u32) -> Vec<u8> {
        let mut frame = vec![1, 0, 0];
        frame.extend(size.to_be_bytes());
        frame.resize(HEADER_BYTES + size as usize + 1, 0xff);
        frame
    }

    proptest! {
        #[test]
        fn only_the_sizes_matter_however_the_bytes_come(
            sizes in prop::collection::vec(0_u32..60, 0..20), piece in 1_usize..40, most in 1_u32..60,
        ) {
            let mut bytes: Vec<u8> = sizes.iter().copied().flat_map(frame).collect();
            let mut frames = Frames::new(most);
            let passed = bytes.chunks_mut(piece).try_for_each(|piece| frames.pass(piece));
            prop_assert_eq!(passed.is_ok(), sizes.iter().all(|size| *size <= most));
        }
    }

    #[test]
    fn other_protocols_are_not_let_in() {
        for text in [&b"HTTP/1.1 400"[..], b"AMQP\0\0\x09\x01", b"SSH-2.0-x", b"\x15\x03\x01\0\x02\x02\x0a"] {
            assert!(Frames::new(0).pass(&mut text.to_vec()).is_err(), "{text:?}");
        }
    }

    /// A frame that is followed by another one.
    fn passed(kind: u8, payload: &[u8], piece: usize) -> Vec<u8> {
        let size = (payload.len() as u32).to_be_bytes();
        let mut bytes = [&[kind, 0, 1][..], &size, payload, &[0xce], &frame(5)].concat();
        let mut frames = Frames::new(0);
        bytes.chunks_mut(piece).try_for_each(|piece| frames.pass(piece)).unwrap();
        assert_eq!(bytes[HEADER_BYTES + payload.len()..], [&[0xce][..], &frame(5)].concat());
        bytes[HEADER_BYTES..HEADER_BYTES + payload.len()].to_vec()
    }

    #[test]
    fn only_replies_of_closes_are_mended() {
        let text = b"\x01\x94\x03ab\xc3\0\x28\0\x0a";
        let mended = b"\x01\x94\x03ab?\0\x28\0\x0a";
        for piece in [1, 2, 100] {
            for method in [CHANNEL_CLOSE, CONNECTION_CLOSE] {
                let payload = [&method.to_be_bytes()[..], text].concat();
                let expected = [&method.to_be_bytes()[..], mended].concat();
                assert_eq!(passed(METHOD_FRAME, &payload, piece), expected);
                assert_eq!(passed(3, &payload, piece), payload, "a body");
            }
            let other = [&[0, 60, 0, 71], &text[..]].concat();
            assert_eq!(passed(METHOD_FRAME, &other, piece), other);
        }
    }

    #[test]
    fn texts_of_deliveries_are_mended() {
        let deliver = [&DELIVER.to_be_bytes()[..], b"\x01c\0\0\0\0\0\0\0\xff\0\x01x\x02a\xe9"].concat();
        let header = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0][..], b"\x02a\xe9"].concat();
        let mended = |payload: &[u8]| [&payload[..payload.len() - 1], b"?"].concat();
        for piece in [1, 2, 100] {
            assert_eq!(passed(METHOD_FRAME, &deliver, piece), mended(&deliver));
            assert_eq!(passed(HEADER_FRAME, &header, piece), mended(&header));
        }
    }

    #[test]
    fn headers_and_the_server_s_properties_are_flattened() {
        let table = (0..100).fold(Vec::new(), |inner: Vec<u8>, _| {
            [&b"\x01nF"[..], &(inner.len() as u32).to_be_bytes(), &inner].concat()
        });
        let table = [&(table.len() as u32).to_be_bytes()[..], &table].concat();
        let start = [&CONNECTION_START.to_be_bytes()[..], &[0, 9], &table].concat();
        let header = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0][..], &table].concat();
        for piece in [1, 2, 1000] {
            assert!(passed(METHOD_FRAME, &start, piece).contains(&b'x'));
            assert!(passed(HEADER_FRAME, &header, piece).contains(&b'x'));
            assert_eq!(passed(3, &header, piece), header, "a body");
        }
    }
}
