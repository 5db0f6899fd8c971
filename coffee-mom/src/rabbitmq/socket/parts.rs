//! What the payloads of frames consist of, and mending them part by part.

use super::nesting::Nesting;
use super::text::Text;

/// A part of a payload.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// So many bytes that can stay.
    Bytes(usize),
    Text,
    Table,
}

use Part::{Bytes, Table, Text as Short};

/// Class and number of the methods that are looked into.
pub(super) const CONNECTION_START: u32 = 10 << 16 | 10;
pub(super) const CONNECTION_CLOSE: u32 = 10 << 16 | 50;
pub(super) const CHANNEL_CLOSE: u32 = 20 << 16 | 40;
pub(super) const DELIVER: u32 = 60 << 16 | 60;

/// The properties of a message, in the order of their flags from the highest on: content type, content encoding,
/// headers, delivery mode, priority, correlation id, reply to, expiration, message id, timestamp, type, user,
/// application, cluster.
const PROPERTIES: &[Part] =
    &[Short, Short, Table, Bytes(1), Bytes(1), Short, Short, Short, Short, Bytes(8), Short, Short, Short, Short];

/// Follows the parts of one payload.
#[derive(Debug)]
pub(super) struct Parts {
    left: &'static [Part],
    /// Which of those are there, from the highest bit on.
    there: u16,
    now: Now,
}

/// The part that has begun.
#[derive(Debug)]
enum Now {
    Bytes(usize),
    Text(Text),
    Table(Nesting),
}

impl Parts {
    /// Those of a method behind its number, up to the last that needs mending.
    pub(super) fn of_method(method: u32) -> Self {
        Self::new(
            match method {
                CONNECTION_START => &[Bytes(2), Table],
                CONNECTION_CLOSE | CHANNEL_CLOSE => &[Bytes(2), Short],
                // The consumer, the tag, whether it comes again, the exchange, the routing key.
                DELIVER => &[Short, Bytes(8), Bytes(1), Short, Short],
                _ => &[],
            },
            u16::MAX,
        )
    }

    /// The properties of a message behind their flags.
    pub(super) fn of_message(flags: u16) -> Self {
        Self::new(PROPERTIES, flags)
    }

    fn new(left: &'static [Part], there: u16) -> Self {
        Self { left, there, now: Now::Bytes(0) }
    }

    /// Mends the next bytes.
    pub(super) fn mend(&mut self, mut bytes: &mut [u8]) {
        while self.now.mend(&mut bytes) {
            let Some((part, left)) = self.left.split_first() else { return };
            let there = self.there & 1 << 15 != 0;
            (self.left, self.there) = (left, self.there << 1);
            if there {
                self.now = Now::from(*part);
            }
        }
    }
}

impl From<Part> for Now {
    fn from(part: Part) -> Self {
        match part {
            Part::Bytes(count) => Self::Bytes(count),
            Part::Text => Self::Text(Text::new()),
            Part::Table => Self::Table(Nesting::new()),
        }
    }
}

impl Now {
    /// Mends the next bytes and takes them off. True: the part has ended.
    fn mend(&mut self, bytes: &mut &mut [u8]) -> bool {
        match self {
            Self::Bytes(left) => {
                let now = bytes.len().min(*left);
                let _ = bytes.split_off_mut(..now);
                *left -= now;
                *left == 0
            }
            Self::Text(text) => text.mend(bytes),
            Self::Table(nesting) => nesting.flatten(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A property, by its place, that holds `text` as far as it can.
    fn property(place: usize, text: &[u8]) -> Vec<u8> {
        match PROPERTIES[place] {
            Part::Bytes(count) => vec![0xff; count],
            Part::Text => [&[text.len() as u8], text].concat(),
            Part::Table => [&(text.len() as u32).to_be_bytes()[..], text].concat(),
        }
    }

    proptest! {
        #[test]
        fn each_property_that_is_there_is_mended_by_its_kind(
            flags: u16,
            text in prop::collection::vec(0x70_u8.., 0..20),
            piece in 1_usize..9,
        ) {
            let there = (0..PROPERTIES.len()).filter(|place| flags & 1 << (15 - place) != 0);
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for place in there {
                let before = property(place, &text);
                let mut after = before.clone();
                if matches!(PROPERTIES[place], Part::Text) {
                    Text::new().mend(&mut &mut after[..]);
                }
                bytes.extend(before);
                expected.extend(after);
            }
            let mut parts = Parts::of_message(flags);
            bytes.chunks_mut(piece).for_each(|piece| parts.mend(piece));
            prop_assert_eq!(bytes, expected);
        }
    }
}
