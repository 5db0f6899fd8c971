//! So much a second on average, with a second's worth at once: a token bucket, kept as the time at which it will be full again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may be taken at once after a pause.
const BURST: Duration = Duration::from_secs(1);

/// How fast something may be taken. Threads that share it wait in the order that they came.
#[derive(Debug)]
pub(super) struct Rate {
    /// What one unit takes, in nanoseconds for 2^20 of them.
    nanos_per_mi: u64,
    full_at: Mutex<Instant>,
}

impl Rate {
    /// So many units a second; 0 counts as 1.
    pub fn per_second(units: u64, now: Instant) -> Self {
        let nanos = (1_000_000_000_u128 << 20) / u128::from(units.max(1));
        Rate { nanos_per_mi: u64::try_from(nanos).unwrap_or(u64::MAX), full_at: Mutex::new(now) }
    }

    /// Takes so many: how long to wait before they may be used. `None`, and nothing taken, where that is longer than `most`.
    pub fn take(&self, units: u64, most: Duration, now: Instant) -> Option<Duration> {
        let mut full_at = self.full_at.lock();
        let full_then = (*full_at).max(now).checked_add(self.cost(units))?;
        let wait = full_then.saturating_duration_since(now).saturating_sub(BURST);
        if wait > most {
            return None;
        }
        *full_at = full_then;
        Some(wait)
    }

    /// Takes so many if they need not wait: a pause has saved them or, where they are more than it saves, as many as it does. An error:
    /// nothing is taken, and how long that lasts at least.
    pub fn take_now(&self, units: u64, now: Instant) -> Result<(), Duration> {
        let cost = self.cost(units);
        let mut full_at = self.full_at.lock();
        let full_then = (*full_at).max(now).checked_add(cost).ok_or(BURST)?;
        let wait = full_then.saturating_duration_since(now).saturating_sub(BURST.max(cost));
        if !wait.is_zero() {
            return Err(wait);
        }
        *full_at = full_then;
        Ok(())
    }

    /// How long it takes until so many may be taken anew.
    fn cost(&self, units: u64) -> Duration {
        let nanos = (u128::from(units) * u128::from(self.nanos_per_mi)) >> 20;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether nothing of it is in use: another one would allow the same.
    pub fn is_full(&self, now: Instant) -> bool {
        *self.full_at.lock() <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_second_is_there_at_once_and_then_each_waits_for_its_own() {
        let now = Instant::now();
        let rate = Rate::per_second(10, now);
        let waits = || rate.take(1, LONG, now).unwrap();
        assert!((0..10).all(|_| waits() <= millis(1)));
        for number in 1..=5 {
            let wait = waits();
            assert!(wait.abs_diff(millis(100 * number)) <= millis(1), "{wait:?}");
        }
        assert!(!rate.is_full(now + millis(1400)) && rate.is_full(now + millis(1600)));
        let later = now + millis(60_000);
        assert_eq!(rate.take(10, LONG, later), Some(Duration::ZERO), "but no more than a second's worth is saved");
        assert!(rate.take(10, LONG, later).unwrap() >= millis(990));
    }

    #[test]
    fn what_waits_is_not_charged() {
        let now = Instant::now();
        let rate = Rate::per_second(10, now);
        assert_eq!([rate.take_now(6, now), rate.take_now(4, now)], [Ok(()); 2]);
        for _ in 0..9 {
            let wait = rate.take_now(5, now).unwrap_err();
            assert!(wait.abs_diff(millis(500)) <= millis(1), "{wait:?}");
        }
        assert_eq!(rate.take_now(5, now + millis(501)), Ok(()));
        // More than a pause saves has to wait for all that one does.
        assert!(rate.take_now(30, now + millis(1000)).is_err());
        assert_eq!(rate.take_now(30, now + millis(1501)), Ok(()));
        assert!(Rate::per_second(0, now).take_now(u64::MAX, now).is_ok(), "alone");
    }

    #[test]
    fn who_would_wait_too_long_takes_nothing() {
        let now = Instant::now();
        let rate = Rate::per_second(1_000_000, now);
        let first = rate.take(3_000_000, LONG, now).unwrap();
        assert!(first.abs_diff(millis(2000)) <= millis(1), "{first:?}");
        assert!((0..100).all(|_| rate.take(1, millis(1900), now).is_none()));
        assert!(rate.take(1, millis(1900), now + millis(200)).is_some(), "what was refused was not counted");
        assert!(Rate::per_second(0, now).take(u64::MAX, LONG, now).is_none());
        assert_eq!(Rate::per_second(u64::MAX, now).take(1 << 40, Duration::ZERO, now), Some(Duration::ZERO));
    }
}
