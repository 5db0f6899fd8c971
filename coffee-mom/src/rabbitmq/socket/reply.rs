//! Mends the reason that RabbitMQ gives when it closes a channel or a connection. It cuts the text
//! after 255 bytes, in the middle of a character too; amiquip would take the frame for malformed,
//! and lose the link without the reason.

use super::fields::Fields;

/// Follows a close method behind its number:
///
/// ```text
/// octet  0..2   2        3..3+length
///        code   length   text
/// ```
#[derive(Debug)]
pub(super) struct Reply {
    fields: Fields,
    /// Bytes of the text that have not come; `None` before its length.
    left: Option<u32>,
    /// The last character is not complete, and has begun.
    cut: bool,
}

impl Reply {
    pub(super) fn new() -> Self {
        Self { fields: Fields::new(2, 1), left: None, cut: false }
    }

    /// Replaces the bytes of an incomplete last character by question marks.
    pub(super) fn mend(&mut self, mut bytes: &mut [u8]) {
        while let Some((_, byte)) = self.fields.next(&mut bytes) {
            let left = match self.left {
                None => u32::from(*byte),
                Some(left) => {
                    self.cut |= width(*byte) > left;
                    if self.cut {
                        *byte = b'?';
                    }
                    left - 1
                }
            };
            self.left = Some(left);
            match left {
                0 => self.fields.finish(),
                _ => self.fields.want(0, 1),
            }
        }
    }
}

/// Bytes of the character of UTF-8 that begins with a byte; 1 for those within a character.
fn width(byte: u8) -> u32 {
    match byte {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_cut_leaves_text_of_the_same_length(text in "[aé€😀]{0,40}", cut in 0_usize..160, piece in 1_usize..9) {
            let cut = cut.min(text.len());
            let mut bytes = [&[1, 0x94, cut as u8], &text.as_bytes()[..cut], &[0, 20, 0, 40]].concat();
            let mut reply = Reply::new();
            bytes.chunks_mut(piece).for_each(|piece| reply.mend(piece));
            let whole = text.floor_char_boundary(cut);
            let mended = format!("{}{}", &text[..whole], "?".repeat(cut - whole));
            prop_assert_eq!(&bytes[3..3 + cut], mended.as_bytes());
            prop_assert_eq!(&bytes[3 + cut..], [0, 20, 0, 40]);
        }
    }
}
