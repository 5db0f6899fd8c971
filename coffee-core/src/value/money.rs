//! Exact amounts of money, and sums of them. No floats: the sum of floats depends on the order of arrival.

use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{all_digits, digit_values, number, padded_load};

/// An amount of money, exact, in ten-thousandths of the unit of currency.
///
/// Written as `-?digits` with one to four decimals after a point, or none; the amount is below 10^14 units either way.
/// There is no plus sign, exponent, blank, or point without digits on both its sides.
///
/// Printed without needless zeros but with at least one decimal: `78.0`, `76.095`, `-0.5`. Law: what is printed is
/// read back as the same amount (property test `money_reads_what_it_prints`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

/// A sum of [`Money`], in ten-thousandths too, in 128 bits: exact for more rows than there can be.
///
/// Law: addition is associative and commutative (it wraps around at 2^127 instead of failing), so a sum does not depend
/// on the order of its parts (property test `sums_do_not_depend_on_order`). Printed as [`Money`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Total(i128);

/// Why a text is no [`Money`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseMoneyError {
    /// It is not `-?digits` or `-?digits.digits`.
    #[error("not an amount")]
    Malformed,
    /// It has more than four decimals.
    #[error("more than four decimals")]
    TooPrecise,
    /// It is 10^14 or more, with either sign.
    #[error("amount not below 10^14")]
    TooLarge,
}

const SCALE: i64 = 10_000;
const DECIMALS: usize = 4;
/// Amounts are below this many ten-thousandths: 10^14 units.
const LIMIT: i64 = 100_000_000_000_000 * SCALE;
const POWERS_OF_TEN: [u64; DECIMALS + 1] = [1, 10, 100, 1_000, 10_000];

impl Money {
    /// The amount of so many ten-thousandths of a unit.
    pub const fn from_ten_thousandths(amount: i64) -> Self {
        Money(amount)
    }

    /// How many ten-thousandths of a unit it is.
    pub const fn ten_thousandths(self) -> i64 {
        self.0
    }

    /// Appends the printed form to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        write_decimal(i128::from(self.0), out);
    }

    /// Reads the first `length` bytes of `rest`; what follows them may be looked at, but makes no difference.
    #[inline(always)]
    pub(crate) fn parse_prefix(rest: &[u8], length: usize) -> Result<Self, ParseMoneyError> {
        match short_amount(rest, length) {
            Some(money) => Ok(money),
            None => any_amount(rest.get(..length).unwrap_or(rest)),
        }
    }
}

/// An unsigned amount of one to eight characters: nearly all there are. `None` says only that it is not that.
#[inline(always)]
fn short_amount(rest: &[u8], length: usize) -> Option<Money> {
    /// A point, as [`digit_values`] leaves it, in each byte.
    const POINTS: u64 = 0x1E1E_1E1E_1E1E_1E1E;
    const LOWS: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    if !(1..=8).contains(&length) {
        return None;
    }
    let values = digit_values(padded_load(rest), length);
    let other = values ^ POINTS;
    // The lowest bit marks the first point; bits above it may be wrong.
    let marks = other.wrapping_sub(LOWS) & !other & HIGHS;
    if marks == 0 {
        return all_digits(values).then(|| Money(number(values) as i64 * SCALE));
    }
    let place = marks.trailing_zeros() as usize / 8;
    let decimals = 7 - place;
    let whole_digits = (place + length).checked_sub(8)?;
    if whole_digits == 0 || decimals == 0 {
        return None;
    }
    // Close the gap: the digits in front of the point move up by one byte.
    let in_front = values & ((1 << (8 * place)) - 1);
    let behind = values & !(u64::MAX >> (8 * decimals));
    let digits = (in_front << 8) | behind;
    let power = POWERS_OF_TEN.get(DECIMALS.checked_sub(decimals)?)?;
    all_digits(digits).then(|| Money((number(digits) * power) as i64))
}

/// The whole grammar, and the one authority for errors.
#[cold]
fn any_amount(text: &[u8]) -> Result<Money, ParseMoneyError> {
    let (negative, unsigned) = match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        unsigned => (false, unsigned),
    };
    let point = unsigned.iter().position(|&byte| byte == b'.');
    let (whole, decimals) = match point.and_then(|point| unsigned.split_at_checked(point)) {
        Some((whole, [_, decimals @ ..])) if !decimals.is_empty() => (whole, decimals),
        Some(_) => return Err(ParseMoneyError::Malformed),
        None => (unsigned, &[][..]),
    };
    let digits = || whole.iter().chain(decimals);
    if whole.is_empty() || !digits().all(u8::is_ascii_digit) {
        return Err(ParseMoneyError::Malformed);
    }
    let Some(missing) = DECIMALS.checked_sub(decimals.len()) else {
        return Err(ParseMoneyError::TooPrecise);
    };
    let mut amount = 0u64;
    for value in digits().map(|digit| u64::from(digit - b'0')).chain(std::iter::repeat_n(0, missing)) {
        amount = amount * 10 + value;
        if amount >= LIMIT as u64 {
            return Err(ParseMoneyError::TooLarge);
        }
    }
    let amount = amount as i64;
    Ok(Money(if negative { -amount } else { amount }))
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, ParseMoneyError> {
        any_amount(text.as_bytes())
    }
}

impl Total {
    /// The sum of so many ten-thousandths of a unit.
    pub const fn from_ten_thousandths(sum: i128) -> Self {
        Total(sum)
    }

    /// How many ten-thousandths of a unit it is.
    pub const fn ten_thousandths(self) -> i128 {
        self.0
    }

    /// Appends the printed form to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        write_decimal(self.0, out);
    }
}

impl AddAssign<Money> for Total {
    #[inline]
    fn add_assign(&mut self, money: Money) {
        self.0 = self.0.wrapping_add(i128::from(money.0));
    }
}

impl AddAssign for Total {
    #[inline]
    fn add_assign(&mut self, other: Total) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl From<Money> for Total {
    fn from(money: Money) -> Self {
        Total(i128::from(money.0))
    }
}

impl Sum<Money> for Total {
    fn sum<I: Iterator<Item = Money>>(parts: I) -> Self {
        let mut total = Total::default();
        parts.for_each(|part| total += part);
        total
    }
}

/// Appends so many ten-thousandths as a decimal.
fn write_decimal(amount: i128, out: &mut Vec<u8>) {
    let magnitude = amount.unsigned_abs();
    let scale = SCALE as u128;
    if amount < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(magnitude / scale).as_bytes());
    out.push(b'.');
    let mut rest = (magnitude % scale) as u16;
    let mut weight = 1_000;
    loop {
        out.push(b'0' + (rest / weight) as u8);
        rest %= weight;
        weight /= 10;
        if rest == 0 {
            return;
        }
    }
}

/// Formats through [`write_decimal`], keeping the formatter's padding.
fn format_decimal(amount: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Vec::with_capacity(48);
    write_decimal(amount, &mut text);
    f.pad(std::str::from_utf8(&text).unwrap_or_default())
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_decimal(i128::from(self.0), f)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_decimal(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str) -> Result<i64, ParseMoneyError> {
        text.parse::<Money>().map(Money::ten_thousandths)
    }

    #[test]
    fn the_grammar() {
        use ParseMoneyError::{Malformed, TooLarge, TooPrecise};
        for (text, expected) in [
            ("0", Ok(0)),
            ("75", Ok(750_000)),
            ("75.0", Ok(750_000)),
            ("76.095", Ok(760_950)),
            ("0.0001", Ok(1)),
            ("-0.5", Ok(-5_000)),
            ("-0", Ok(0)),
            ("007.50", Ok(75_000)),
            ("99999999999999.9999", Ok(LIMIT - 1)),
            ("-99999999999999.9999", Ok(1 - LIMIT)),
            ("00000000000000000000000000000001", Ok(SCALE)),
            ("100000000000000", Err(TooLarge)),
            ("-100000000000000.0", Err(TooLarge)),
            ("999999999999999999999999999999999999999", Err(TooLarge)),
            ("1.00000", Err(TooPrecise)),
            ("", Err(Malformed)),
            ("-", Err(Malformed)),
            (".", Err(Malformed)),
            ("5.", Err(Malformed)),
            (".5", Err(Malformed)),
            ("-.5", Err(Malformed)),
            ("+5", Err(Malformed)),
            ("--5", Err(Malformed)),
            ("1e3", Err(Malformed)),
            (" 1", Err(Malformed)),
            ("1 ", Err(Malformed)),
            ("1.2.3", Err(Malformed)),
            ("1..2", Err(Malformed)),
            ("1,5", Err(Malformed)),
            ("NaN", Err(Malformed)),
            ("1.2\0", Err(Malformed)),
            ("٣", Err(Malformed)),
        ] {
            assert_eq!(money(text), expected, "{text:?}");
        }
    }

    #[test]
    fn printed_without_needless_zeros() {
        for (sum, text) in [
            (780_000, "78.0"),
            (760_950, "76.095"),
            (121_605_033_150, "12160503.315"),
            (-5_000, "-0.5"),
            (1, "0.0001"),
            (0, "0.0"),
            (10, "0.001"),
        ] {
            assert_eq!(Money(sum).to_string(), text);
            assert_eq!(Total(i128::from(sum)).to_string(), text);
        }
        assert_eq!(Total(i128::MIN).to_string(), "-17014118346046923173168730371588410.5728");
        assert_eq!(format!("{:>6}", Money(5_000)), "   0.5");
    }

    proptest! {
        #[test]
        fn money_reads_what_it_prints(amount in 1 - LIMIT..LIMIT) {
            let printed = Money(amount).to_string();
            prop_assert_eq!(money(&printed), Ok(amount));
            let mut written = Vec::new();
            Money(amount).write_to(&mut written);
            prop_assert_eq!(written, printed.into_bytes());
        }

        #[test]
        fn money_is_ordered_as_its_amounts(a in -200_000i64..200_000, b in -200_000i64..200_000) {
            let (x, y): (Money, Money) = (Money(a).to_string().parse().unwrap(), Money(b).to_string().parse().unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }

        #[test]
        fn sums_do_not_depend_on_order(amounts in prop::collection::vec(any::<i64>(), 0..20), cut in 0usize..20) {
            let forwards: Total = amounts.iter().copied().map(Money).sum();
            let backwards: Total = amounts.iter().rev().copied().map(Money).sum();
            let (left, right) = amounts.split_at(cut.min(amounts.len()));
            let mut merged: Total = right.iter().copied().map(Money).sum();
            merged += left.iter().copied().map(Money).sum::<Total>();
            prop_assert_eq!(forwards, backwards);
            prop_assert_eq!(forwards, merged);
        }

        #[test]
        fn the_short_way_agrees_with_the_whole_grammar(text in "[-0-9./:e ]{0,10}|[0-9]{1,6}\\.[0-9]{1,5}", behind in "[0-9.,\n]{0,9}") {
            let whole = text.clone() + &behind;
            prop_assert_eq!(Money::parse_prefix(whole.as_bytes(), text.len()), any_amount(text.as_bytes()));
        }
    }
}
