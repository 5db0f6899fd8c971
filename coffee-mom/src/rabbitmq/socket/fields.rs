//! Numbers in bytes that come in pieces. What the numbers mean is not known here.

/// Where reading has got to in a payload.
#[derive(Debug)]
pub(super) struct Fields {
    /// Bytes that were read or skipped.
    at: u64,
    skip: u64,
    /// Bytes of the wanted number that have not come.
    missing: u8,
    number: u32,
}

impl Fields {
    /// Wants a big-endian number of `size` bytes, 4 at most, that begins after `skip` bytes.
    pub(super) fn new(skip: u64, size: u8) -> Self {
        Self { at: 0, skip, missing: size, number: 0 }
    }

    /// Wants another one, from where reading has got to.
    pub(super) fn want(&mut self, skip: u64, size: u8) {
        *self = Self { at: self.at, ..Self::new(skip, size) };
    }

    /// Wants no more after `skip` bytes.
    pub(super) fn finish(&mut self, skip: u64) {
        self.want(skip, 0);
    }

    /// Whether all that is wanted has been read.
    pub(super) fn is_finished(&self) -> bool {
        self.skip == 0 && self.missing == 0
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The wanted number with its last byte, and `bytes` are those behind it; `None` when they have all
    /// been read before it was complete.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Option<(u32, &'a mut u8)> {
        let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        let _ = bytes.split_off_mut(..skipped);
        self.skip -= skipped as u64;
        self.at += skipped as u64;
        while self.missing > 0 {
            let byte = bytes.split_off_first_mut()?;
            self.at += 1;
            self.missing -= 1;
            self.number = self.number << 8 | u32::from(*byte);
            if self.missing == 0 {
                return Some((self.number, byte));
            }
        }
        None
    }
}
