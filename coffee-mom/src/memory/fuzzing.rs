//! A target for fuzzers: topic patterns, compared with the plainest way to match them.

use super::matching::topic;

/// Most words of a pattern and a key together: what is compared with takes their product.
const MOST_WORDS: usize = 512;

/// A pattern, a line break, and a key.
pub(crate) fn topics(bytes: &[u8]) {
    let Some((pattern, key)) = str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n')) else { return };
    let words = |text| -> Vec<&str> { if str::is_empty(text) { Vec::new() } else { text.split('.').collect() } };
    let (patterns, keys) = (words(pattern), words(key));
    if patterns.len() + keys.len() <= MOST_WORDS {
        assert_eq!(topic(pattern, key), matches(&patterns, &keys), "{pattern:?} {key:?}");
    }
}

/// Row by row: whether what was read of the pattern matches the first words of the key, so many of them.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    let mut row = vec![false; key.len() + 1];
    row[0] = true;
    for word in pattern {
        let before = row.clone();
        for (at, matched) in row.iter_mut().enumerate() {
            let after = |at: Option<usize>| at.is_some_and(|at| before[at]);
            *matched = match *word {
                "#" => before[..=at].contains(&true),
                "*" => after(at.checked_sub(1)),
                word => after(at.checked_sub(1).filter(|at| key[*at] == word)),
            };
        }
    }
    row[key.len()]
}
