//! What tokens with unknown key ids cost, and how long a forged one can delay a rotation: second by second, and with
//! transports that fail, hang and panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_guard::{Guard, HttpClient};
use tokio::time::advance;
use tower::{ServiceExt, service_fn};

use crate::support::{Fixture, call, settle};

/// What the transport does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Works,
    Fails,
    Hangs,
    Panics,
}

const MODES: [Mode; 4] = [Mode::Works, Mode::Fails, Mode::Hangs, Mode::Panics];

/// A transport whose mode changes during a test, and which counts the requests.
#[derive(Clone, Default)]
struct Switch {
    mode: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Switch {
    fn set(&self, mode: Mode) {
        self.mode.store(MODES.iter().position(|one| *one == mode).unwrap(), Ordering::SeqCst);
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn guard(&self, fixture: &Fixture) -> Guard {
        let (this, inner) = (self.clone(), fixture.server.transport());
        let http = HttpClient::from_service(service_fn(move |request: http::Request<_>| {
            let (this, inner) = (this.clone(), inner.clone());
            async move {
                this.requests.fetch_add(1, Ordering::SeqCst);
                let mode = MODES[this.mode.load(Ordering::SeqCst)];
                assert!(mode != Mode::Panics, "on purpose");
                match mode {
                    Mode::Works | Mode::Panics => {}
                    Mode::Fails => return Err("on purpose".into()),
                    Mode::Hangs => std::future::pending().await,
                }
                inner.oneshot(request).await.map_err(Box::<dyn std::error::Error + Send + Sync>::from)
            }
        }));
        // One request per fetch.
        let issuer = fixture.issuer().jwks_uri(format!("{}/jwks", fixture.server.issuer()));
        fixture.builder().http(http).issuer(issuer).build().unwrap()
    }
}

/// A guard that has its keys.
async fn warm(fixture: &Fixture, switch: &Switch) -> Guard {
    let guard = switch.guard(fixture);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(switch.requests(), 1);
    guard
}

/// One request at the beginning of each second, and the number of fetches started by its end.
async fn each_second(
    guard: &Guard,
    switch: &Switch,
    seconds: u64,
    token: impl Fn(u64) -> Option<String>,
) -> Vec<(u64, u16, usize)> {
    let mut outcomes = Vec::new();
    for second in 0..seconds {
        if let Some(token) = token(second) {
            let guard = guard.clone();
            let reply = tokio::spawn(async move { call(&guard, &token).await.status });
            settle().await;
            let status = if reply.is_finished() { reply.await.unwrap() } else { 0 };
            outcomes.push((second, status, switch.requests() - 1));
        }
        advance(Duration::from_secs(1)).await;
        settle().await;
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn one_forged_token_delays_a_rotation_by_five_seconds_at_most() {
    for rotated_at in [1, 2, 3, 4, 5, 6, 15, 29, 30, 31] {
        let (fixture, switch) = (Fixture::new(), Switch::default());
        let guard = warm(&fixture, &switch).await;
        let forged = fixture.server.mint().kid("forged").build();
        assert_eq!(call(&guard, &forged).await.status, 401);
        assert_eq!(switch.requests(), 2);
        advance(Duration::from_secs(rotated_at)).await;
        fixture.server.keys().rotate();
        let token = fixture.server.mint().build();
        let outcomes = each_second(&guard, &switch, 10, |_| Some(token.clone())).await;
        let first = outcomes.iter().find(|(_, status, _)| *status == 200).unwrap();
        assert_eq!(first.0, 5_u64.saturating_sub(rotated_at), "rotated at {rotated_at}: {outcomes:?}");
        assert_eq!(switch.requests(), 3, "rotated at {rotated_at}");
    }
}

/// A forged token that guesses the name of the next key is no worse than any other.
#[tokio::test(start_paused = true)]
async fn a_forged_token_with_the_key_id_to_come_delays_no_longer() {
    let (fixture, switch) = (Fixture::new(), Switch::default());
    let guard = warm(&fixture, &switch).await;
    let forged = fixture.server.mint().kid("next").build();
    assert_eq!(call(&guard, &forged).await.status, 401);
    let next = oauth_mock::TestKey::generate(oauth_mock::Alg::Es256).with_kid("next");
    fixture.server.keys().add(&next);
    let token = fixture.server.mint().signed_with(&next).build();
    let outcomes = each_second(&guard, &switch, 6, |_| Some(token.clone())).await;
    let statuses: Vec<_> = outcomes.iter().map(|(_, status, _)| *status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 200]);
}

#[tokio::test(start_paused = true)]
async fn one_forged_token_per_cool_down_delays_a_rotation_by_five_seconds_at_most() {
    for rotated_at in [61, 70, 88] {
        let (fixture, switch) = (Fixture::new(), Switch::default());
        let guard = warm(&fixture, &switch).await;
        let forged = |second: u64| fixture.server.mint().kid(&format!("forged-{second}")).build();
        let before = each_second(&guard, &switch, rotated_at, |second| {
            second.is_multiple_of(30).then(|| forged(second))
        });
        before.await;
        assert_eq!(switch.requests(), 1 + 3);
        fixture.server.keys().rotate();
        let token = fixture.server.mint().build();
        let outcomes = each_second(&guard, &switch, 10, |_| Some(token.clone())).await;
        let first = outcomes.iter().find(|(_, status, _)| *status == 200).unwrap().0;
        assert_eq!(first, 65_u64.saturating_sub(rotated_at), "rotated at {rotated_at}: {outcomes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lasting_flood_delays_a_rotation_by_one_cool_down_at_most() {
    for rotated_at in [0_u64, 1, 6, 29, 31, 65] {
        let (fixture, switch) = (Fixture::new(), Switch::default());
        let guard = warm(&fixture, &switch).await;
        let good = fixture.server.mint().build();
        let (mut rotated, mut accepted_at) = (None, None);
        let mut fetched_at = Vec::new();
        for second in 0..121_u64 {
            if second == rotated_at {
                fixture.server.keys().rotate();
                rotated = Some(fixture.server.mint().build());
            }
            let before = switch.requests();
            for number in 0..3 {
                let forged = fixture.server.mint().kid(&format!("{second}-{number}")).build();
                assert_eq!(call(&guard, &forged).await.status, 401);
            }
            if switch.requests() > before {
                fetched_at.push(second);
            }
            assert_eq!(call(&guard, &good).await.status, 200);
            if let Some(token) = &rotated
                && call(&guard, token).await.status == 200
            {
                accepted_at = accepted_at.or(Some(second));
            }
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(fetched_at, [0, 30, 60, 90, 120], "two a minute");
        let delay = accepted_at.unwrap() - rotated_at;
        assert!(delay <= 30, "rotated at {rotated_at}, accepted {delay} s later");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_transport_fails_the_budget_and_the_statuses_are_the_same() {
    for (mode, is_flood) in
        [Mode::Fails, Mode::Hangs, Mode::Panics].into_iter().flat_map(|mode| [(mode, true), (mode, false)])
    {
        let case = format!("{mode:?}, flood: {is_flood}");
        let (fixture, switch) = (Fixture::new(), Switch::default());
        let guard = warm(&fixture, &switch).await;
        let good = fixture.server.mint().build();
        assert_eq!(call(&guard, &good).await.status, 200);
        switch.set(mode);
        let key_id = |second: u64| if is_flood { second.to_string() } else { "same".to_owned() };
        let forged = |second| Some(fixture.server.mint().kid(&key_id(second)).build());
        let outcomes = each_second(&guard, &switch, 120, forged).await;
        // Those that wait for a fetch that hangs have no response yet; the others are 503, never 401.
        assert!(outcomes.iter().all(|(_, status, _)| [0, 503].contains(status)), "{case}: {outcomes:?}");
        let waiting = outcomes.iter().filter(|(_, status, _)| *status == 0).count();
        let fetches: Vec<_> = [29, 59, 89, 119].iter().map(|at| outcomes[*at].2).collect();
        assert_eq!(fetches, if is_flood { [1, 2, 3, 4] } else { [2, 3, 4, 5] }, "{case}: {outcomes:?}");
        assert_eq!(waiting, if mode == Mode::Hangs { 5 * fetches[3] } else { 0 }, "{case}: {outcomes:?}");
        assert_eq!(call(&guard, &good).await.status, 200, "{case}: known keys go on");
        let last_error = guard.health().issuers[0].last_error.clone();
        let expected = if mode == Mode::Hangs { "timeout" } else { "transport" };
        assert_eq!(last_error.as_deref(), Some(expected), "{case}");

        switch.set(Mode::Works);
        fixture.server.keys().rotate();
        let token = fixture.server.mint().build();
        let outcomes = each_second(&guard, &switch, 31, |_| Some(token.clone())).await;
        assert!(outcomes.iter().any(|(_, status, _)| *status == 200), "{case}: {outcomes:?}");
    }
}

/// Without a back-off every request would call it anew.
#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_is_left_alone_for_longer_each_time() {
    let (fixture, switch) = (Fixture::new(), Switch::default());
    switch.set(Mode::Panics);
    let guard = switch.guard(&fixture);
    let token = fixture.server.mint().build();
    for _ in 0..10 {
        assert_eq!(call(&guard, &token).await.status, 503);
    }
    assert_eq!(switch.requests(), 1);
    for _ in 0..60 {
        advance(Duration::from_secs(1)).await;
        assert_eq!(call(&guard, &token).await.status, 503);
    }
    // At 0, 1, 3, 7, 15, 31 and 60 seconds at the earliest, with jitter later.
    assert!((4..=7).contains(&switch.requests()), "{}", switch.requests());
    switch.set(Mode::Works);
    advance(Duration::from_secs(40)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_time_an_issuer_that_hangs_delays_by_a_second_at_most() {
    let (fixture, switch) = (Fixture::new(), Switch::default());
    let guard = warm(&fixture, &switch).await;
    let (known, new) = (fixture.server.mint().expires_in(100_000).build(), || fixture.server.mint().build());
    assert_eq!(call(&guard, &known).await.status, 200);
    advance(Duration::from_secs(3600)).await;
    switch.set(Mode::Hangs);
    let start = tokio::time::Instant::now();
    assert_eq!(call(&guard, &known).await.status, 200);
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    for token in [&known, &new()] {
        assert_eq!(call(&guard, token).await.status, 200);
    }
    assert_eq!(start.elapsed(), Duration::from_secs(1), "the others do not wait at all");
    // A new key id still waits for the fetch.
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 503);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("timeout"));
    assert_eq!(call(&guard, &known).await.status, 200);
}

/// The runtime that the fetch runs on exists, but no thread drives it.
#[test]
fn a_fetch_on_a_runtime_that_is_no_longer_driven_parks_no_request() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let parked = runtime();
    let (fixture, guard) = parked.block_on(async {
        let (fixture, switch) = (Fixture::new(), Switch::default());
        switch.set(Mode::Hangs);
        let guard = switch.guard(&fixture);
        let token = fixture.server.mint().build();
        assert!(tokio::time::timeout(Duration::from_millis(10), call(&guard, &token)).await.is_err());
        switch.set(Mode::Works);
        (fixture, guard)
    });
    runtime().block_on(async {
        let token = fixture.server.mint().build();
        let start = tokio::time::Instant::now();
        assert_eq!(call(&guard, &token).await.status, 503);
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        assert_eq!(call(&guard, &token).await.status, 200, "the lost fetch is replaced");
    });
}
