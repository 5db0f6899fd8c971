//! Numbers of bytes as people write them: 4096, 500k, 20M, 8G, 1T.

/// A whole number of bytes, kilobytes (1,000 bytes), megabytes, gigabytes or terabytes; at least 1.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number of bytes like 4096, 500k, 20M, 8G or 1T");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let bytes: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    number.checked_mul(bytes).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_a_unit() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("500k"), Ok(500_000));
        assert_eq!(parse("8G"), Ok(8_000_000_000));
        for wrong in ["", "0", "0M", "M", "-1", "1.5G", "1 G", "1g", "1MB", "99999999999T"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
