//! Which bindings match a message: direct keys, topic patterns, headers. Pure functions.

use crate::message::{Headers, Message};
use crate::name::RoutingKey;
use crate::topology::{Binding, ExchangeKind, HeaderMatch};

/// Whether an exchange of that kind passes the message on by that binding.
pub(super) fn matches(kind: ExchangeKind, binding: &Binding, key: &RoutingKey, message: &Message) -> bool {
    match (kind, binding) {
        (ExchangeKind::Fanout, _) => true,
        (ExchangeKind::Direct, Binding::Key(wanted)) => wanted == key,
        (ExchangeKind::Topic, Binding::Key(pattern)) => topic(pattern.as_str(), key.as_str()),
        (ExchangeKind::Headers, Binding::Headers(how, wanted)) => headers(*how, wanted, &message.properties().headers),
        _ => false,
    }
}

/// Whether an exchange of that kind has a use for such a binding.
pub(super) fn suits(kind: ExchangeKind, binding: &Binding) -> bool {
    matches!(binding, Binding::Headers(..)) == (kind == ExchangeKind::Headers)
}

fn headers(how: HeaderMatch, wanted: &Headers, found: &Headers) -> bool {
    let mut wanted = wanted.iter().filter(|(name, _)| !name.starts_with("x-"));
    let has = |(name, value): (&String, _)| found.get(name) == Some(value);
    match how {
        HeaderMatch::All => wanted.all(has),
        HeaderMatch::Any => wanted.any(has),
    }
}

/// Whether a pattern of words, `*` (one word) and `#` (any number of words) matches a key.
///
/// Only the last `#` seen is ever tried again, as an earlier one could take no more than it: so the
/// time is at most the product of the two lengths.
pub(super) fn topic(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut key) = (words(pattern), words(key));
    // After the last `#`: the rest of the pattern, and of the key with the `#` taking no more.
    let mut retry = None;
    loop {
        match (pattern.next(), key.clone().next()) {
            (None, None) => return true,
            (Some("#"), _) => {
                retry = Some((pattern.clone(), key.clone()));
                continue;
            }
            (Some(word), Some(found)) if word == "*" || word == found => {
                key.next();
                continue;
            }
            _ => {}
        }
        let Some((rest, taken)) = &mut retry else {
            return false;
        };
        if taken.next().is_none() {
            return false;
        }
        (pattern, key) = (rest.clone(), taken.clone());
    }
}

/// The words between the dots; the empty text has none.
fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('.').take(if text.is_empty() { 0 } else { usize::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Value;
    use proptest::prelude::*;

    /// The definition, word by word; exponential.
    fn model(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], key) => key.is_empty(),
            (["#", rest @ ..], _) => (0..=key.len()).any(|n| model(rest, &key[n..])),
            (["*", rest @ ..], [_, tail @ ..]) => model(rest, tail),
            ([word, rest @ ..], [found, tail @ ..]) => word == found && model(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn topics_match_by_definition(pattern in "([ab*#.]{0,10})", key in "([ab.]{0,10})") {
            let model = model(&words(&pattern).collect::<Vec<_>>(), &words(&key).collect::<Vec<_>>());
            prop_assert_eq!(topic(&pattern, &key), model);
        }
    }

    #[test]
    fn topics_by_example() {
        for (pattern, key, expected) in [
            ("#", "", true),
            ("#", "a.b", true),
            ("*", "", false),
            ("*", "a", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.c", false),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.b.b.c", true),
            ("a.#.c", "a.b.c.d", false),
            ("a.*", "a.", true),
            ("*.a", ".a", true),
            ("a", "a.", false),
            ("", "", true),
        ] {
            assert_eq!(topic(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn headers_all_and_any() {
        let wanted = Headers::from([("a".into(), Value::Int(1)), ("b".into(), Value::Int(2))]);
        let both = wanted.clone();
        let one = Headers::from([("a".into(), Value::Int(1))]);
        let mistyped = Headers::from([("a".into(), Value::from("1"))]);
        assert!(headers(HeaderMatch::All, &wanted, &both));
        assert!(!headers(HeaderMatch::All, &wanted, &one));
        assert!(headers(HeaderMatch::Any, &wanted, &one));
        assert!(!headers(HeaderMatch::Any, &wanted, &mistyped));
        assert!(headers(HeaderMatch::All, &Headers::new(), &one));
        assert!(!headers(HeaderMatch::Any, &Headers::new(), &one));
    }

    #[test]
    fn header_names_of_the_broker_do_not_count() {
        let wanted = Headers::from([("x-other".into(), Value::Int(1))]);
        assert!(headers(HeaderMatch::All, &wanted, &Headers::new()));
    }
}
