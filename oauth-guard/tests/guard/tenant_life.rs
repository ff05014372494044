//! A tenant is accepted as long as it is known, whatever ends that: forgetting, a reload, eviction, another resolution.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_guard::{Guard, GuardBuilder, Issuer};
use oauth_mock::{Alg, Endpoint, MockServer};

use crate::support::{Fixture, call, settle};

/// Tenants that all have the same static keys, so that nothing is fetched; those in `gone` were deleted.
#[derive(Clone)]
struct Directory {
    server: Arc<MockServer>,
    keys: Arc<str>,
    gone: Arc<Mutex<HashSet<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Directory {
    fn new() -> Self {
        let server = MockServer::builder().algorithms([Alg::EdDsa]).audience("orders-api").in_process();
        let keys = server.keys().jwks_json().into();
        Self { server: Arc::new(server), keys, gone: Arc::default(), asked: Arc::default() }
    }

    fn guard(&self, audience: &'static str) -> GuardBuilder {
        let this = self.clone();
        Guard::builder().resolve_issuers(move |name: String| {
            this.asked.fetch_add(1, Ordering::SeqCst);
            let found = !this.gone.lock().unwrap().contains(&name);
            let keys = this.keys.to_string();
            async move {
                // Look-ups of the same name overlap.
                tokio::task::yield_now().await;
                Ok::<_, String>(found.then(|| Issuer::new(name).audience(audience).jwks_json(keys)))
            }
        })
    }

    fn token(&self, tenant: &str) -> String {
        self.server.mint().issuer(tenant).issued_at(1_700_000_000).expires_at(9_000_000_000).build()
    }

    fn delete(&self, tenant: &str) {
        self.gone.lock().unwrap().insert(tenant.to_owned());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn tenant(number: usize) -> String {
    format!("https://auth.example.com/tenants/{number}")
}

/// Two look-ups of one name that overlap: whichever lands last, no state of it is left behind.
#[test]
fn look_ups_that_overlap_leave_no_tenant_behind() {
    const ROUNDS: usize = 1_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = Directory::new();
        let guard = directory.guard("orders-api").build().unwrap();
        for round in 0..ROUNDS {
            let (name, token) = (tenant(round), directory.token(&tenant(round)));
            let first: Vec<_> = (0..8)
                .map(|_| {
                    let (guard, token) = (guard.clone(), token.clone());
                    tokio::spawn(async move { call(&guard, &token).await.status })
                })
                .collect();
            for first in first {
                assert_eq!(first.await.unwrap(), 200, "round {round}");
            }
            assert_eq!(directory.asked(), 2 * round + 1, "round {round}: one call for all callers");
            directory.delete(&name);
            assert!(guard.forget_issuer(&name), "round {round}");
            assert_eq!(call(&guard, &token).await.status, 401, "round {round}");
        }
    });
}

/// Resolves so many tenants, each by a valid token.
async fn fill(directory: &Directory, guard: &Guard, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(call(guard, &directory.token(&tenant(number))).await.status, 200, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_tenant_is_not_accepted_by_its_cached_tokens() {
    let directory = Directory::new();
    let guard = directory.guard("orders-api").build().unwrap();
    let token = directory.token(&tenant(0));
    assert_eq!(call(&guard, &token).await.status, 200);
    fill(&directory, &guard, 1..1_001).await;
    directory.delete(&tenant(0));
    guard.forget_issuer(&tenant(0));
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
}

#[tokio::test(start_paused = true)]
async fn an_evicted_tenant_follows_a_reload_to_another_audience() {
    let directory = Directory::new();
    let guard = directory.guard("orders-api").build().unwrap();
    let token = directory.token(&tenant(0));
    assert_eq!(call(&guard, &token).await.status, 200);
    fill(&directory, &guard, 1..1_001).await;
    guard.reload(directory.guard("another")).unwrap();
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_tokens_are_cached_is_not_the_one_that_is_evicted() {
    let directory = Directory::new();
    let guard = directory.guard("orders-api").build().unwrap();
    let token = directory.token(&tenant(0));
    assert_eq!(call(&guard, &token).await.status, 200);
    fill(&directory, &guard, 1..1_000).await;
    for number in 1_000..1_010 {
        // Every request is a hit in the cache of tokens.
        assert_eq!(call(&guard, &token).await.status, 200);
        fill(&directory, &guard, number..number + 1).await;
    }
    let asked = directory.asked();
    assert_eq!((asked, guard.health().cache.hits), (1_010, 10));
    assert_eq!(call(&guard, &directory.token(&tenant(0))).await.status, 200);
    assert_eq!(directory.asked(), asked, "it was not resolved again");
    assert_eq!(call(&guard, &directory.token(&tenant(1))).await.status, 200);
    assert_eq!(directory.asked(), asked + 1, "another one was evicted");
}

/// The look-up began under the old configuration, and lands when another one is in force.
#[tokio::test(start_paused = true)]
async fn a_tenant_that_lands_after_a_reload_is_ended() {
    let directory = Directory::new();
    let slow = directory.clone();
    let guard = Guard::builder().resolve_issuers(move |name: String| {
        let issuer = Issuer::new(name).audience("orders-api").jwks_json(slow.keys.to_string());
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, String>(Some(issuer))
        }
    });
    let guard = guard.build().unwrap();
    let token = directory.token(&tenant(0));
    let waiting = {
        let (guard, token) = (guard.clone(), token.clone());
        tokio::spawn(async move { call(&guard, &token).await.status })
    };
    settle().await;
    guard.reload(directory.guard("another")).unwrap();
    assert_eq!(waiting.await.unwrap(), 200, "decided by the configuration of its arrival");
    assert_eq!(guard.health().cache.entries, 1);
    assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
    guard.reload(directory.guard("orders-api")).unwrap();
    assert_eq!(call(&guard, &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn after_a_reload_a_forgotten_tenant_fetches_its_keys_anew() {
    let fixture = Fixture::new();
    let guard = |realm: &str| {
        fixture.builder().realm(realm).resolve_issuers(|name: String| async move {
            Ok::<_, String>(Some(Issuer::new(name).audience("orders-api")))
        })
    };
    let (token, fetches) = (fixture.server.mint().build(), || fixture.server.journal().count(Endpoint::Jwks));
    let kept = guard("a").build().unwrap();
    assert_eq!(call(&kept, &token).await.status, 200);
    kept.reload(guard("b")).unwrap();
    assert_eq!(call(&kept, &token).await.status, 200);
    assert_eq!(fetches(), 1, "a reload keeps the keys");
    kept.reload(guard("c")).unwrap();
    assert!(!kept.forget_issuer(fixture.server.issuer()), "not resolved yet since");
    assert_eq!(call(&kept, &token).await.status, 200);
    assert_eq!(fetches(), 2, "nothing of a forgotten tenant is kept");
}
