//! Finds all commas and line ends of a piece of text, 64 bytes at a time, without looking at what lies between them.

use wide::u8x16;

const BLOCK: usize = 64;
/// More than most blocks have separators.
const AT_ONCE: usize = 10;
/// Room for the places of a block, in whole groups.
const ROOM: usize = BLOCK.next_multiple_of(AT_ONCE);

/// Where the fields and lines of a piece of text are, if it has no quotes. The buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where fields start: 0, and one behind each comma and line feed. Only `fields` of them count.
    starts: Vec<u32>,
    fields: usize,
    /// One behind each line feed. Only `lines` of them count.
    ends: Vec<u32>,
    lines: usize,
    quotes: bool,
    ascii: bool,
}

impl Index {
    /// Indexes `text`, which must be shorter than 4 GiB. If it does not end with a line feed, one is imagined there.
    pub(super) fn scan(&mut self, text: &[u8]) {
        self.make_room(text.len());
        self.fields = 1;
        self.lines = 0;
        let (blocks, tail) = text.as_chunks::<BLOCK>();
        let mut seen = Seen { quotes: u8x16::default(), bytes: u8x16::default() };
        let mut base = 1;
        for block in blocks {
            self.scan_block(block, base, &mut seen);
            base += BLOCK as u32;
        }
        let mut last = [0; BLOCK];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        self.scan_block(&last, base, &mut seen);
        if !matches!(text.last(), None | Some(b'\n')) {
            self.end_last_line(text.len() as u32 + 1);
        }
        self.quotes = seen.quotes.to_bitmask() != 0;
        self.ascii = seen.bytes.to_bitmask() == 0;
    }

    /// Room for the positions of a text of nothing but separators, and for a whole block of them to be written at once.
    fn make_room(&mut self, length: usize) {
        let room = length + 2 * ROOM;
        if self.starts.len() < room {
            self.starts.resize(room, 0);
            self.ends.resize(room, 0);
        }
    }

    /// `base` is one more than the place of the block in the text.
    #[inline(always)]
    fn scan_block(&mut self, block: &[u8; BLOCK], base: u32, seen: &mut Seen) {
        let (mut separators, mut line_feeds) = (0, 0);
        for (place, lane) in block.as_chunks::<16>().0.iter().enumerate() {
            let lane = u8x16::new(*lane);
            let line_feed = lane.simd_eq(u8x16::splat(b'\n'));
            let separator = lane.simd_eq(u8x16::splat(b',')) | line_feed;
            line_feeds |= u64::from(line_feed.to_bitmask()) << (16 * place);
            separators |= u64::from(separator.to_bitmask()) << (16 * place);
            seen.quotes |= lane.simd_eq(u8x16::splat(b'"'));
            seen.bytes |= lane;
        }
        self.fields += write_places(separators, base, self.starts.get_mut(self.fields..));
        self.lines += write_places_of_few(line_feeds, base, self.ends.get_mut(self.lines..));
    }

    fn end_last_line(&mut self, end: u32) {
        if let (Some(start), Some(line)) = (self.starts.get_mut(self.fields), self.ends.get_mut(self.lines)) {
            (*start, *line) = (end, end);
            self.fields += 1;
            self.lines += 1;
        }
    }

    /// Where fields start: one behind each separator, and 0.
    pub(super) fn starts(&self) -> &[u32] {
        self.starts.get(..self.fields).unwrap_or_default()
    }

    /// Where lines end: one behind each line feed.
    pub(super) fn ends(&self) -> &[u32] {
        self.ends.get(..self.lines).unwrap_or_default()
    }

    /// Whether there is a quote anywhere, so that a comma may belong to a field.
    pub(super) fn has_quotes(&self) -> bool {
        self.quotes
    }

    /// Whether all bytes are ASCII.
    pub(super) fn is_ascii(&self) -> bool {
        self.ascii
    }
}

/// What was found in any lane so far.
struct Seen {
    quotes: u8x16,
    /// All bytes, ored.
    bytes: u8x16,
}

/// Writes the places of the set bits and returns their number. [`AT_ONCE`] are written without asking whether there are so
/// many: what is too much is overwritten by the next block, and the processor need not guess.
#[inline(always)]
fn write_places(mut bits: u64, base: u32, out: Option<&mut [u32]>) -> usize {
    let Some(out) = out.and_then(|out| out.first_chunk_mut::<ROOM>()) else {
        return 0;
    };
    let count = bits.count_ones() as usize;
    let (groups, _) = out.as_chunks_mut::<AT_ONCE>();
    for group in groups {
        for place in group {
            *place = base + lowest(bits);
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
    count
}

/// As [`write_places`], for bits of which there are mostly none or one.
#[inline(always)]
fn write_places_of_few(mut bits: u64, base: u32, out: Option<&mut [u32]>) -> usize {
    let Some(out) = out.and_then(|out| out.first_chunk_mut::<ROOM>()) else {
        return 0;
    };
    let mut count = usize::from(bits != 0);
    out[0] = base + lowest(bits);
    bits &= bits.wrapping_sub(1);
    while bits != 0
        && let Some(place) = out.get_mut(count)
    {
        *place = base + lowest(bits);
        bits &= bits.wrapping_sub(1);
        count += 1;
    }
    count
}

/// The place of the lowest set bit; anything below 64 if there is none.
#[inline(always)]
fn lowest(bits: u64) -> u32 {
    (bits | 1 << 63).trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_separator_is_found(
            texts in prop::collection::vec(prop::collection::vec(prop::sample::select(b",,\n\n\"ab\0\x80;\xFF".to_vec()), 0..400), 1..4),
        ) {
            let mut index = Index::default();
            for text in texts {
                index.scan(&text);
                let behind = |wanted: &[u8]| -> Vec<u32> {
                    (1..).zip(&text).filter(|(_, byte)| wanted.contains(byte)).map(|(place, _)| place).collect()
                };
                let (mut starts, mut ends) = (behind(b",\n"), behind(b"\n"));
                starts.insert(0, 0);
                if !text.is_empty() && !text.ends_with(b"\n") {
                    starts.push(text.len() as u32 + 1);
                    ends.push(text.len() as u32 + 1);
                }
                prop_assert_eq!(index.starts(), starts);
                prop_assert_eq!(index.ends(), ends);
                prop_assert_eq!(index.has_quotes(), text.contains(&b'"'));
                prop_assert_eq!(index.is_ascii(), text.is_ascii());
            }
        }
    }
}
