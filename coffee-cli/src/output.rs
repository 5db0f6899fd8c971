//! Printing that no closed pipe, and no text out of a file, can disturb.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes to stdout. That it is closed (`coffee run data | head -1`) is its reader's business and no failure.
pub fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::work("can't write to stdout", error)),
        _ => Ok(()),
    }
}

/// Writes to stderr, with which nothing can be done if it is closed.
pub fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The text in one line, without a terminal's control codes and without letters that are not seen or turn others around, whatever a
/// file or a file's name holds.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() || is_format(c) {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// Whether it says how others are to be set and is no letter itself: Unicode's category Cf, and its two separators of lines.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_codes_are_shown_and_not_sent() {
        assert_eq!(printable("Café \u{1b}[31m\n"), "Café \\u{1b}[31m\\n");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200b}d\u{2028}e"), r"a\u{202e}b\u{2066}c\u{200b}d\u{2028}e");
        assert_eq!(printable("日本 é → שלום 😀"), "日本 é → שלום 😀");
    }
}
