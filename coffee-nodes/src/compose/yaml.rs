//! Texts as YAML scalars of one line.

use std::fmt::Write;

/// Words that a YAML parser of some version takes for something else than text.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// The text as a scalar, in quotes where it needs them.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// The text as a scalar that Compose puts no variables into.
pub(super) fn literal(text: &str) -> String {
    scalar(&text.replace('$', "$$"))
}

/// Whether it is text without quotes, in each version of YAML: no number, no word with a meaning.
fn is_plain(text: &str) -> bool {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(usual)
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // What YAML has no place for as it is: line ends, control codes, the mark of byte order.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parser_reads_what_was_written(text in any::<String>()) {
            let parsed: Vec<String> = serde_saphyr::from_str(&format!("- {}\n", scalar(&text))).unwrap();
            prop_assert_eq!(parsed, [text]);
        }

        #[test]
        fn also_where_it_is_mostly_signs(text in "[-~ :#*&!|>%@`'\"\\[\\]{},.?0-9eEtrufalsn\\\\/]{0,12}") {
            let parsed: Vec<String> = serde_saphyr::from_str(&format!("- {}\n", scalar(&text))).unwrap();
            prop_assert_eq!(parsed, [text]);
        }
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        let quoted = ["1", "1.5", "true", "No", "null", "~", "", "-", "1e3", "a: b", "60:60", "$x"];
        assert!(quoted.into_iter().all(|text| scalar(text) == format!("\"{text}\"")));
        assert!(
            ["groups.0", "/state", "query-node", "COFFEE_KEEP", "86400s"].map(scalar)[..4]
                .iter()
                .all(|s| !s.contains('"'))
        );
        assert_eq!(literal("$HOME"), "\"$$HOME\"");
    }
}
