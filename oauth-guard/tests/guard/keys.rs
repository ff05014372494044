//! Keys: when they are fetched, how they survive an outage, and what a withdrawal invalidates.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_guard::{Guard, KeyPolicy};
use oauth_mock::{Alg, Endpoint, Fault, TestKey};
use serde_json::json;
use tokio::time::advance;

use crate::support::{Fixture, call, settle};

fn fetches(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::Jwks)
}

/// A guard that has its keys, from a server that has served them once.
async fn warm(fixture: &Fixture) -> Guard {
    let guard = fixture.guard();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(fetches(fixture), 1);
    guard
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_built_and_starts_while_the_server_is_down() {
    let fixture = Fixture::new();
    fixture.server.pause();
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 503);
    fixture.server.resume();
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_a_cold_start_cost_one_fetch() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(1))).times(1);
    let guard = fixture.guard();
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let (guard, token) = (guard.clone(), fixture.server.mint().build());
            tokio::spawn(async move { call(&guard, &token).await.status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(fetches(&fixture), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_does_not_cancel_the_fetch() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(1))).times(1);
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    let impatient = tokio::time::timeout(Duration::from_millis(10), call(&guard, &token)).await;
    assert!(impatient.is_err());
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(fetches(&fixture), 1);
}

#[test]
fn a_fetch_lost_with_its_runtime_is_started_again() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let (fixture, guard) = first.block_on(async {
        let fixture = Fixture::new();
        fixture.server.fault(Endpoint::Jwks, Fault::hang()).times(1);
        let guard = fixture.guard();
        let token = fixture.server.mint().build();
        let gone = tokio::time::timeout(Duration::from_millis(10), call(&guard, &token)).await;
        assert!(gone.is_err());
        (fixture, guard)
    });
    drop(first);
    let status = runtime().block_on(async { call(&guard, &fixture.server.mint().build()).await.status });
    assert_eq!(status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_followed_at_once_and_old_tokens_stay_valid() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let before = fixture.server.mint().build();
    fixture.server.keys().rotate();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(call(&guard, &before).await.status, 200);
    assert_eq!(fetches(&fixture), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_key_ids_costs_two_fetches_a_minute_and_delays_no_rotation() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let good = fixture.server.mint().build();
    // Signing a hundred thousand tokens would only take time: the key id is checked first.
    let body = good.split('.').nth(1).unwrap().to_owned();
    let forge = |kid: String| {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#));
        format!("{header}.{body}.{}", "A".repeat(86))
    };
    let mut rotated = None;
    for second in 0..60_u32 {
        if second == 31 {
            fixture.server.keys().rotate();
            rotated = Some(fixture.server.mint().build());
        }
        for n in 0..1700_u32 {
            let token = forge(format!("{second}-{n}"));
            assert_eq!(call(&guard, &token).await.status, 401);
        }
        assert_eq!(call(&guard, &good).await.status, 200);
        advance(Duration::from_secs(1)).await;
    }
    assert!(fetches(&fixture) <= 1 + 2, "{} fetches", fetches(&fixture));
    assert_eq!(call(&guard, &rotated.unwrap()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn unknown_key_ids_have_a_budget_of_two_fetches_and_one_comes_back_per_cool_down() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let unknown = || fixture.server.mint().kid("unknown").build();
    assert_eq!(call(&guard, &unknown()).await.status, 401);
    assert_eq!(fetches(&fixture), 2, "right after the first load, a new key id is looked up at once");
    for (seconds, fetched) in [(0, 2), (4, 2), (1, 3), (24, 3), (1, 4), (29, 4), (1, 5)] {
        advance(Duration::from_secs(seconds)).await;
        assert_eq!(call(&guard, &unknown()).await.status, 401);
        assert_eq!(fetches(&fixture), fetched, "{seconds} seconds later");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_is_503_while_the_server_is_unavailable() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let good = fixture.server.mint().build();
    fixture.server.keys().rotate();
    let rotated = fixture.server.mint().build();
    fixture.server.pause();
    assert_eq!(call(&guard, &rotated).await.status, 503);
    assert_eq!(call(&guard, &rotated).await.status, 503);
    assert_eq!(call(&guard, &good).await.status, 200, "known keys go on");
    fixture.server.resume();
    advance(Duration::from_secs(31)).await;
    assert_eq!(call(&guard, &rotated).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_ahead_while_the_old_ones_are_used() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    fixture.server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(3))).always();
    advance(Duration::from_secs(479)).await;
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(fetches(&fixture), 1);
    advance(Duration::from_secs(2)).await;
    let before = tokio::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "no request waits for it");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(fetches(&fixture), 2);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_invalidates_its_cached_tokens() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let old = fixture.server.mint().build();
    assert_eq!(call(&guard, &old).await.status, 200);
    fixture.server.keys().rotate_abruptly();
    assert_eq!(call(&guard, &old).await.status, 200, "no fetch has shown it yet");
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(call(&guard, &old).await.summary(), (401, Some("invalid_token")));
}

#[tokio::test(start_paused = true)]
async fn an_empty_key_set_is_used_and_a_malformed_one_changes_nothing() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let cases = [
        Fault::body(200, "application/json", "{}"),
        Fault::body(200, "application/json", "{\"keys\":{}}"),
        Fault::html_ok(),
        Fault::truncated(),
        Fault::oversized(10 * 1024 * 1024),
        Fault::gzip_bomb(10 * 1024 * 1024),
        Fault::redirect("http://169.254.169.254/latest/meta-data"),
        Fault::drip(Duration::from_secs(1)),
        Fault::status(500),
    ];
    for fault in cases {
        let name = format!("{fault:?}");
        fixture.server.fault(Endpoint::Jwks, fault).times(1);
        advance(Duration::from_secs(61)).await;
        assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 503, "{name}");
        assert_eq!(call(&guard, &token).await.status, 200, "{name}");
        assert!(guard.health().issuers[0].last_error.is_some(), "{name}");
    }
    fixture.server.keys().clear();
    advance(Duration::from_secs(61)).await;
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 401);
    assert_eq!(call(&guard, &token).await.status, 401, "all keys are withdrawn");
    assert_eq!(guard.health().issuers[0].keys, 0);
}

#[tokio::test(start_paused = true)]
async fn old_keys_are_used_in_an_outage_up_to_max_stale() {
    let fixture = Fixture::new();
    let policy = KeyPolicy { max_stale: Duration::from_secs(7200), ..KeyPolicy::default() };
    let guard = fixture.builder().issuer(fixture.issuer()).keys(policy).build().unwrap();
    let token = fixture.server.mint().expires_in(1_000_000).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    fixture.server.pause();
    for _ in 0..11 {
        advance(Duration::from_secs(600)).await;
        assert_eq!(call(&guard, &token).await.status, 200);
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
        settle().await;
    }
    let health = guard.health();
    assert!(health.issuers[0].stale && health.issuers[0].failures > 0, "{health:?}");
    advance(Duration::from_secs(600)).await;
    let reply = call(&guard, &token).await;
    assert_eq!((reply.status, reply.challenge), (503, None));
    fixture.server.resume();
    advance(Duration::from_secs(60)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
    assert!(!guard.health().issuers[0].stale);
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_time_newer_keys_are_fetched_before_old_ones_are_used() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let old = fixture.server.mint().expires_in(100_000).build();
    assert_eq!(call(&guard, &old).await.status, 200);
    fixture.server.keys().rotate_abruptly();
    advance(Duration::from_secs(3 * 3600)).await;
    assert_eq!(call(&guard, &old).await.status, 401);
}

#[test]
fn outside_of_a_runtime_old_keys_are_used_since_none_can_be_fetched() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (fixture, guard) = runtime.block_on(async {
        let fixture = Fixture::new();
        let guard = warm(&fixture).await;
        (fixture, guard)
    });
    drop(runtime);
    fixture.clock.suspend(Duration::from_secs(3600));
    let token = fixture.server.mint().expires_in(100_000).build();
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    for _ in 0..2 {
        let check = guard.check(&request);
        assert!(matches!(&check, oauth_guard::Check::Ready(Ok(Some(_)))), "{check:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn suspended_time_counts_for_the_age_of_keys() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let old = fixture.server.mint().expires_in(100_000).build();
    assert_eq!(call(&guard, &old).await.status, 200);
    fixture.server.keys().rotate_abruptly();
    fixture.clock.suspend(Duration::from_secs(3 * 3600));
    assert_eq!(call(&guard, &old).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn the_servers_max_age_is_followed_within_bounds() {
    for (said, refreshed_after) in [(100, 80), (5, 24), (86_400, 480)] {
        let fixture = Fixture::new();
        fixture.server.keys().set_max_age(Duration::from_secs(said));
        let guard = warm(&fixture).await;
        advance(Duration::from_secs(refreshed_after - 1)).await;
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
        settle().await;
        assert_eq!(fetches(&fixture), 1, "max-age={said}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
        settle().await;
        assert_eq!(fetches(&fixture), 2, "max-age={said}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_the_key_server_is_obeyed() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::status(503).retry_after_secs(45)).times(1);
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.retry_after.as_deref(), Some("45"));
    advance(Duration::from_secs(44)).await;
    assert_eq!(call(&guard, &token).await.status, 503);
    assert_eq!(fetches(&fixture), 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn callers_wait_no_longer_than_a_fetch_may_take() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::hang()).always();
    let guard = fixture.guard();
    let start = tokio::time::Instant::now();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("timeout"));
}

#[tokio::test(start_paused = true)]
async fn one_bad_key_never_spoils_the_set() {
    let fixture = Fixture::new();
    let keys = fixture.server.keys();
    for bad in [
        json!(5),
        json!({}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}),
        json!({"kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AA", "y": "AA"}),
        json!({"kty": 7, "kid": [], "alg": {}}),
    ] {
        keys.add_raw(bad);
    }
    keys.add(&TestKey::rsa_1024());
    assert_eq!(call(&fixture.guard(), &fixture.server.mint().build()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_key_id_is_tried_with_the_keys_that_fit() {
    let fixture = Fixture::with(&[Alg::Rs256, Alg::Es256, Alg::EdDsa]);
    for _ in 0..3 {
        let key = TestKey::generate(Alg::Es256);
        fixture.server.keys().add(&key);
    }
    let guard = fixture.guard();
    for algorithm in [Alg::Rs256, Alg::Es256, Alg::EdDsa] {
        let token = fixture.server.mint().alg(algorithm).no_kid().build();
        assert_eq!(call(&guard, &token).await.status, 200, "{algorithm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_keys_with_one_name_are_both_skipped() {
    let fixture = Fixture::new();
    let twin = TestKey::generate(Alg::Es256).with_kid(&fixture.server.keys().current_kid());
    fixture.server.keys().add(&twin);
    let guard = fixture.guard();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 401);
    assert_eq!(call(&guard, &fixture.server.mint().signed_with(&twin).build()).await.status, 401);

    let same = Fixture::new();
    same.server.keys().add(&same.server.keys().current());
    assert_eq!(call(&same.guard(), &same.server.mint().build()).await.status, 200, "one key, said twice");
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_brings_no_keys() {
    let fixture = Fixture::new();
    let metadata =
        json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"}).to_string();
    for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
        fixture.server.fault(place, Fault::body(200, "application/json", metadata.clone())).always();
    }
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 503);
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("discovery"));
}

#[tokio::test(start_paused = true)]
async fn outages_are_forgotten_after_their_time() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::reset()).times(1);
    let guard = Arc::new(fixture.guard());
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 503);
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(guard.health().issuers[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn exported_keys_start_a_guard_while_the_server_is_down() {
    let fixture = Fixture::new();
    let first = warm(&fixture).await;
    let written = serde_json::to_string(&first.export_keys()).unwrap();
    let token = fixture.server.mint().expires_in(100_000).build();
    fixture.server.pause();

    let next = fixture.guard();
    assert_eq!(call(&next, &token).await.status, 503);
    assert_eq!(next.preload_keys(&serde_json::from_str(&written).unwrap()), 1);
    assert_eq!(call(&next, &token).await.status, 200);
    assert_eq!(next.preload_keys(&first.export_keys()), 0, "not newer than what is held");

    advance(Duration::from_secs(25 * 3600)).await;
    assert_eq!(fixture.guard().preload_keys(&serde_json::from_str(&written).unwrap()), 0, "too old");
    assert_eq!(call(&next, &fixture.server.mint().build()).await.status, 503, "preloaded keys age as well");
}

#[tokio::test(start_paused = true)]
async fn exported_keys_of_another_location_are_not_taken() {
    let fixture = Fixture::new();
    let written = serde_json::to_value(warm(&fixture).await.export_keys()).unwrap();
    let of = |uri: Option<&str>| match uri {
        Some(uri) => fixture.guard_of(fixture.issuer().jwks_uri(uri)),
        None => fixture.guard(),
    };
    let taken = |guard: &Guard, export: &serde_json::Value| {
        guard.preload_keys(&serde_json::from_value(export.clone()).unwrap())
    };
    let [one, other] = ["one", "other"].map(|path| format!("{}/{path}", fixture.server.issuer()));
    assert_eq!(taken(&of(None), &written), 1);
    assert_eq!(taken(&of(Some(&one)), &written), 0);
    let mut old = written;
    old[0].as_object_mut().unwrap().remove("location").unwrap();
    let at_one = of(Some(&one));
    assert_eq!(taken(&at_one, &old), 1, "written before exports named it");
    let at_one = serde_json::to_value(at_one.export_keys()).unwrap();
    assert_eq!(at_one[0]["location"], one);
    assert_eq!(taken(&of(Some(&one)), &at_one), 1);
    assert_eq!(taken(&of(Some(&other)), &at_one), 0);
    assert_eq!(taken(&of(None), &at_one), 0);
    // A query selects other keys, and may hold a key of an API.
    let [mine, theirs] = ["s3cr3t", "0ther"].map(|key| format!("{one}?key={key}#part"));
    let at_mine = of(Some(&mine));
    assert_eq!(taken(&at_mine, &old), 1);
    let at_mine = serde_json::to_value(at_mine.export_keys()).unwrap();
    assert!(at_mine[0]["location"].as_str().unwrap().starts_with(&format!("{one}#sha256=")), "{at_mine}");
    assert!(!at_mine.to_string().contains("s3cr3t"), "{at_mine}");
    assert_eq!(taken(&of(Some(&mine)), &at_mine), 1);
    for another in [&one, &theirs] {
        assert_eq!(taken(&of(Some(another)), &at_mine), 0, "{another}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_warm_up_the_first_request_does_not_wait() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::status(500)).times(1);
    let guard = fixture.guard();
    let health = guard.warm_up().await;
    assert!(!health.ok);
    assert_eq!(health.issuers[0].last_error.as_deref(), Some("server_error"));
    advance(Duration::from_secs(2)).await;
    assert!(guard.warm_up().await.ok);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(fetches(&fixture), 2);
}
