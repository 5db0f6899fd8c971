//! Finds the used columns in a file's header.

use thiserror::Error;

use super::split::Split;
use super::{Reason, Record};

/// Why a header does not do for a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It lacks a used column.
    #[error("the header has no column \"{column}\"")]
    MissingColumn {
        /// The column's name.
        column: &'static str,
    },
    /// It is no CSV line.
    #[error("the header can't be read: {reason}")]
    Malformed {
        /// What is wrong.
        reason: Reason,
    },
}

/// Whether a file with this header can be read as rows of `T`. The header may still have its byte order mark and line
/// end, and its names may be quoted; of two columns with the same name the first counts.
pub fn check_header<T: Record>(header: &[u8]) -> Result<(), HeaderError> {
    Layout::of::<T>(header).map(drop)
}

/// Where the used columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// How many fields a row has.
    pub(super) width: usize,
    /// For each used column the number of its field, below `width`.
    pub(super) places: Vec<usize>,
}

impl Layout {
    pub(super) fn of<T: Record>(header: &[u8]) -> Result<Self, HeaderError> {
        let header = header.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(header);
        let header = header.strip_suffix(b"\n").unwrap_or(header);
        let header = header.strip_suffix(b"\r").unwrap_or(header);
        let mut split = Split::default();
        split.split(header).map_err(|reason| HeaderError::Malformed { reason })?;
        let place = |&column: &&'static str| {
            let place = split.fields().position(|name| name == column.as_bytes());
            place.ok_or(HeaderError::MissingColumn { column })
        };
        Ok(Layout { width: split.width(), places: T::COLUMNS.iter().map(place).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FieldError, Fields};
    use super::*;

    struct Pair;

    impl Record for Pair {
        const COLUMNS: &'static [&'static str] = &["key", "value"];

        fn parse(_: &Fields<'_>) -> Result<Self, FieldError> {
            Ok(Pair)
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        for (header, places) in [
            ("key,value", [0, 1]),
            ("value,other,key", [2, 0]),
            ("\u{FEFF}key,value\r\n", [0, 1]),
            ("\u{FEFF}\"key\",\"value\"\r", [0, 1]),
            ("x,key,key,value,value", [1, 3]),
            ("\"a,b\",value,key\n", [2, 1]),
        ] {
            assert_eq!(Layout::of::<Pair>(header.as_bytes()).unwrap().places, places, "{header:?}");
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        for header in ["", "key", "key, value", "key,Value", "\"key,value\""] {
            let error = check_header::<Pair>(header.as_bytes()).unwrap_err();
            assert!(matches!(error, HeaderError::MissingColumn { .. }), "{header:?}");
        }
        let error = check_header::<Pair>(b"value").unwrap_err();
        assert_eq!(error.to_string(), "the header has no column \"key\"");
        let error = check_header::<Pair>(b"key,\"value").unwrap_err();
        assert_eq!(error, HeaderError::Malformed { reason: Reason::UnclosedQuote });
    }
}
