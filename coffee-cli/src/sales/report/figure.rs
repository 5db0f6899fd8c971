//! A number out of a result file.

use std::fmt;

/// A number: as the file has it, exact, and as the length of a bar. Printed with commas between thousands.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    exact: String,
    length: f64,
}

impl Figure {
    /// Reads it; `None` if it is no decimal.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let length = text.parse().ok().filter(|length: &f64| decimal && length.is_finite())?;
        Some(Figure { exact: text.to_owned(), length })
    }

    /// As the file has it.
    pub fn exact(&self) -> &str {
        &self.exact
    }

    /// For drawing alone: it is rounded.
    pub fn length(&self) -> f64 {
        self.length
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, digits) = match self.exact.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", self.exact.as_str()),
        };
        let whole = digits.find('.').unwrap_or(digits.len());
        f.write_str(sign)?;
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Figure;

    #[test]
    fn thousands_are_told_apart_and_no_digit_is_lost() {
        for (text, shown) in [
            ("0", "0"),
            ("123", "123"),
            ("1234", "1,234"),
            ("12160503.315", "12,160,503.315"),
            ("-100000.0001", "-100,000.0001"),
            ("340282366920938463463374607431768211455", "340,282,366,920,938,463,463,374,607,431,768,211,455"),
        ] {
            let figure = Figure::read(text).unwrap();
            assert_eq!((figure.exact(), figure.to_string().as_str()), (text, shown));
        }
    }

    #[test]
    fn what_is_no_decimal_is_no_figure() {
        for text in ["", "-", ".", "inf", "NaN", "1e5", "+1", "1.2.3", "ten", "--1", &"9".repeat(400)] {
            assert_eq!(Figure::read(text), None, "{text}");
        }
    }
}
