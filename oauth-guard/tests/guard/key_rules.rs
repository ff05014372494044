//! Which key may have signed a token, and what ends a token that was accepted before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_guard::{Guard, Issuer, Profile};
use oauth_mock::{Alg, Endpoint, TestKey};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::support::{Fixture, call};

fn fetches(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::Jwks)
}

/// A key as it is published by a server that gives its keys no names.
fn nameless(key: &TestKey) -> Value {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

/// The only key that the server publishes and signs with, published as given.
fn replace_keys(fixture: &Fixture, key: &TestKey, published: Value) {
    let keys = fixture.server.keys();
    keys.clear();
    keys.add_raw(published);
    keys.sign_with(key);
}

#[tokio::test(start_paused = true)]
async fn another_key_under_the_same_key_id_ends_the_tokens_of_the_old_one() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let old = fixture.server.mint().build();
    assert_eq!(call(&guard, &old).await.status, 200);
    let other = TestKey::generate(Alg::Es256).with_kid(&fixture.server.keys().current_kid());
    replace_keys(&fixture, &other, other.public_jwk());
    assert_eq!(call(&guard, &old).await.status, 200, "no fetch has shown it yet");
    assert_eq!(call(&guard, &fixture.server.mint().kid("unknown").build()).await.status, 401);
    assert_eq!(fetches(&fixture), 2);
    assert_eq!(call(&guard, &old).await.summary(), (401, Some("invalid_token")));
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_maximum_age_ends_cached_tokens_and_needs_iat() {
    let fixture = Fixture::new();
    let hour = Duration::from_secs(3600);
    let guard = fixture.guard_of(fixture.issuer().max_token_age(hour).leeway(Duration::ZERO));
    let token = fixture.server.mint().expires_in(100_000).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    advance(hour).await;
    assert_eq!(call(&guard, &token).await.status, 200, "as old as it may be");
    assert_eq!(guard.health().cache.entries, 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
    assert_eq!(guard.health().cache.entries, 0);

    let any_jwt = fixture.issuer().profile(Profile::Jwt);
    let undated = fixture.server.mint().without("iat").build();
    assert_eq!(call(&fixture.guard_of(any_jwt.clone()), &undated).await.status, 200);
    let limited = fixture.guard_of(any_jwt.max_token_age(hour));
    assert_eq!(call(&limited, &undated).await.summary(), (401, Some("invalid_token")));
}

#[tokio::test(start_paused = true)]
async fn each_private_member_makes_a_key_unfit() {
    // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, spelled out.
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        for algorithm in [Alg::Es256, Alg::EdDsa, Alg::Rs256] {
            let fixture = Fixture::with(&[algorithm]);
            let key = fixture.server.keys().current();
            let mut jwk = key.public_jwk();
            jwk[member] = if member == "oth" { json!([]) } else { json!("AQAB") };
            replace_keys(&fixture, &key, jwk);
            let guard = fixture.guard();
            let reply = call(&guard, &fixture.server.mint().build()).await;
            assert_eq!(reply.summary(), (401, Some("invalid_token")), "{member} of {algorithm:?}");
            assert_eq!(guard.health().issuers[0].keys, 0, "{member} of {algorithm:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_abrupt_rotation_a_token_without_a_key_id_costs_one_fetch() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    assert_eq!(call(&guard, &fixture.server.mint().no_kid().build()).await.status, 200);
    fixture.server.keys().rotate_abruptly();
    assert_eq!(call(&guard, &fixture.server.mint().no_kid().build()).await.status, 200);
    assert_eq!(fetches(&fixture), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sole_nameless_key_serves_tokens_with_a_key_id_over_rotations() {
    let fixture = Fixture::new();
    let first = TestKey::generate(Alg::Es256);
    replace_keys(&fixture, &first, nameless(&first));
    let guard = fixture.guard();
    assert_eq!(call(&guard, &fixture.server.mint().kid("any").build()).await.status, 200);
    assert_eq!(call(&guard, &fixture.server.mint().no_kid().build()).await.status, 200);
    assert_eq!(fetches(&fixture), 1);
    let second = TestKey::generate(Alg::Es256);
    replace_keys(&fixture, &second, nameless(&second));
    assert_eq!(call(&guard, &fixture.server.mint().kid("any").build()).await.status, 200);
    assert_eq!(fetches(&fixture), 2, "none of the nameless keys signed it, so newer ones are fetched");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_eight_nameless_keys_are_tried() {
    for (others, status) in [(7, 200), (8, 401)] {
        let fixture = Fixture::new();
        let keys = fixture.server.keys();
        let good = keys.current();
        keys.clear();
        for _ in 0..others {
            keys.add_raw(nameless(&TestKey::generate(Alg::Es256)));
        }
        keys.add_raw(nameless(&good));
        let guard = fixture.guard();
        for token in [fixture.server.mint().no_kid().build(), fixture.server.mint().kid("any").build()] {
            assert_eq!(call(&guard, &token).await.status, status, "the key is number {}", others + 1);
        }
        assert_eq!(guard.health().issuers[0].keys, others + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn headers_and_key_ids_have_limits() {
    let fixture = Fixture::new();
    for (bytes, status) in [(256, 200), (257, 401)] {
        let key = TestKey::generate(Alg::Es256).with_kid(&"k".repeat(bytes));
        replace_keys(&fixture, &key, key.public_jwk());
        let guard = fixture.guard();
        assert_eq!(call(&guard, &fixture.server.mint().signed_with(&key).build()).await.status, status);
    }
    fixture.server.keys().rotate();
    let guard = fixture.guard();
    let header = |padding: usize| {
        let token = fixture.server.mint().header("padding", "x".repeat(padding)).build();
        (token.split('.').next().unwrap().len(), token)
    };
    let longest = (1..2048).rev().find(|padding| header(*padding).0 <= 2048).unwrap();
    assert_eq!(header(longest).0, 2048);
    assert_eq!(call(&guard, &header(longest).1).await.status, 200);
    assert_eq!(call(&guard, &header(longest + 1).1).await.summary(), (401, Some("invalid_token")));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_chain_in_the_header_changes_nothing() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    for (chain, status) in [
        (json!(["MIIB", "MIIC"]), 200),
        (json!([]), 200),
        (json!(["MIIB", 7]), 401),
        (json!("MIIB"), 401),
        (json!({}), 401),
    ] {
        let token = fixture.server.mint().header("x5c", chain.clone()).build();
        assert_eq!(call(&guard, &token).await.status, status, "{chain}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_returns_another_issuer_lets_nothing_through() {
    let (ours, other) = (Fixture::new(), Fixture::new());
    let (name, keys) = ("https://other.example", other.server.keys().jwks_json());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let guard = ours.builder().resolve_issuers(move |_: String| {
        counter.fetch_add(1, Ordering::SeqCst);
        let found = Issuer::new(name).audience("orders-api").jwks_json(keys.clone());
        async move { Ok::<_, String>(Some(found)) }
    });
    let guard: Guard = guard.build().unwrap();
    let signed = |issuer: &str| other.server.mint().issuer(issuer).build();
    for _ in 0..2 {
        assert_eq!(call(&guard, &signed("https://asked.example")).await.status, 503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a resolver that is wrong is left alone for a second");
    assert_eq!(call(&guard, &signed(name)).await.status, 200, "under its own name it is good");
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, &signed("https://asked.example")).await.status, 503);
}
