//! Issuers that move their keys, and policies with numbers at the edge.

use std::time::Duration;

use oauth_guard::{Guard, KeyPolicy};
use oauth_mock::{Endpoint, Fault};
use serde_json::json;
use tokio::time::advance;

use crate::support::{Stage, call, settle};

fn metadata_fetches(stage: &Stage) -> usize {
    stage.server.journal().count(Endpoint::OauthMetadata)
}

/// The key set moves and changes; at the old address the old one is still served.
fn move_keys(stage: &Stage) {
    let old = stage.server.keys().jwks_json();
    stage.server.keys().rotate_abruptly();
    let new = stage.server.keys().jwks_json();
    stage.server.fault(Endpoint::Jwks, Fault::body(200, "application/json", old)).always();
    stage.server.fault(Endpoint::Other, Fault::body(200, "application/json", new)).always();
    let (issuer, jwks_uri) = (stage.server.issuer(), format!("{}/moved/keys", stage.server.issuer()));
    let metadata = json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
    stage.server.fault(Endpoint::OauthMetadata, Fault::body(200, "application/json", metadata)).always();
}

async fn warm(stage: &Stage) -> Guard {
    let guard = stage.guard();
    assert_eq!(call(&guard, &stage.server.mint().build()).await.status, 200);
    assert_eq!(metadata_fetches(stage), 1);
    guard
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_asks_the_metadata_where_the_keys_are_by_now() {
    let stage = Stage::new();
    let guard = warm(&stage).await;
    move_keys(&stage);
    assert_eq!(call(&guard, &stage.server.mint().build()).await.status, 200);
    assert_eq!(metadata_fetches(&stage), 2);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_is_asked_again_every_hour() {
    let stage = Stage::new();
    let guard = warm(&stage).await;
    let old = stage.server.mint().expires_in(1_000_000).build();
    move_keys(&stage);
    for _ in 0..7 {
        assert_eq!(call(&guard, &old).await.status, 200);
        advance(Duration::from_secs(500)).await;
    }
    assert_eq!(metadata_fetches(&stage), 1, "less than an hour has passed");
    for _ in 0..2 {
        call(&guard, &old).await;
        settle().await;
        advance(Duration::from_secs(500)).await;
    }
    assert_eq!(metadata_fetches(&stage), 2);
    assert_eq!(call(&guard, &old).await.status, 401, "its key is withdrawn where the keys are by now");
}

#[tokio::test(start_paused = true)]
async fn while_the_metadata_cannot_be_had_the_known_address_serves() {
    let stage = Stage::new();
    let guard = warm(&stage).await;
    for fault in [Fault::status(503), Fault::hang()] {
        stage.server.keys().rotate();
        stage.server.fault(Endpoint::OauthMetadata, fault).times(1);
        assert_eq!(call(&guard, &stage.server.mint().build()).await.status, 200);
        assert!(guard.health().issuers[0].last_error.is_none());
        advance(Duration::from_secs(31)).await;
    }
    // After a failed fetch the address is doubted, but not dropped.
    stage.server.fault(Endpoint::Jwks, Fault::reset()).times(1);
    assert_eq!(call(&guard, &stage.server.mint().kid("new").build()).await.status, 503);
    advance(Duration::from_secs(31)).await;
    stage.server.fault(Endpoint::OauthMetadata, Fault::status(503)).times(1);
    assert_eq!(call(&guard, &stage.server.mint().kid("new").build()).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_is_no_reason_to_go_on_with_the_known_address() {
    let stage = Stage::new();
    let guard = warm(&stage).await;
    let metadata = json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"});
    stage
        .server
        .fault(Endpoint::OauthMetadata, Fault::body(200, "application/json", metadata.to_string()))
        .always();
    let good = stage.server.mint().build();
    assert_eq!(call(&guard, &stage.server.mint().kid("new").build()).await.status, 503);
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("discovery"));
    assert_eq!(call(&guard, &good).await.status, 200, "the keys in hand go on");
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_there_are_panic_nowhere() {
    let most = Duration::MAX;
    let stage = Stage::new();
    let policy =
        KeyPolicy { cooldown: most, max_age: most, max_stale: most, timeout: most, ..KeyPolicy::default() };
    let issuer = stage.issuer().leeway(most).max_token_age(most);
    let guard = stage.builder().issuer(issuer).keys(policy.clone()).build().unwrap();
    stage.server.fault(Endpoint::Jwks, Fault::status(503)).times(2);
    let token = stage.server.mint().build();
    for _ in 0..2 {
        assert_eq!(call(&guard, &token).await.status, 503);
        advance(Duration::from_secs(60)).await;
    }
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(call(&guard, &stage.server.mint().kid("new").build()).await.status, 401);
    assert_eq!(call(&guard, &stage.server.mint().kid("new").build()).await.status, 401);
    advance(Duration::from_secs(10 * 365 * 86_400)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
    assert!(guard.health().ok);
    let next = stage.builder().issuer(stage.issuer()).keys(policy.clone()).build().unwrap();
    assert_eq!(next.preload_keys(&guard.export_keys()), 1);
    assert!(guard.reload(stage.builder().issuer(stage.issuer()).keys(policy.clone())).is_ok());
    assert_eq!(call(&guard, &token).await.status, 401, "the usual leeway");

    let found = stage.builder().keys(policy).resolve_issuers(|_| async { Ok::<_, std::io::Error>(None) });
    assert_eq!(call(&found.build().unwrap(), &token).await.status, 401);
}
