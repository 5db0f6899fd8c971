//! A target for fuzzers: what Docker says of a container.

use super::compose::parse;

/// A line.
pub(crate) fn container(line: &str) {
    if let Some(Some((node, image))) = parse(line) {
        let again = parse(&format!("{node}\talways\t{image}"));
        assert_eq!(again, Some(Some((node, image))));
    }
}
