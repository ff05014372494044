//! The server's own clock: it can be set and stepped, and it moves with tokio's, so that paused tests never wait.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// 2030-01-01T00:00:00Z: where the clock of an in-process server starts.
pub const START_OF_IN_PROCESS_TIME: u64 = 1_893_456_000;

/// The clock of one [`MockServer`](crate::MockServer); clones show the same time.
///
/// ```
/// let server = oauth_mock::MockServer::builder().in_process();
/// let before = server.clock().now_unix();
/// server.clock().step(-3600);
/// assert_eq!(server.clock().now_unix(), before - 3600);
/// ```
#[derive(Clone)]
pub struct MockClock(Arc<Inner>);

struct Inner {
    start: Start,
    base: Mutex<Base>,
    offset: AtomicI64,
}

/// What [`MockClock::reset`] goes back to.
#[derive(Clone, Copy)]
enum Start {
    /// The machine's time, which goes on.
    Machine(Base),
    /// A time that was chosen, which starts again.
    At(Duration),
}

#[derive(Clone, Copy)]
struct Base {
    unix: Duration,
    /// `None` while the clock is stopped.
    at: Option<Instant>,
}

impl Base {
    fn running(unix: Duration) -> Self {
        Self { unix, at: Some(Instant::now()) }
    }

    fn now(self) -> Duration {
        // `saturating`: the paused clock of a new runtime may lie before the instant this one was made at.
        let elapsed = self.at.map(|at| Instant::now().saturating_duration_since(at));
        self.unix.saturating_add(elapsed.unwrap_or_default())
    }
}

impl MockClock {
    /// Starts at the machine's wall clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's time")]
    pub(crate) fn of_the_machine() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base = Base::running(unix);
        Self::new(Start::Machine(base), base)
    }

    pub(crate) fn starting_at(unix: Duration) -> Self {
        Self::new(Start::At(unix), Base::running(unix))
    }

    fn new(start: Start, base: Base) -> Self {
        Self(Arc::new(Inner { start, base: Mutex::new(base), offset: AtomicI64::new(0) }))
    }

    /// Seconds since the Unix epoch, as this server sees them.
    #[must_use]
    pub fn now_unix(&self) -> i64 {
        let base = *self.0.base.lock().unwrap_or_else(PoisonError::into_inner);
        i64::try_from(base.now().as_secs())
            .unwrap_or(i64::MAX)
            .saturating_add(self.0.offset.load(Ordering::Relaxed))
    }

    /// Moves this clock forward by whole seconds. It moves neither tokio's clock nor that of an API under test, which goes on
    /// accepting what has expired here.
    pub fn advance(&self, by: Duration) {
        self.step(i64::try_from(by.as_secs()).unwrap_or(i64::MAX));
    }

    /// Moves this clock by `seconds`, backwards if negative, as a correction by NTP would.
    pub fn step(&self, seconds: i64) {
        let add = |offset: i64| Some(offset.saturating_add(seconds));
        // The closure always returns `Some`, so there is no failure to look at.
        let _ = self.0.offset.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Sets this clock to `unix` seconds since the epoch; it runs on from there, also after [`stop`](Self::stop).
    pub fn set(&self, unix: u64) {
        self.rebase(Base::running(Duration::from_secs(unix)));
    }

    /// Stops this clock, so that a test which takes real time sees one time only. [`advance`](Self::advance) and
    /// [`step`](Self::step) still move it; [`set`](Self::set) and a reset of the server start it again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let server = oauth_mock::MockServer::builder().in_process();
    /// server.clock().stop();
    /// let now = server.clock().now_unix();
    /// tokio::time::advance(std::time::Duration::from_secs(60)).await;
    /// assert_eq!(server.clock().now_unix(), now);
    /// # }
    /// ```
    pub fn stop(&self) {
        let mut base = self.0.base.lock().unwrap_or_else(PoisonError::into_inner);
        *base = Base { unix: base.now(), at: None };
    }

    /// The machine's time again, or the time it was started at.
    pub(crate) fn reset(&self) {
        self.rebase(match self.0.start {
            Start::Machine(base) => base,
            Start::At(unix) => Base::running(unix),
        });
    }

    fn rebase(&self, base: Base) {
        *self.0.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
        self.0.offset.store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for MockClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MockClock({})", self.now_unix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_paused_time_and_can_be_set() {
        let clock = MockClock::starting_at(Duration::from_secs(1_000));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(clock.now_unix(), 1_050);
        clock.advance(Duration::from_secs(10));
        clock.step(-20);
        assert_eq!(clock.now_unix(), 1_040);
        clock.set(5_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now_unix(), 5_001);
        clock.set(u64::MAX);
        assert_eq!(clock.now_unix(), i64::MAX);
        clock.step(i64::MIN);
        clock.step(i64::MIN);
        assert!(clock.now_unix() <= 0, "stepping never overflows");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_clock_is_moved_by_hand_only() {
        let clock = MockClock::starting_at(Duration::from_secs(1_000));
        tokio::time::advance(Duration::from_secs(50)).await;
        clock.stop();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now_unix(), 1_050);
        clock.advance(Duration::from_secs(10));
        clock.stop();
        assert_eq!(clock.now_unix(), 1_060, "stopping twice changes nothing");
        clock.set(2_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now_unix(), 2_001, "it runs on from a time that was set");
        clock.stop();
        clock.reset();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now_unix(), 1_001, "a reset starts it again");
    }
}
