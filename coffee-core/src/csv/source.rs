//! Reads chunks of CSV in two steps: all separators of a window are found first, then each line's used fields are read.
//!
//! A line in which anything is out of the ordinary is read again the careful way, which alone decides about rejections;
//! the quick way takes only what the careful one takes, with the same values (property test
//! `the_quick_way_agrees_with_the_careful_way`).
//!
//! Profiles give about a third of the time to finding separators and half to the fields. Compiling for wider vectors
//! (x86-64-v3) made no difference beyond noise. Rows put together from pieces smaller than the words they are copied by
//! showed as waits of the processor, hence the words in [`Text`](crate::value::Text).

use memchr::{memchr, memrchr};

use super::careful::{Careful, MAX_LINE, rejection, without_line_end};
use super::header::{HeaderError, Layout};
use super::scan::Index;
use super::split::Split;
use super::{Fields, Reason, Record};
use crate::rejection::Line;
use crate::source::{Chunk, Rows, Source};
use crate::value::DateMemo;

/// So many bytes are scanned at once: with the places of their separators they stay in a near cache until their fields
/// are read. At most [`MAX_LINE`], so that a line which is too long is a window of its own.
const WINDOW: usize = 32 * 1024;

/// Reads rows of `T` from CSV.
///
/// A chunk whose header lacks a used column has all its rows rejected; [`check_header`](super::check_header) says so
/// before any work.
pub struct CsvSource<T> {
    /// The header that `layout` was made from.
    header: Vec<u8>,
    layout: Result<Layout, HeaderError>,
    index: Index,
    split: Split,
    crlf_starts: Vec<u32>,
    dates: DateMemo,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T: Record> CsvSource<T> {
    /// A source that has read nothing yet.
    pub fn new() -> Self {
        CsvSource {
            header: Vec::new(),
            layout: Layout::of::<T>(&[]),
            index: Index::default(),
            split: Split::default(),
            crlf_starts: Vec::new(),
            dates: DateMemo::default(),
            record: std::marker::PhantomData,
        }
    }
}

impl<T: Record> Default for CsvSource<T> {
    fn default() -> Self {
        CsvSource::new()
    }
}

impl<T: Record> Source for CsvSource<T> {
    type Row = T;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, T>) {
        self.adopt(chunk.header);
        let mut line = Line { file: chunk.file, number: chunk.first_line };
        let mut rest = chunk.data;
        while !rest.is_empty() {
            let (window, behind) = first_window(rest);
            self.read_window(window, &mut line, rows);
            rest = behind;
        }
    }
}

impl<T: Record> CsvSource<T> {
    /// Makes `header` the one that rows are read by.
    fn adopt(&mut self, header: &[u8]) {
        if self.header != header {
            self.layout = Layout::of::<T>(header);
            self.header.clear();
            self.header.extend_from_slice(header);
        }
    }

    /// Reads the lines of a window, the first of which is `line`, and counts `line` on.
    fn read_window(&mut self, window: &[u8], line: &mut Line, rows: &mut Rows<'_, T>) {
        let layout = match &self.layout {
            Ok(layout) if without_line_end(window).len() <= MAX_LINE => layout,
            // Either the window is one line, or a whole file can't be read: speed does not matter.
            _ => return self.read_unscanned(window, line, rows),
        };
        self.index.scan(window);
        let (quotes, ascii) = (self.index.has_quotes(), self.index.is_ascii());
        let mut careful = Careful { layout, dates: &self.dates, split: &mut self.split };
        let mut starts = self.index.starts();
        for &end in self.index.ends() {
            let place = *line;
            line.number += 1;
            let start = starts.first().map_or(0, |&start| start as usize);
            let text = window.get(start..end as usize - 1).unwrap_or_default();
            let own = starts.get(..=layout.width).filter(|own| own.last() == Some(&end));
            starts = match own {
                Some(_) => starts.get(layout.width..),
                None => starts.iter().position(|&start| start == end).and_then(|width| starts.get(width..)),
            }
            .unwrap_or_default();

            let own = match own {
                // A line of one byte may be but a CR, and no row.
                Some(own) if text.len() > 1 && !(quotes && memchr(b'"', text).is_some()) => own,
                _ => {
                    careful.read_line(text, place, rows);
                    continue;
                }
            };
            let own = match text.last() {
                Some(b'\r') => without_last_byte(own, &mut self.crlf_starts),
                _ => own,
            };
            let fields = Fields { bytes: window, starts: own, places: &layout.places, line: place, dates: &self.dates };
            if !ascii && fields.check_utf8().is_err() {
                careful.read_line(text, place, rows);
                continue;
            }
            match T::parse(&fields) {
                Ok(row) => rows.push(row),
                Err(_) => careful.read_line(text, place, rows),
            }
        }
    }

    /// Reads the lines of a window without an index.
    #[cold]
    fn read_unscanned(&mut self, window: &[u8], line: &mut Line, rows: &mut Rows<'_, T>) {
        for text in window.split_inclusive(|&byte| byte == b'\n') {
            let text = without_line_end(text);
            match &self.layout {
                Ok(layout) => {
                    Careful { layout, dates: &self.dates, split: &mut self.split }.read_line(text, *line, rows)
                }
                Err(_) if text.is_empty() => {}
                Err(HeaderError::MissingColumn { column }) => {
                    rows.reject(rejection(text, *line, column, Reason::NoColumn));
                }
                Err(_) => rows.reject(rejection(text, *line, "", Reason::NoColumn)),
            }
            line.number += 1;
        }
    }
}

/// As many whole lines as fit into a window, or one that does not; and what follows.
fn first_window(text: &[u8]) -> (&[u8], &[u8]) {
    let end = match text.get(..WINDOW) {
        None => None,
        Some(start) => memrchr(b'\n', start).or_else(|| memchr(b'\n', text)),
    };
    end.and_then(|end| text.split_at_checked(end + 1)).unwrap_or((text, &[]))
}

/// A copy of the starts of a line's fields in which the last field is one byte shorter: its CR belongs to the line end.
fn without_last_byte<'a>(starts: &[u32], copy: &'a mut Vec<u32>) -> &'a [u32] {
    copy.clear();
    copy.extend_from_slice(starts);
    if let Some(end) = copy.last_mut() {
        *end -= 1;
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::super::FieldError;
    use super::*;
    use crate::rejection::{RAW_LIMIT, Rejection};
    use crate::source::RowSink;
    use crate::value::{CivilTime, Money, Text};
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Sale(Text, Option<u64>, u64, Money, CivilTime, Line);

    impl Record for Sale {
        const COLUMNS: &'static [&'static str] = &["id", "user", "store", "amount", "at"];

        fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
            let (user, store) = (fields.optional_whole_number(1)?, fields.whole_number(2)?);
            Ok(Sale(fields.text(0), user, store, fields.money(3)?, fields.time(4)?, fields.line()))
        }
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Word(String, u64);

    impl Record for Word {
        const COLUMNS: &'static [&'static str] = &["word"];

        fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
            match fields.str(0) {
                "forbidden" => Err(FieldError::new(0, "forbidden word")),
                word => Ok(Word(word.to_owned(), fields.line().number)),
            }
        }
    }

    struct Read<T>(Vec<T>, Vec<Rejection>);

    impl<T: Clone> RowSink<T> for Read<T> {
        fn rows(&mut self, rows: &[T]) {
            self.0.extend_from_slice(rows);
        }

        fn reject(&mut self, rejection: Rejection) {
            self.1.push(rejection);
        }
    }

    /// Reads with `work`, and gives what came of it.
    fn collected<T: Clone>(work: impl FnOnce(&mut Rows<'_, T>)) -> (Vec<T>, Vec<Rejection>) {
        let (mut block, mut read) = (Vec::new(), Read(Vec::new(), Vec::new()));
        let mut rows = Rows::new(&mut block, &mut read);
        work(&mut rows);
        rows.finish();
        (read.0, read.1)
    }

    fn read<T: Record + Clone>(header: &[u8], data: &[u8]) -> (Vec<T>, Vec<Rejection>) {
        collected(|rows| CsvSource::new().read(&Chunk { file: 3, first_line: 2, header, data }, rows))
    }

    /// What came of the only line of `data`: the rejected column and the reason, or nothing.
    fn fault(header: &str, data: &[u8]) -> Option<(String, String)> {
        let (rows, mut rejections) = read::<Sale>(header.as_bytes(), data);
        assert_eq!(rows.len() + rejections.len(), 1, "{data:?}");
        rejections.pop().map(|rejection| (rejection.column, rejection.reason))
    }

    const HEADER: &str = "id,x,user,store,amount,at";

    #[test]
    fn each_fault_has_its_column_and_reason() {
        let good = "a,,,1,2.5,2024-01-01 00:00:00";
        assert_eq!(fault(HEADER, good.as_bytes()), None);
        for (from, to, column, reason) in [
            ("a,", "a,,", "", "wrong number of fields"),
            ("a,", "", "", "wrong number of fields"),
            ("a,", "\"a,", "", "unclosed quote"),
            ("a,", "\"a\"a,", "", "text after a closing quote"),
            (",,", ",,x", "user", "not a whole number"),
            (",1,", ",,", "store", "not a whole number"),
            (",1,", ",1234567890123456789,", "store", "more than 18 digits"),
            ("2.5", "1e3", "amount", "not an amount"),
            ("2.5", "\" 1\"", "amount", "not an amount"),
            ("2.5", "2.50000", "amount", "more than four decimals"),
            ("2.5", "100000000000000", "amount", "amount not below 10^14"),
            ("2024", "24", "at", "not a time"),
            ("01-01", "02-30", "at", "no such date"),
            ("00:00:00", "24:00:00", "at", "no such time of day"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_eq!(fault(HEADER, bad.as_bytes()), Some((column.into(), reason.into())), "{bad}");
        }
        assert_eq!(fault("id", good.as_bytes()), Some(("user".into(), "no such column in the header".into())));
    }

    #[test]
    fn only_used_columns_must_be_utf8() {
        assert_eq!(fault(HEADER, b"a,\xFF,,1,2.5,2024-01-01 00:00:00"), None);
        let reason = Some(("id".into(), "invalid UTF-8".into()));
        assert_eq!(fault(HEADER, b"\xFF,,,1,2.5,2024-01-01 00:00:00"), reason);
        assert_eq!(fault(HEADER, b"\"\xC3\",,,1,2.5,2024-01-01 00:00:00"), reason);
    }

    #[test]
    fn lines_are_counted_and_empty_ones_are_no_rows() {
        let (rows, rejections) =
            read::<Word>(b"\xEF\xBB\xBFword\r", b"\r\none\n\n\nforbidden\r\ntwo,three\n\"fo,ur\"\nfive\r");
        let words = [("one", 3), ("fo,ur", 8), ("five", 9)].map(|(word, line)| Word(word.to_owned(), line));
        assert_eq!(rows, words);
        let [forbidden, two] = rejections.try_into().unwrap();
        assert_eq!((forbidden.line, forbidden.reason.as_str()), (Line { file: 3, number: 6 }, "forbidden word"));
        assert_eq!((two.line.number, two.raw.unwrap()), (7, b"two,three".to_vec()));
        assert_eq!(read::<Word>(b"word", b"").0, []);
    }

    #[test]
    fn long_lines_are_rows_up_to_the_limit() {
        for end in ["\n", "\r\n", "\r", ""] {
            for length in [WINDOW - 1, WINDOW, WINDOW + 1, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE] {
                let word = "w".repeat(length);
                let (rows, rejections) = read::<Word>(b"word", format!("first\n{word}{end}").as_bytes());
                if length <= MAX_LINE {
                    assert_eq!(rows, [Word("first".into(), 2), Word(word, 3)]);
                } else {
                    assert_eq!((rows.len(), rejections.len()), (1, 1));
                    assert_eq!(rejections[0].reason, "line longer than 64 KiB");
                    assert_eq!(rejections[0].raw.as_ref().unwrap().len(), RAW_LIMIT);
                }
            }
        }
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let row = "[a-f0-9-]{0,40},(x|é|\"a,b\")?,([0-9]{1,9}(\\.0)?)?,[0-9]{1,3}(\\.0)?,-?[0-9]{1,9}(\\.[0-9]{1,4})?,\
                   202[45]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]\r?";
        let alphabet = b",,\"\"\r.0-: 9a\0\xC3\xA9\xFF".to_vec();
        let change = (any::<prop::sample::Index>(), 0usize..3, prop::sample::select(alphabet));
        (row, prop::collection::vec(change, 0..3)).prop_map(|(row, changes)| {
            let mut line = row.into_bytes();
            for (place, skipped, byte) in changes {
                let place = place.index(line.len() + 1);
                let end = (place + skipped).min(line.len());
                line.splice(place..end, (skipped != 1).then_some(byte));
            }
            line
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_quick_way_agrees_with_the_careful_way(
            lines in prop::collection::vec(line(), 1..8), last_is_ended in any::<bool>(), copies in prop::sample::select(vec![1, 1, 1, 60]),
        ) {
            let lines = vec![lines; copies].concat();
            let layout = Layout::of::<Sale>(HEADER.as_bytes()).unwrap();
            let (dates, mut split) = (DateMemo::default(), Split::default());
            let expected = collected(|rows: &mut Rows<'_, Sale>| {
                for (number, line) in (2..).zip(&lines) {
                    let mut careful = Careful { layout: &layout, dates: &dates, split: &mut split };
                    careful.read_line(line, Line { file: 3, number }, rows);
                }
            });
            let mut data = lines.join(&b'\n');
            data.extend(last_is_ended.then_some(b'\n'));
            prop_assert_eq!(read::<Sale>(HEADER.as_bytes(), &data), expected);
        }

        #[test]
        fn no_bytes_make_it_fail(header in prop::collection::vec(any::<u8>(), 0..20), data in prop::collection::vec(any::<u8>(), 0..500)) {
            read::<Sale>(&header, &data);
            read::<Sale>(HEADER.as_bytes(), &data);
            let lines = data.split(|&byte| byte == b'\n').filter(|line| !matches!(line, [] | [b'\r'])).count();
            let (rows, rejections) = read::<Word>(b"word", &data);
            prop_assert_eq!(rows.len() + rejections.len(), lines);
        }
    }
}
