//! Ids and quantities: `digits` or `digits.0`, the latter because some tools write whole numbers as floats.

use super::Reason;
use crate::value::{all_digits, digit_values, number, padded_load};

/// So many digits always fit into 63 bits.
const MAX_DIGITS: usize = 18;

/// Reads the first `length` bytes of `rest`; what follows them may be looked at, but makes no difference.
#[inline(always)]
pub(super) fn whole_number(rest: &[u8], length: usize) -> Result<u64, Reason> {
    match short_number(rest, length) {
        Some(number) => Ok(number),
        None => any_number(rest.get(..length).unwrap_or(rest)),
    }
}

/// Up to eight digits: nearly all there are. `None` says only that it is not that.
#[inline(always)]
fn short_number(rest: &[u8], length: usize) -> Option<u64> {
    let digits = match rest.get(..length) {
        Some([.., b'.', b'0']) => length - 2,
        _ => length,
    };
    if !(1..=8).contains(&digits) {
        return None;
    }
    let values = digit_values(padded_load(rest), digits);
    all_digits(values).then(|| number(values))
}

/// The whole grammar, and the one authority for errors.
#[cold]
fn any_number(text: &[u8]) -> Result<u64, Reason> {
    let digits = text.strip_suffix(b".0").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reason::NotWhole);
    }
    if digits.len() > MAX_DIGITS {
        return Err(Reason::TooManyDigits);
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grammar() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("7.0", Ok(7)),
            ("140170.0", Ok(140_170)),
            ("2200000.0", Ok(2_200_000)),
            ("12345678.0", Ok(12_345_678)),
            ("123456789", Ok(123_456_789)),
            ("007", Ok(7)),
            ("999999999999999999", Ok(999_999_999_999_999_999)),
            ("999999999999999999.0", Ok(999_999_999_999_999_999)),
            ("1000000000000000000", Err(Reason::TooManyDigits)),
            ("0000000000000000001", Err(Reason::TooManyDigits)),
            ("", Err(Reason::NotWhole)),
            (".0", Err(Reason::NotWhole)),
            ("1.", Err(Reason::NotWhole)),
            ("1.00", Err(Reason::NotWhole)),
            ("1.5", Err(Reason::NotWhole)),
            ("1.0.0", Err(Reason::NotWhole)),
            ("-1", Err(Reason::NotWhole)),
            ("+1", Err(Reason::NotWhole)),
            (" 1", Err(Reason::NotWhole)),
            ("1e3", Err(Reason::NotWhole)),
        ] {
            assert_eq!(whole_number(text.as_bytes(), text.len()), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_whole_grammar(text in "[0-9]{0,20}(\\.0)?|[0-9./:-]{0,10}", behind in "[0-9.,\n]{0,9}") {
            let whole = text.clone() + &behind;
            prop_assert_eq!(whole_number(whole.as_bytes(), text.len()), any_number(text.as_bytes()));
        }
    }
}
