//! Makes short texts UTF-8. Nobody checks what others publish, and RabbitMQ cuts the text with which it closes a
//! channel after 255 bytes, in the middle of a character too. amiquip would take such a frame for malformed, or
//! lose its place in it, and end the link; for a message that comes again, again and again.

use std::ops::RangeInclusive;

/// What follows the first byte of a character and, after some of those, its second byte.
const FOLLOWING: RangeInclusive<u8> = 0x80..=0xbf;

/// Follows a short text: its length in one byte, then so many bytes.
///
/// The bytes are looked at once, as they come, so what has come already can't be mended any more. Therefore a
/// byte that begins no character, or one that has no room, becomes a question mark; and a byte that does not
/// continue the character that has begun becomes one that does.
#[derive(Debug)]
pub(super) struct Text {
    /// Bytes that have not come; `None` before the length.
    left: Option<u8>,
    /// Bytes that belong to the last character and have not come.
    open: u8,
    /// What the next of those has to be.
    next: RangeInclusive<u8>,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { left: None, open: 0, next: FOLLOWING }
    }

    /// Mends the next bytes and takes them off. True: the text has ended.
    pub(super) fn mend(&mut self, bytes: &mut &mut [u8]) -> bool {
        while self.left != Some(0) {
            let Some(byte) = bytes.split_off_first_mut() else { return false };
            match self.left {
                None => self.left = Some(*byte),
                Some(left) => {
                    self.left = Some(left - 1);
                    self.mend_byte(byte, left - 1);
                }
            }
        }
        true
    }

    /// Mends a byte that is followed by so many.
    fn mend_byte(&mut self, byte: &mut u8, left: u8) {
        if self.open > 0 {
            if !self.next.contains(byte) {
                *byte = *self.next.start();
            }
            self.open -= 1;
            self.next = FOLLOWING;
            return;
        }
        match following(*byte) {
            Some((open, next)) if open <= left => (self.open, self.next) = (open, next),
            _ => *byte = b'?',
        }
    }
}

/// How many bytes follow the first one of a character, and what the second has to be.
fn following(first: u8) -> Option<(u8, RangeInclusive<u8>)> {
    match first {
        0..=0x7f => Some((0, FOLLOWING)),
        0xc2..=0xdf => Some((1, FOLLOWING)),
        0xe0 => Some((2, 0xa0..=0xbf)),
        0xed => Some((2, 0x80..=0x9f)),
        0xe1..=0xef => Some((2, FOLLOWING)),
        0xf0 => Some((3, 0x90..=0xbf)),
        0xf1..=0xf3 => Some((3, FOLLOWING)),
        0xf4 => Some((3, 0x80..=0x8f)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A text that is followed by other bytes, and comes in pieces.
    fn mended(text: &[u8], piece: usize) -> Vec<u8> {
        let mut bytes = [&[text.len() as u8], text, &[0xff, 20]].concat();
        let mut mender = Text::new();
        for mut piece in bytes.chunks_mut(piece) {
            mender.mend(&mut piece);
        }
        assert_eq!((bytes[0], &bytes[1 + text.len()..]), (text.len() as u8, &[0xff, 20][..]));
        bytes[1..1 + text.len()].to_vec()
    }

    proptest! {
        #[test]
        fn any_cut_leaves_text_of_the_same_length(text in "[aé€😀]{0,40}", cut in 0_usize..160, piece in 1_usize..9) {
            let cut = cut.min(text.len());
            let whole = text.floor_char_boundary(cut);
            let expected = format!("{}{}", &text[..whole], "?".repeat(cut - whole));
            prop_assert_eq!(mended(&text.as_bytes()[..cut], piece), expected.as_bytes());
        }

        #[test]
        fn any_text_stays_as_it_is(text in ".{0,60}", piece in 1_usize..9) {
            prop_assert_eq!(mended(text.as_bytes(), piece), text.as_bytes());
        }

        #[test]
        fn any_bytes_become_text(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\xe0\xed\xf0\xf4\x80".to_vec())], 0..200),
            piece in 1_usize..9,
        ) {
            let text = mended(&bytes, piece);
            prop_assert!(std::str::from_utf8(&text).is_ok(), "{:?}", text);
        }
    }

    #[test]
    fn a_text_ends_where_its_length_says() {
        let mut bytes = &mut b"\x02ab\xff"[..].to_vec()[..];
        assert!(Text::new().mend(&mut bytes));
        assert_eq!(bytes, b"\xff");
        assert!(Text::new().mend(&mut &mut [0, 1][..]));
        assert!(!Text::new().mend(&mut &mut [2, b'a'][..]));
    }
}
