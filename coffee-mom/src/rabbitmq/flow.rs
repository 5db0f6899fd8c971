//! How much has been handed to amiquip that the socket has not taken yet. amiquip moves all of it
//! in memory after each partial write, so it has to stay shallow for throughput, and bounded for
//! memory. Counts and waiting only; nothing here touches a socket.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// The depth above which publishers wait: deep enough to keep a fast socket busy while they wake
/// up, shallow enough to be cheap to move.
const TARGET_BYTES: u64 = 4 << 20;

/// The flow of one link. Calls are a few atomic operations while nobody has to wait.
///
/// amiquip writes bytes of its own (heartbeats, calls), and drops bytes of a channel that the broker
/// has closed. So the depth is put right each time that amiquip's buffer has run empty; it is too
/// small by what was on its way to the buffer then, which is less than the target and one message
/// a publisher.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Bytes ever handed over.
    handed: AtomicU64,
    /// The part of them that the socket has taken; set by the I/O thread alone, never above `handed`
    /// as it was then.
    taken: AtomicU64,
    closed: AtomicBool,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    progress: Condvar,
}

impl Flow {
    /// Waits while the depth is above the target, then counts `bytes` as handed over.
    ///
    /// False: it still was at the deadline, or the flow is closed; nothing is counted. A deadline
    /// that has passed makes it a try.
    pub(super) fn admit(&self, bytes: u64, deadline: Instant) -> bool {
        let admitted = !self.is_closed() && (self.depth() <= TARGET_BYTES || self.wait(deadline));
        if admitted {
            self.handed(bytes);
        }
        admitted
    }

    /// Counts `bytes` that are handed over without asking.
    pub(super) fn handed(&self, bytes: u64) {
        self.handed.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The socket took `bytes` from amiquip's buffer, which still holds `left`. Called by the I/O
    /// thread alone.
    pub(super) fn written(&self, bytes: usize, left: usize) {
        let handed = self.handed.load(Ordering::SeqCst);
        let taken = self.taken.load(Ordering::Relaxed) + bytes as u64;
        self.taken.store(if left == 0 { handed } else { taken.min(handed) }, Ordering::SeqCst);
        // Waking at half the target lets publishers hand over more than one message a wake.
        if self.waiting.load(Ordering::SeqCst) > 0 && self.depth() <= TARGET_BYTES / 2 {
            self.wake();
        }
    }

    /// Bytes handed over that the socket has not taken.
    pub(super) fn depth(&self) -> u64 {
        let taken = self.taken.load(Ordering::SeqCst);
        self.handed.load(Ordering::SeqCst).saturating_sub(taken)
    }

    /// The socket takes nothing any more: all waiting ends, and nothing is admitted.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until the depth is low; true if it is and the flow is open.
    fn wait(&self, deadline: Instant) -> bool {
        let mut guard = self.lock.lock();
        // Before looking at the depth: a writer that does not see it yet has made progress that is
        // seen here.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut in_time = true;
        while in_time && self.depth() > TARGET_BYTES / 2 && !self.is_closed() {
            in_time = !self.progress.wait_until(&mut guard, deadline).timed_out();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.depth() <= TARGET_BYTES && !self.is_closed()
    }

    fn wake(&self) {
        // Taking the lock puts this after the look of anybody who is about to wait.
        drop(self.lock.lock());
        self.progress.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_deep_buffer_admits_nothing_until_half_is_written() {
        let flow = Arc::new(Flow::default());
        assert!(flow.admit(TARGET_BYTES + 1, Instant::now()));
        assert!(!flow.admit(1, Instant::now()));
        assert_eq!(flow.depth(), TARGET_BYTES + 1);
        let waiting = thread::spawn({
            let flow = flow.clone();
            move || flow.admit(1, soon())
        });
        while flow.waiting.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        flow.written((TARGET_BYTES / 2) as usize + 1, (TARGET_BYTES / 2) as usize);
        assert!(waiting.join().unwrap());
        assert_eq!(flow.depth(), TARGET_BYTES / 2 + 1);
    }

    #[test]
    fn an_empty_buffer_puts_the_count_right() {
        let flow = Flow::default();
        flow.written(100, 0);
        assert_eq!(flow.depth(), 0);
        flow.handed(10);
        assert_eq!(flow.depth(), 10, "bytes of amiquip itself do not count against it");
        // The channel went, and these bytes with it: a call empties the buffer later.
        flow.handed(10 * TARGET_BYTES);
        assert!(!flow.admit(1, Instant::now()));
        flow.written(20, 0);
        assert!(flow.admit(1, Instant::now()));
    }

    #[test]
    fn closing_wakes_all() {
        let flow = Arc::new(Flow::default());
        flow.handed(2 * TARGET_BYTES);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let flow = flow.clone();
                thread::spawn(move || flow.admit(1, soon()))
            })
            .collect();
        flow.close();
        assert!(waiting.into_iter().all(|waiter| !waiter.join().unwrap()));
        assert!(!flow.admit(1, soon()));
    }

    #[test]
    fn many_publishers_and_one_writer_come_to_an_end() {
        let flow = Arc::new(Flow::default());
        let each = 200 * (64 << 10);
        let publishers: Vec<_> = (0..4)
            .map(|_| {
                let flow = flow.clone();
                thread::spawn(move || (0..200).all(|_| flow.admit(64 << 10, soon())))
            })
            .collect();
        let (mut taken, total) = (0_u64, 4 * each);
        while taken < total {
            let depth = flow.handed.load(Ordering::SeqCst) - taken;
            let bytes = depth.min(100_000);
            taken += bytes;
            flow.written(bytes as usize, (depth - bytes) as usize);
        }
        assert!(publishers.into_iter().all(|publisher| publisher.join().unwrap()));
    }
}
