//! The pauses between attempts to connect: full jitter between two bounds. No clock, no sleeping.

use std::time::Duration;

use crate::random::{Random, fresh_seed};

/// Pauses of a length drawn evenly between `min` and a ceiling, which doubles from twice `min` up
/// to `max`. So clients that lost the same broker don't come back at the same time.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    random: Random,
}

impl Backoff {
    /// Bounds as they are in a valid config: `min` above zero and not above `max`.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self::with_seed(min, max, fresh_seed())
    }

    /// The same pauses for the same seed.
    pub(super) fn with_seed(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, ceiling: min.saturating_mul(2).min(max), random: Random::new(seed) }
    }

    /// The pause before the next attempt.
    pub(super) fn next_pause(&mut self) -> Duration {
        let spread = self.ceiling.saturating_sub(self.min);
        let pause = self.min + spread.mul_f64(self.random.fraction());
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        pause
    }

    /// An attempt succeeded: pauses start small again.
    pub(super) fn reset(&mut self) {
        self.ceiling = self.min.saturating_mul(2).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_stay_within_bounds_that_double(
            min in 1_u64..1000, extra in 0_u64..100_000, seed: u64, count in 1_usize..40,
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(min + extra));
            let mut backoff = Backoff::with_seed(min, max, seed);
            let mut ceiling = min;
            for _ in 0..count {
                ceiling = (2 * ceiling).min(max);
                let pause = backoff.next_pause();
                prop_assert!(min <= pause && pause <= ceiling, "{pause:?} above {ceiling:?}");
            }
            backoff.reset();
            prop_assert!(backoff.next_pause() <= 2 * min);
        }

        #[test]
        fn the_same_seed_gives_the_same_pauses(seed: u64) {
            let (min, max) = (Duration::from_millis(100), Duration::from_secs(30));
            let pauses = |seed| {
                let mut backoff = Backoff::with_seed(min, max, seed);
                std::iter::repeat_with(move || backoff.next_pause()).take(12).collect::<Vec<_>>()
            };
            prop_assert_eq!(pauses(seed), pauses(seed));
            prop_assert_ne!(pauses(seed), pauses(!seed));
        }
    }
}
