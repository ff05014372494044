//! Time, in one place: every rule about expiry reads it through [`Clock`].
//!
//! Two clocks count. The *wall* clock is what a token's expiry is written in, but it can be stepped (NTP, an operator,
//! a machine that boots at 1970). The *monotonic* clock never steps, but on Linux it stands still while the machine is
//! suspended. A token is expired when either of them says so.
//!
//! ```
//! use oauth_client::clock::{Clock, TestClock};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let clock = TestClock::at(1_900_000_000);
//! tokio::time::advance(std::time::Duration::from_secs(5)).await;
//! assert_eq!(clock.now().wall.as_secs(), 1_900_000_005);
//!
//! clock.suspend(std::time::Duration::from_secs(3600)); // the lid is closed for an hour
//! assert_eq!(clock.now().wall.as_secs(), 1_900_003_605);
//! assert_eq!(clock.now().monotonic.as_secs(), 5);
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Where the time comes from. One call reads both clocks; it is on the hot path, so it must be cheap.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment on both clocks.
    fn now(&self) -> Now;

    /// Names what the monotonic clock counts from, where other processes count from the same point: the boot of the
    /// machine, for [`SystemClock`] on Linux. `None` where the monotonic clock is this process's own.
    ///
    /// With it, what processes agree on (such as the lease of a [`FileStore`](crate::store::FileStore)) is safe from
    /// steps of the wall clock.
    fn boot_id(&self) -> Option<&str> {
        None
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Now {
        (**self).now()
    }

    fn boot_id(&self) -> Option<&str> {
        (**self).boot_id()
    }
}

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the Unix epoch, as far as the machine knows. Zero when its clock stands before 1970.
    pub wall: Duration,
    /// Time since some fixed point in this process's past. Only differences mean anything.
    pub monotonic: Duration,
}

/// The machine's clocks.
///
/// On Linux the coarse clocks are read: a few nanoseconds a call, a few milliseconds of resolution, which is far
/// below the whole seconds that token lifetimes are counted in.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Now {
        use std::cell::Cell;

        use rustix::time::{ClockId, Timespec, clock_gettime};

        let since_zero = |time: Timespec| {
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
        };
        thread_local! {
            /// What this thread has read last.
            static LAST: Cell<Now> = const { Cell::new(Now { wall: Duration::ZERO, monotonic: Duration::ZERO }) };
        }
        let wall = since_zero(clock_gettime(ClockId::RealtimeCoarse));
        let read = || Now { wall, monotonic: since_zero(clock_gettime(ClockId::MonotonicCoarse)) };
        // The kernel moves both with the same tick, and a step moves the wall clock: while that one stands, so does the
        // other.
        let now = LAST.try_with(|last| {
            let mut now = last.get();
            if now.wall != wall || wall.is_zero() {
                now = read();
                last.set(now);
            }
            now
        });
        now.unwrap_or_else(|_| read())
    }

    #[cfg(target_os = "linux")]
    fn boot_id(&self) -> Option<&str> {
        use std::sync::OnceLock;
        static BOOT: OnceLock<Option<String>> = OnceLock::new();
        let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        BOOT.get_or_init(|| read().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())).as_deref()
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    fn now(&self) -> Now {
        use std::sync::OnceLock;
        use std::time::{Instant, SystemTime};
        static START: OnceLock<Instant> = OnceLock::new();
        Now {
            wall: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            monotonic: START.get_or_init(Instant::now).elapsed(),
        }
    }
}

/// A clock for tests: it runs with tokio's clock, so `tokio::time::pause` and `advance` move it, and it can be
/// stepped and suspended as real machines are. Clones share their time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<TestTime>);

#[derive(Debug)]
struct TestTime {
    start: tokio::time::Instant,
    wall_at_start: i64,
    wall_stepped_ms: AtomicI64,
}

/// 2030-01-01T00:00:00Z.
const TEST_EPOCH: u64 = 1_893_456_000;

impl TestClock {
    /// A clock that starts at 2030-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(TEST_EPOCH)
    }

    /// A clock that starts at the given Unix time, in seconds.
    #[must_use]
    pub fn at(unix_seconds: u64) -> Self {
        Self(Arc::new(TestTime {
            start: tokio::time::Instant::now(),
            wall_at_start: i64::try_from(unix_seconds).unwrap_or(i64::MAX),
            wall_stepped_ms: AtomicI64::new(0),
        }))
    }

    /// Steps the wall clock by so many seconds, forwards or back, as NTP does. The monotonic clock does not notice.
    pub fn step_wall(&self, seconds: i64) {
        self.0.wall_stepped_ms.fetch_add(seconds.saturating_mul(1000), Ordering::SeqCst);
    }

    /// Puts the machine to sleep: the wall clock moves on while the monotonic clock stands still.
    pub fn suspend(&self, asleep: Duration) {
        let ms = i64::try_from(asleep.as_millis()).unwrap_or(i64::MAX);
        self.0.wall_stepped_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let monotonic = self.0.start.elapsed();
        let running_ms = i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX);
        let wall_ms = self
            .0
            .wall_at_start
            .saturating_mul(1000)
            .saturating_add(running_ms)
            .saturating_add(self.0.wall_stepped_ms.load(Ordering::SeqCst));
        Now { wall: Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0)), monotonic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_tells_a_plausible_time_and_runs_forwards() {
        let first = SystemClock.now();
        assert!(first.wall.as_secs() > 1_700_000_000, "the wall clock counts from 1970");
        assert!(SystemClock.now().monotonic >= first.monotonic);
    }

    /// Each tick is some milliseconds.
    #[cfg(target_os = "linux")]
    #[test]
    fn both_clocks_move_together() {
        let (first, mut moved) = (SystemClock.now(), 0);
        let mut last = first;
        while moved < 3 {
            let now = SystemClock.now();
            moved += u32::from(now.wall != last.wall);
            last = now;
        }
        let [wall, monotonic] = [last.wall - first.wall, last.monotonic - first.monotonic];
        assert!(
            !monotonic.is_zero() && wall.abs_diff(monotonic) < Duration::from_millis(50),
            "{wall:?} {monotonic:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_back_before_1970_is_zero_and_not_a_panic() {
        let clock = TestClock::at(10);
        clock.step_wall(-3600);
        assert_eq!(clock.now().wall, Duration::ZERO);
    }
}
