//! How fast requests are sent: as fast as they return, at a rate, and never while the target asks for a pause (429).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::target::TargetResponse;

/// How often one request is sent again while it gets 429.
const TRIES: u32 = 10;
/// How long the pauses for one request may be in all.
const MOST: Duration = Duration::from_secs(600);

/// Clones share one pace.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Between two requests.
    every: Duration,
    next: Instant,
    /// Nothing is sent before this.
    paused_until: Instant,
    /// How often the target asked for a pause.
    throttled: usize,
    /// When a request got another response last.
    let_in: Option<Instant>,
    /// Whether no request was let in between the pauses.
    gave_up: bool,
}

impl Pace {
    /// At most so many requests in a second; `None` for no limit.
    pub(super) fn new(rate: Option<u32>) -> Self {
        let every = rate.and_then(|rate| Duration::from_secs(1).checked_div(rate)).unwrap_or_default();
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            every,
            next: now,
            paused_until: now,
            throttled: 0,
            let_in: None,
            gave_up: false,
        })))
    }

    /// Waits for the turn of the next request.
    pub(super) async fn turn(&self) {
        loop {
            let (at, taken) = {
                let mut state = self.state();
                let now = Instant::now();
                if state.paused_until > now {
                    (state.paused_until, false)
                } else {
                    let at = state.next.max(now);
                    state.next = at + state.every;
                    (at, true)
                }
            };
            tokio::time::sleep_until(at).await;
            // A pause may have begun while this request waited for its slot.
            if taken && self.state().paused_until <= Instant::now() {
                return;
            }
        }
    }

    /// After another response than 429: the target lets requests in.
    pub(super) fn let_in(&self) {
        self.state().let_in = Some(Instant::now());
    }

    /// After a 429: pauses all requests as long as the response asks for. `false` once this request, which was sent first
    /// at that time, was tried often enough. While others are let in, that is a matter of time alone.
    pub(super) fn heed(&self, response: &TargetResponse, attempt: u32, first: Instant) -> bool {
        let pause = retry_after(response).unwrap_or(Duration::from_millis(500 << attempt.min(6)));
        let mut state = self.state();
        state.throttled += 1;
        let others_get_in = state.let_in.is_some_and(|at| at >= first);
        if attempt >= TRIES && !others_get_in || first.elapsed().saturating_add(pause) > MOST {
            state.gave_up |= !others_get_in;
            return false;
        }
        state.paused_until = state.paused_until.max(Instant::now() + pause);
        true
    }

    /// How often the target asked for a pause so far.
    pub(super) fn throttled(&self) -> usize {
        self.state().throttled
    }

    /// Whether a request was given up while no other was let in: what comes after it would be given up, too.
    pub(super) fn gave_up(&self) -> bool {
        self.state().gave_up
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds, or a date, which counts from the response's own (RFC 9110 section 10.2.3).
fn retry_after(response: &TargetResponse) -> Option<Duration> {
    let value = response.header("retry-after")?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(response.header("date")?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(headers: &[(&str, &str)]) -> TargetResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        TargetResponse { status: 429, headers, ..TargetResponse::default() }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(&throttled(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        let date = ("date", "Tue, 01 Jan 2030 00:00:00 GMT");
        let until = ("retry-after", "Tue, 01 Jan 2030 00:00:09 GMT");
        assert_eq!(retry_after(&throttled(&[date, until])), Some(Duration::from_secs(9)));
        assert_eq!(retry_after(&throttled(&[until])), None, "without the server's date it says nothing");
        assert_eq!(retry_after(&throttled(&[("retry-after", "soon")])), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_every_request_and_a_rate_spaces_them() {
        let pace = Pace::new(Some(10));
        let started = Instant::now();
        for _ in 0..11 {
            pace.turn().await;
        }
        assert_eq!(started.elapsed().as_millis() / 50, 20, "{:?}", started.elapsed());
        assert!(pace.heed(&throttled(&[("retry-after", "30")]), 0, Instant::now()));
        let turns = (0..4).map(|_| {
            let pace = pace.clone();
            tokio::spawn(async move { pace.turn().await })
        });
        let paused = Instant::now();
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
        assert!(paused.elapsed() >= Duration::from_secs(30), "{:?}", paused.elapsed());
        assert_eq!(pace.throttled(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_never_ends_its_pause_is_given_up() {
        let pace = Pace::new(None);
        let first = Instant::now();
        assert!(pace.heed(&throttled(&[("retry-after", "1")]), 0, first) && !pace.gave_up());
        assert!(!pace.heed(&throttled(&[("retry-after", "4000")]), 0, first) && pace.gave_up());
        assert!(!pace.heed(&throttled(&[]), TRIES, first));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_no_luck_while_others_get_in_ends_nothing() {
        let pace = Pace::new(None);
        let first = Instant::now();
        pace.let_in();
        assert!(pace.heed(&throttled(&[("retry-after", "1")]), TRIES, first), "it goes on");
        assert!(!pace.heed(&throttled(&[("retry-after", "4000")]), 0, first) && !pace.gave_up());
        // One that comes later, when the target lets no more in.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!pace.heed(&throttled(&[]), TRIES, Instant::now()) && pace.gave_up());
    }
}
