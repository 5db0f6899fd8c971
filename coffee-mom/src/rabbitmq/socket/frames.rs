//! Looks at the sizes of frames as they come. amiquip makes room for a whole frame, and fills it
//! with zeros on each read, as soon as it knows the size; so a peer that is no broker, or garbage,
//! would cost gigabytes and more time than any deadline.

use std::io;

/// RabbitMQ sends no larger frames unless it is told to; a body of that size is its own limit.
const MOST_BYTES: u32 = 128 << 20;

/// Follows the frames of one connection:
///
/// ```text
/// octet  0      1..3      3..7   7..7+size   7+size
///        type   channel   size   payload     end
/// ```
#[derive(Debug)]
pub(super) struct FrameSizes {
    most: u32,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes that are still to come of the frame whose header is complete.
    left: u64,
}

const HEADER_BYTES: usize = 7;

impl FrameSizes {
    /// `most` is the bound of whole frames that was asked for, or 0.
    pub(super) fn new(most: u32) -> Self {
        Self { most: if most == 0 { MOST_BYTES } else { most }, header: [0; HEADER_BYTES], have: 0, left: 0 }
    }

    /// Fails if a frame begins in these bytes, the next ones, that is too large.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= skipped as u64;
                bytes = &bytes[skipped..];
            } else {
                let taken = bytes.len().min(HEADER_BYTES - self.have);
                self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have == HEADER_BYTES {
                    self.begin()?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let [_, _, _, size @ ..] = self.header;
        let size = u32::from_be_bytes(size);
        if size > self.most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large"));
        }
        self.have = 0;
        self.left = u64::from(size) + 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            let bytes: Vec<u8> = sizes.iter().copied().flat_map(frame).collect();
            let mut frames = FrameSizes::new(most);
            let checked = bytes.chunks(piece).try_for_each(|piece| frames.check(piece));
            prop_assert_eq!(checked.is_ok(), sizes.iter().all(|size| *size <= most));
        }
    }

    #[test]
    fn other_protocols_are_not_let_in() {
        for text in ["HTTP/1.1 400", "AMQP\0\0\x09\x01", "SSH-2.0-x"] {
            assert!(FrameSizes::new(0).check(text.as_bytes()).is_err(), "{text}");
        }
    }
}
