//! Numbers that nobody else draws.

use std::hash::{BuildHasher, RandomState};

/// A number unlike that of any other call in any process: drawn from what the system has for hash maps' secrets.
pub(crate) fn unique() -> u128 {
    // Each RandomState has keys of its own; the first ones of a thread come from the system.
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::unique;

    #[test]
    fn numbers_differ() {
        let numbers: BTreeSet<u128> = (0..1000).map(|_| unique()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}
