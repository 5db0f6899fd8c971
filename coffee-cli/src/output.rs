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

/// The text in one line and without a terminal's control codes, whatever a file or a file's name holds.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_codes_are_shown_and_not_sent() {
        assert_eq!(printable("Café \u{1b}[31m\n"), "Café \\u{1b}[31m\\n");
    }
}
