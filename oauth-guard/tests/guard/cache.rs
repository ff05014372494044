//! The cache holds identity, never a decision.

use std::time::Duration;

use oauth_guard::{Claims, Guard, Issuer, Requirement};
use oauth_mock::Alg;
use serde::Deserialize;
use serde_json::json;
use tokio::time::advance;

use crate::log::Log;
use crate::support::{Fixture, call, send};

#[tokio::test(start_paused = true)]
async fn a_cached_token_expires() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().expires_in(100).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    advance(Duration::from_secs(159)).await;
    assert_eq!(call(&guard, &token).await.status, 200, "leeway");
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
    assert_eq!(guard.health().cache.entries, 0);
}

/// Tokens in constant use are in the first level of the cache, which checks them no less.
#[tokio::test(start_paused = true)]
async fn a_token_in_constant_use_is_checked_on_every_hit() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let used = async |token: &str| {
        for _ in 0..500 {
            assert_eq!(call(&guard, token).await.status, 200);
        }
    };
    let expiring = fixture.server.mint().expires_in(100).build();
    used(&expiring).await;
    advance(Duration::from_secs(160)).await;
    for _ in 0..3 {
        assert_eq!(call(&guard, &expiring).await.summary(), (401, Some("invalid_token")), "expired");
    }
    assert_eq!(guard.health().cache.entries, 0);

    let withdrawn = fixture.server.mint().build();
    used(&withdrawn).await;
    fixture.server.keys().rotate_abruptly();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200, "which brings the new keys");
    for _ in 0..3 {
        assert_eq!(call(&guard, &withdrawn).await.summary(), (401, Some("invalid_token")), "withdrawn");
    }

    assert!(guard.health().cache.hits >= 2 * 499, "each is counted, wherever it was found");
}

#[tokio::test(start_paused = true)]
async fn the_wall_clock_decides_after_a_sleep_or_a_clock_step() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().expires_in(600).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    fixture.clock.step_wall(-3600);
    assert_eq!(call(&guard, &token).await.status, 401, "issued in the future, as the clock now stands");
    fixture.clock.step_wall(3600);
    assert_eq!(call(&guard, &token).await.status, 200);
    fixture.clock.suspend(Duration::from_secs(8 * 3600));
    assert_eq!(call(&guard, &token).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_forged_copy_of_a_cached_token_is_rejected() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let (signed, _) = token.rsplit_once('.').unwrap();
    for twin in
        [format!("{signed}.{}", "A".repeat(86)), format!("{token}A"), token[..token.len() - 1].to_owned()]
    {
        assert_eq!(call(&guard, &twin).await.status, 401);
    }
    assert_eq!(call(&guard, &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn rules_are_checked_for_cached_tokens_too() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let header = format!("Bearer {}", fixture.server.mint().scope("read").build());
    assert_eq!(send(&guard.layer(), &[header.as_bytes()]).await.status, 200);
    let writers = guard.layer().require(Requirement::scope("write"));
    assert_eq!(send(&writers, &[header.as_bytes()]).await.status, 403);
    assert_eq!(guard.health().cache.hits, 1);
}

#[tokio::test(start_paused = true)]
async fn rejections_are_not_cached_and_a_cache_of_zero_bytes_works() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    assert_eq!(call(&guard, &fixture.server.mint().expires_in(-600).build()).await.status, 401);
    assert_eq!(guard.health().cache.entries, 0);
    let without = fixture.builder().issuer(fixture.issuer()).cache_bytes(0).build().unwrap();
    let token = fixture.server.mint().build();
    for _ in 0..2 {
        assert_eq!(call(&without, &token).await.status, 200);
    }
    assert_eq!(without.health().cache.hit_ratio, None);
}

#[tokio::test(start_paused = true)]
async fn the_cache_stays_within_its_bytes() {
    let fixture = Fixture::new();
    let guard = fixture.builder().issuer(fixture.issuer()).cache_bytes(100_000).build().unwrap();
    for _ in 0..300 {
        let token = fixture.server.mint().claim("padding", "x".repeat(2000)).build();
        assert_eq!(call(&guard, &token).await.status, 200);
    }
    let cache = guard.health().cache;
    assert!((10..50).contains(&cache.entries) && cache.bytes <= 100_000, "{cache:?}");
}

#[derive(Debug, Deserialize)]
struct Mine {
    tenant: String,
    #[serde(default)]
    level: u8,
}

async fn claims_of(guard: &Guard<Mine>, token: &str) -> Result<Claims<Mine>, &'static str> {
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    let reply = guard.check(&request).resolve().await;
    reply.map(Option::unwrap).map_err(|rejection| rejection.reason())
}

#[tokio::test(start_paused = true)]
async fn typed_claims_are_read_once_and_shared() {
    let fixture = Fixture::new();
    let guard = fixture.builder().claims::<Mine>().issuer(fixture.issuer()).build().unwrap();
    let token = fixture.server.mint().claim("tenant", "t\u{1F600}\"1").claim("level", 7).build();
    let first = claims_of(&guard, &token).await.unwrap();
    let second = claims_of(&guard, &token).await.unwrap();
    assert_eq!((&*first.custom().tenant, first.custom().level), ("t\u{1F600}\"1", 7));
    assert!(std::ptr::eq(first.custom(), second.custom()));
    let misfit = fixture.server.mint().claim("tenant", 5).build();
    assert_eq!(claims_of(&guard, &misfit).await.unwrap_err(), "claims_do_not_fit");
}

#[tokio::test(start_paused = true)]
async fn scopes_roles_and_clients_are_found_where_they_are_configured() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer().scope_claim("rights").roles_claim("realm_access.roles").clients(["ours"]);
    let guard = fixture.builder().claims::<Mine>().issuer(issuer).build().unwrap();
    let mint = || fixture.server.mint().claim("tenant", "t").client_id("ours");
    let token = mint()
        .claim("rights", json!(["a", "b c", "d\"e"]))
        .claim("realm_access", json!({"roles": ["editor", "ad\nmin"]}))
        .claim("aud", json!(["other", "orders-api"]))
        .build();
    let claims = claims_of(&guard, &token).await.unwrap();
    assert_eq!(claims.scopes().collect::<Vec<_>>(), ["a", "b c", "d\"e"]);
    assert_eq!(claims.roles().collect::<Vec<_>>(), ["editor", "ad\nmin"]);
    assert_eq!(claims.audience().collect::<Vec<_>>(), ["other", "orders-api"]);
    assert_eq!(claims.get::<String>("tenant").as_deref(), Some("t"));
    assert_eq!(claims.get::<u8>("tenant"), None);
    assert_eq!((claims.client_id(), claims.issuer()), (Some("ours"), fixture.server.issuer()));
    for odd in [json!(5), json!({}), json!(null), json!(["a", 5])] {
        let claims = claims_of(&guard, &mint().claim("rights", odd).build()).await.unwrap();
        assert_eq!(claims.scopes().count(), 0);
    }
    let foreign = fixture.server.mint().claim("tenant", "t").client_id("theirs").build();
    assert_eq!(claims_of(&guard, &foreign).await.unwrap_err(), "client_not_allowed");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_and_its_keys_belong_together() {
    let one = Fixture::new();
    let other = Fixture::new();
    let with_keys = |fixture: &Fixture| fixture.issuer().jwks_json(fixture.server.keys().jwks_json());
    let guard = one.builder().issuer(with_keys(&one)).issuer(with_keys(&other)).build().unwrap();
    let theirs = other.server.keys().current();
    assert_eq!(call(&guard, &other.server.mint().build()).await.status, 200);
    assert_eq!(call(&guard, &one.server.mint().signed_with(&theirs).build()).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn secrets_and_pem_keys_verify_their_algorithm_only() {
    let fixture = Fixture::with(&[Alg::Rs256]);
    let secret = [7; 32];
    let issuer = || Issuer::new(fixture.server.issuer()).audience("orders-api");
    let guard = fixture.guard_of(issuer().hmac_secret(oauth_guard::Algorithm::Hs256, secret));
    let symmetric = || fixture.server.mint().no_kid().signed_with_secret(Alg::Hs256, secret);
    assert_eq!(call(&guard, &symmetric().build()).await.status, 200);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 401);
    assert_eq!(call(&guard, &symmetric().signed_with_secret(Alg::Hs256, [8; 32]).build()).await.status, 401);
    let short = fixture.builder().issuer(issuer().hmac_secret(oauth_guard::Algorithm::Hs512, secret)).build();
    assert!(short.unwrap_err().to_string().contains("hmac_secret"));
}

#[tokio::test(start_paused = true)]
async fn no_token_nor_claim_is_ever_logged() {
    let log = Log::listen();
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let good = fixture.server.mint().subject("sub-marker").claim("tenant", "claim-marker").build();
    let bad = [
        fixture.server.mint().subject("sub-marker").expires_in(-600).build(),
        fixture.server.mint().subject("sub-marker").kid("kid\n\u{1b}[31mmarker").build(),
        fixture.server.mint().subject("sub-marker").signature([7; 64]).build(),
        fixture.server.mint().claim("aud", "claim-marker").build(),
    ];
    assert_eq!(call(&guard, &good).await.status, 200);
    for token in bad.iter().chain([&good]) {
        call(&guard, token).await;
    }
    let text = log.take();
    assert!(text.contains("oauth_guard") && text.contains("expired"), "{text}");
    for secret in ["sub-marker", "claim-marker", "\u{1b}"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    for token in bad.iter().chain([&good]) {
        for part in token.split('.') {
            assert!(!text.contains(part), "a part of a token: {text}");
        }
    }
}
