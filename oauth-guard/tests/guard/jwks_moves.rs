//! Issuers that move their JWKS URI, and key policies with extreme values.

use std::time::Duration;

use oauth_guard::{Guard, KeyPolicy};
use oauth_mock::{Endpoint, Fault};
use serde_json::json;
use tokio::time::advance;

use crate::support::{Fixture, call, settle};

fn metadata_fetches(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::OauthMetadata)
}

/// The key set moves and changes; at the old address the old one is still served.
fn move_keys(fixture: &Fixture) {
    let old = fixture.server.keys().jwks_json();
    fixture.server.keys().rotate_abruptly();
    let new = fixture.server.keys().jwks_json();
    fixture.server.fault(Endpoint::Jwks, Fault::body(200, "application/json", old)).always();
    fixture.server.fault(Endpoint::Other, Fault::body(200, "application/json", new)).always();
    let (issuer, jwks_uri) = (fixture.server.issuer(), format!("{}/moved/keys", fixture.server.issuer()));
    let metadata = json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
    fixture.server.fault(Endpoint::OauthMetadata, Fault::body(200, "application/json", metadata)).always();
}

async fn warm(fixture: &Fixture) -> Guard {
    let guard = fixture.guard();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(metadata_fetches(fixture), 1);
    guard
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_reads_the_metadata_again() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    move_keys(&fixture);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(metadata_fetches(&fixture), 2);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_is_read_again_every_hour() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let old = fixture.server.mint().expires_in(1_000_000).build();
    move_keys(&fixture);
    for _ in 0..7 {
        assert_eq!(call(&guard, &old).await.status, 200);
        advance(Duration::from_secs(500)).await;
    }
    assert_eq!(metadata_fetches(&fixture), 1, "less than an hour has passed");
    for _ in 0..2 {
        call(&guard, &old).await;
        settle().await;
        advance(Duration::from_secs(500)).await;
    }
    assert_eq!(metadata_fetches(&fixture), 2);
    assert_eq!(call(&guard, &old).await.status, 401, "its key is withdrawn where the keys are by now");
}

#[tokio::test(start_paused = true)]
async fn while_the_metadata_is_unavailable_the_known_uri_is_used() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    for fault in [Fault::status(503), Fault::hang()] {
        fixture.server.keys().rotate();
        fixture.server.fault(Endpoint::OauthMetadata, fault).times(1);
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
        assert!(guard.health().issuers[0].last_error.is_none());
        advance(Duration::from_secs(31)).await;
    }
    // After a failed fetch the URI is rechecked, but not dropped.
    fixture.server.fault(Endpoint::Jwks, Fault::reset()).times(1);
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 503);
    advance(Duration::from_secs(31)).await;
    fixture.server.fault(Endpoint::OauthMetadata, Fault::status(503)).times(1);
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_is_not_covered_by_the_known_uri() {
    let fixture = Fixture::new();
    let guard = warm(&fixture).await;
    let metadata = json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"});
    for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
        fixture.server.fault(place, Fault::body(200, "application/json", metadata.to_string())).always();
    }
    let good = fixture.server.mint().build();
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 503);
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("discovery"));
    assert_eq!(call(&guard, &good).await.status, 200, "the keys in hand go on");
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_never_panic() {
    let most = Duration::MAX;
    let fixture = Fixture::new();
    let policy =
        KeyPolicy { cooldown: most, max_age: most, max_stale: most, timeout: most, ..KeyPolicy::default() };
    let issuer = fixture.issuer().leeway(most).max_token_age(most);
    let guard = fixture.builder().issuer(issuer).keys(policy.clone()).build().unwrap();
    fixture.server.fault(Endpoint::Jwks, Fault::status(503)).times(2);
    let token = fixture.server.mint().build();
    for _ in 0..2 {
        assert_eq!(call(&guard, &token).await.status, 503);
        advance(Duration::from_secs(60)).await;
    }
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 401);
    assert_eq!(call(&guard, &fixture.server.mint().kid("new").build()).await.status, 401);
    advance(Duration::from_secs(10 * 365 * 86_400)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
    assert!(guard.health().ok);
    let next = fixture.builder().issuer(fixture.issuer()).keys(policy.clone()).build().unwrap();
    assert_eq!(next.preload_keys(&guard.export_keys()), 1);
    assert!(guard.reload(fixture.builder().issuer(fixture.issuer()).keys(policy.clone())).is_ok());
    assert_eq!(call(&guard, &token).await.status, 401, "the usual leeway");

    let found = fixture.builder().keys(policy).resolve_issuers(|_| async { Ok::<_, std::io::Error>(None) });
    assert_eq!(call(&found.build().unwrap(), &token).await.status, 401);
}
