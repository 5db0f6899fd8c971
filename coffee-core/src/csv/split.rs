//! Parts one line into its fields, quotes and all: the careful way, and the one authority for which lines are rows.

use super::Reason;

/// The fields of one line without their quotes. The buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// The fields, a comma behind each.
    pub(super) bytes: Vec<u8>,
    /// Where each field starts in `bytes`, and where one behind the last would.
    pub(super) starts: Vec<u32>,
}

impl Split {
    /// Parts `line`, which has no line end and is at most [`MAX_LINE`](super::MAX_LINE) long.
    pub(super) fn split(&mut self, line: &[u8]) -> Result<(), Reason> {
        self.bytes.clear();
        self.starts.clear();
        self.starts.push(0);
        let mut rest = Some(line);
        while let Some(field) = rest {
            rest = match field {
                [b'"', quoted @ ..] => self.quoted_field(quoted)?,
                _ => self.plain_field(field),
            };
            self.bytes.push(b',');
            self.starts.push(self.bytes.len() as u32);
        }
        Ok(())
    }

    /// How many fields the line has.
    pub(super) fn width(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.windows(2).map(|pair| match pair {
            &[start, next] => self.bytes.get(start as usize..next as usize - 1).unwrap_or_default(),
            _ => &[],
        })
    }

    /// Takes a field without quotes, and returns what follows its comma; `None` if it was the last.
    fn plain_field<'a>(&mut self, field: &'a [u8]) -> Option<&'a [u8]> {
        let length = memchr::memchr(b',', field).unwrap_or(field.len());
        let (field, rest) = field.split_at_checked(length).unwrap_or((field, &[]));
        self.bytes.extend_from_slice(field);
        rest.split_first().map(|(_comma, rest)| rest)
    }

    /// As [`Split::plain_field`], behind a field's opening quote.
    fn quoted_field<'a>(&mut self, mut rest: &'a [u8]) -> Result<Option<&'a [u8]>, Reason> {
        loop {
            let length = memchr::memchr(b'"', rest).ok_or(Reason::UnclosedQuote)?;
            let (text, from_quote) = rest.split_at_checked(length).ok_or(Reason::UnclosedQuote)?;
            self.bytes.extend_from_slice(text);
            match from_quote {
                [b'"', b'"', more @ ..] => {
                    self.bytes.push(b'"');
                    rest = more;
                }
                [b'"', b',', more @ ..] => return Ok(Some(more)),
                [b'"'] => return Ok(None),
                _ => return Err(Reason::TextAfterQuote),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Result<Vec<String>, Reason> {
        let mut split = Split::default();
        split.split(line.as_bytes())?;
        assert_eq!(split.width(), split.fields().count());
        Ok(split.fields().map(|field| String::from_utf8(field.to_vec()).unwrap()).collect())
    }

    #[test]
    fn quotes_hold_commas_and_doubled_quotes() {
        for (line, fields) in [
            ("", Ok(vec![""])),
            (",", Ok(vec!["", ""])),
            ("a,b", Ok(vec!["a", "b"])),
            (r#""a,b",c"#, Ok(vec!["a,b", "c"])),
            (r#""a,b"#, Err(Reason::UnclosedQuote)),
            (r#""a""b"#, Err(Reason::UnclosedQuote)),
            (r#""say ""hi""",x"#, Ok(vec![r#"say "hi""#, "x"])),
            (r#""","",x"#, Ok(vec!["", "", "x"])),
            (r#""a"b,c"#, Err(Reason::TextAfterQuote)),
            (r#"a"b,c"#, Ok(vec![r#"a"b"#, "c"])),
            (r#""a" ,c"#, Err(Reason::TextAfterQuote)),
        ] {
            let fields = fields.map(|fields| fields.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(split(line), fields, "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoted_fields_come_back(fields in prop::collection::vec("[a,\" é]{0,6}", 1..6)) {
            let quoted: Vec<_> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(split(&quoted.join(",")), Ok(fields));
        }
    }
}
