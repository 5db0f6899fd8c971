//! Eight ASCII digits at a time in one 64-bit word. A word's lowest byte is the text's first character.

/// The digit `0` in each byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The first eight bytes of `rest`; zeros stand in for what it lacks.
#[inline(always)]
pub(crate) fn padded_load(rest: &[u8]) -> u64 {
    match rest.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => short_load(rest),
    }
}

/// Only the last few fields of a text come here.
#[cold]
fn short_load(rest: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

/// The digit values of the first `length` characters of `word`, moved so that the last one is in the highest byte, with zeros
/// (leading zeros of the number) below. Characters that are no digits give bytes above 9.
/// `length` is 1 to 8.
#[inline(always)]
pub(crate) fn digit_values(word: u64, length: usize) -> u64 {
    (word ^ ZEROS) << ((64 - 8 * length as u32) & 63)
}

/// Whether each byte is at most 9.
#[inline(always)]
pub(crate) fn all_digits(values: u64) -> bool {
    // A byte above 9 has its top bit set already or gets it from the addition. A carry out of a byte needs a byte
    // above 0x89, which says no by itself.
    (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080 == 0
}

/// The number that eight digit values write, the lowest byte first. Meaningful only if [`all_digits`] holds.
#[inline(always)]
pub(crate) fn number(values: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    // Neighbours become pairs (0..=99) in the even bytes; then two multiplications weigh the four pairs, and their sum
    // meets in the upper half.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let upper = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let lower = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    upper.wrapping_add(lower) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_byte_outside_the_digits_is_seen_at_each_place() {
        for place in 0..8 {
            for byte in 0..=255u8 {
                let mut text = *b"01234569";
                text[place] = byte;
                let values = digit_values(padded_load(&text), 8);
                assert_eq!(all_digits(values), byte.is_ascii_digit(), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn digits_are_read_as_the_standard_library_reads_them(n in 0u64..100_000_000, width in 1usize..=8) {
            let text = format!("{n:0width$},34567");
            let length = text.find(',').unwrap();
            let values = digit_values(padded_load(text.as_bytes()), length);
            prop_assert!(all_digits(values));
            prop_assert_eq!(number(values), n);
        }
    }
}
