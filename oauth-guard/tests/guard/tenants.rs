//! Issuers resolved at run time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oauth_guard::{Guard, Issuer};
use oauth_mock::Endpoint;
use tokio::time::advance;

use crate::support::{Fixture, call, settle};

/// A guard that knows the fixture's issuer only through a resolver, and how often that was called.
fn multi(fixture: &Fixture) -> (Guard, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (counter, ours) = (Arc::clone(&asked), fixture.server.issuer().to_owned());
    let guard = fixture.builder().resolve_issuers(move |name| {
        let nth = counter.fetch_add(1, Ordering::SeqCst);
        let ours = ours.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            match &*name {
                "https://broken.example" if nth == 0 => Err("the database is away"),
                "https://lost.example" => {
                    Ok(Some(Issuer::new("https://other.example").audience("orders-api")))
                }
                _ if name == ours => Ok(Some(Issuer::new(name).audience("orders-api"))),
                _ => Ok(None),
            }
        }
    });
    (guard.build().unwrap(), asked)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_resolved_once_for_all_callers() {
    let fixture = Fixture::new();
    let (guard, asked) = multi(&fixture);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (guard, token) = (guard.clone(), fixture.server.mint().build());
            tokio::spawn(async move { call(&guard, &token).await.status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1);
    assert_eq!(guard.health().issuers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_issuer_costs_no_network_call_and_is_not_resolved_again() {
    let fixture = Fixture::new();
    let (guard, asked) = multi(&fixture);
    let foreign = fixture.server.mint().issuer("https://evil.example").build();
    for _ in 0..3 {
        assert_eq!(call(&guard, &foreign).await.summary(), (401, Some("invalid_token")));
    }
    assert_eq!((asked.load(Ordering::SeqCst), fixture.server.journal().requests().len()), (1, 0));
    advance(Duration::from_secs(31)).await;
    assert_eq!(call(&guard, &foreign).await.status, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn invented_issuers_displace_no_real_one() {
    let fixture = Fixture::new();
    let (guard, asked) = multi(&fixture);
    let good = fixture.server.mint().build();
    assert_eq!(call(&guard, &good).await.status, 200);
    for n in 0..3_000 {
        let foreign =
            fixture.server.mint().issuer(format!("https://evil.example/{n}")).signature([7; 64]).build();
        assert_eq!(call(&guard, &foreign).await.status, 401);
    }
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_fails_or_returns_the_wrong_issuer_is_503() {
    let fixture = Fixture::new();
    let (guard, _) = multi(&fixture);
    let broken = fixture.server.mint().issuer("https://broken.example").build();
    assert_eq!(call(&guard, &broken).await.status, 503);
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, &broken).await.status, 401, "resolved again, and rejected");
    let lost = fixture.server.mint().issuer("https://lost.example").build();
    assert_eq!(call(&guard, &lost).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_tenant_invalidates_its_cached_tokens() {
    let fixture = Fixture::new();
    let (guard, asked) = multi(&fixture);
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert!(guard.forget_issuer(fixture.server.issuer()));
    assert!(!guard.forget_issuer(fixture.server.issuer()));
    assert_eq!(call(&guard, &token).await.status, 200, "the resolver still names it");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_no_name_is_rejected_before_the_resolver_is_called() {
    let fixture = Fixture::new();
    let (guard, asked) = multi(&fixture);
    let of = |bytes: usize| {
        let issuer = format!("https://evil.example/{}", "x".repeat(bytes - 21));
        fixture.server.mint().issuer(issuer).signature([7; 64]).build()
    };
    assert_eq!(call(&guard, &of(1025)).await.summary(), (401, Some("invalid_token")));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(call(&guard, &of(1024)).await.summary(), (401, Some("invalid_token")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_resolver_is_not_called_for_a_token_that_is_too_long() {
    let fixture = Fixture::new();
    let (guard, asked) = multi(&fixture);
    let long = fixture.server.mint().claim("groups", "x".repeat(8192)).build();
    assert_eq!(call(&guard, &long).await.summary(), (401, Some("invalid_token")));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_panics_is_one_that_fails() {
    let fixture = Fixture::new();
    let (calls, ours) = (Arc::new(AtomicUsize::new(0)), fixture.server.issuer().to_owned());
    let counter = Arc::clone(&calls);
    let guard = fixture.builder().resolve_issuers(move |name: String| {
        let nth = counter.fetch_add(1, Ordering::SeqCst);
        let ours = ours.clone();
        async move {
            assert!(nth > 0, "on purpose");
            Ok::<_, std::io::Error>((name == ours).then(|| Issuer::new(name).audience("orders-api")))
        }
    });
    let guard = guard.build().unwrap();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 503);
    assert_eq!(call(&guard, &token).await.status, 503, "left alone for a second");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_forgotten_while_it_is_resolved_is_resolved_again() {
    let fixture = Fixture::new();
    let (is_tenant, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (reply, counter) = (Arc::clone(&is_tenant), Arc::clone(&asked));
    let guard = fixture.builder().resolve_issuers(move |name: String| {
        counter.fetch_add(1, Ordering::SeqCst);
        // Read first, returned later: what a slow database does.
        let found = reply.load(Ordering::SeqCst).then(|| Issuer::new(name).audience("orders-api"));
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, std::io::Error>(found)
        }
    });
    let guard = guard.build().unwrap();
    let first = {
        let (guard, token) = (guard.clone(), fixture.server.mint().build());
        tokio::spawn(async move { call(&guard, &token).await.status })
    };
    settle().await;
    is_tenant.store(false, Ordering::SeqCst);
    guard.forget_issuer(fixture.server.issuer());
    assert_eq!(first.await.unwrap(), 401);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 401);
    assert_eq!((asked.load(Ordering::SeqCst), guard.health().issuers.len()), (2, 0));

    is_tenant.store(true, Ordering::SeqCst);
    guard.forget_issuer(fixture.server.issuer());
    assert_eq!(
        call(&guard, &fixture.server.mint().build()).await.status,
        200,
        "that it was none is forgotten too"
    );
}

#[tokio::test(start_paused = true)]
async fn exported_keys_of_a_tenant_wait_for_it() {
    let fixture = Fixture::new();
    let (first, _) = multi(&fixture);
    let token = fixture.server.mint().expires_in(100_000).build();
    assert_eq!(call(&first, &token).await.status, 200);
    let written = serde_json::to_string(&first.export_keys()).unwrap();
    fixture.server.pause();

    let (next, _) = multi(&fixture);
    assert_eq!(next.preload_keys(&serde_json::from_str(&written).unwrap()), 1);
    let again = serde_json::to_string(&next.export_keys()).unwrap();
    assert_eq!(again, written, "kept by a service without traffic");
    assert_eq!(call(&next, &token).await.status, 200);
    assert_eq!(serde_json::to_string(&next.export_keys()).unwrap(), written);

    let (last, _) = multi(&fixture);
    assert_eq!(call(&last, &token).await.status, 503, "found, but without keys");
    assert_eq!(last.preload_keys(&serde_json::from_str(&written).unwrap()), 1);
    assert_eq!(call(&last, &token).await.status, 200);
    assert_eq!(fixture.guard().preload_keys(&serde_json::from_str(&written).unwrap()), 1);
    assert_eq!(
        fixture
            .builder()
            .issuer(Issuer::new("https://other.example").audience("a"))
            .build()
            .unwrap()
            .preload_keys(&serde_json::from_str(&written).unwrap()),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn longer_tokens_of_resolved_issuers_need_the_guards_limit() {
    let fixture = Fixture::new();
    let found = |name: String| async move {
        Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api").max_token_bytes(16_384)))
    };
    let long = fixture.server.mint().claim("groups", "x".repeat(8192)).build();
    let allowed = fixture.builder().resolve_issuers(found).tenant_token_bytes(16_384).build().unwrap();
    assert_eq!(call(&allowed, &long).await.status, 200);
    let not_allowed = fixture.builder().resolve_issuers(found).build().unwrap();
    assert_eq!(call(&not_allowed, &long).await.status, 401);
    assert_eq!(call(&not_allowed, &fixture.server.mint().build()).await.status, 503, "described wrongly");
}

/// The runtime that the look-up runs on exists, but no thread drives it.
#[test]
fn a_look_up_on_a_runtime_that_is_no_longer_driven_parks_no_request() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let parked = runtime();
    let (fixture, guard) = parked.block_on(async {
        let fixture = Fixture::new();
        let asked = AtomicUsize::new(0);
        let guard = fixture.builder().resolve_issuers(move |name: String| {
            let hangs = asked.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api")))
            }
        });
        let guard = guard.build().unwrap();
        let token = fixture.server.mint().build();
        assert!(tokio::time::timeout(Duration::from_millis(10), call(&guard, &token)).await.is_err());
        (fixture, guard)
    });
    runtime().block_on(async {
        let token = fixture.server.mint().build();
        let start = tokio::time::Instant::now();
        assert_eq!(call(&guard, &token).await.status, 503);
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        assert_eq!(call(&guard, &token).await.status, 200, "the lost look-up is replaced");
    });
}
