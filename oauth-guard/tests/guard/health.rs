//! What a health probe reads, and what it starts.

use std::time::Duration;

use oauth_guard::{Issuer, KeyPolicy};
use oauth_mock::{Endpoint, Fault};
use tokio::time::advance;

use crate::support::{Fixture, call, settle};

#[tokio::test(start_paused = true)]
async fn a_probe_before_the_first_request_starts_the_first_fetch() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    assert!(!guard.health().ok, "nothing can be validated yet");
    settle().await;
    let health = guard.health();
    assert!(health.ok && health.issuers[0].ok, "{health:?}");
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1);
}

#[tokio::test(start_paused = true)]
async fn probes_fetch_from_a_server_that_is_down_no_more_often_than_requests() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::status(500)).always();
    let guard = fixture.guard();
    for _ in 0..60 {
        assert!(!guard.health().ok);
        settle().await;
        advance(Duration::from_secs(1)).await;
    }
    // At 0, 1, 3, 7, 15, 31 and 60 seconds at the earliest.
    let fetches = fixture.server.journal().count(Endpoint::Jwks);
    assert!((3..=7).contains(&fetches), "{fetches}");
    fixture.server.clear_faults();
    advance(Duration::from_secs(40)).await;
    let _ = guard.health();
    settle().await;
    assert!(guard.health().ok);
}

#[tokio::test(start_paused = true)]
async fn keys_too_old_to_be_used_are_not_ok() {
    let fixture = Fixture::new();
    let policy = KeyPolicy { max_stale: Duration::from_secs(7200), ..KeyPolicy::default() };
    let guard = fixture.builder().issuer(fixture.issuer()).keys(policy).build().unwrap();
    let token = fixture.server.mint().expires_in(1_000_000).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    fixture.server.pause();
    advance(Duration::from_secs(7000)).await;
    assert_eq!(call(&guard, &token).await.status, 200);
    let health = guard.health();
    assert!(health.ok && health.issuers[0].stale, "old, yet in use: {health:?}");
    advance(Duration::from_secs(300)).await;
    assert_eq!(call(&guard, &token).await.status, 503);
    let health = guard.health();
    assert!(!health.ok && !health.issuers[0].ok && health.issuers[0].keys == 1, "{health:?}");
    fixture.server.resume();
    advance(Duration::from_secs(60)).await;
    let _ = guard.health();
    settle().await;
    assert!(guard.health().ok, "the probe alone brings it back");
}

#[tokio::test(start_paused = true)]
async fn a_resolved_issuer_that_is_down_does_not_make_the_service_unhealthy() {
    let fixture = Fixture::new();
    let guard = fixture.builder().resolve_issuers(|name: String| async move {
        Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api")))
    });
    let guard = guard.build().unwrap();
    fixture.server.pause();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
    let health = guard.health();
    assert!(health.ok && !health.issuers[0].ok, "{health:?}");
}

/// A probe asks every second, and there may be 100,000 tenants.
#[tokio::test(start_paused = true)]
async fn what_a_report_costs_does_not_grow_with_the_tenants_and_it_lists_those_in_trouble() {
    let fixture = Fixture::new();
    let jwks = fixture.server.keys().jwks_json();
    let guard = fixture.builder().resolve_issuers(move |name: String| {
        let issuer = Issuer::new(name).audience("orders-api").jwks_json(jwks.clone());
        async move { Ok::<_, std::io::Error>(Some(issuer)) }
    });
    let guard = guard.build().unwrap();
    let name = |n: usize| format!("https://tenant-{n:03}.example.com");
    let mut costs = Vec::new();
    for n in 0..300 {
        assert_eq!(call(&guard, &fixture.server.mint().issuer(name(n)).build()).await.status, 200);
        if n == 49 || n == 299 {
            costs.push(allocation_counter::measure(|| drop(guard.health())).count_total);
        }
    }
    assert!(costs[1] < costs[0] + 20, "{costs:?}");
    let health = guard.health();
    let tenants = health.tenants.unwrap();
    assert_eq!((tenants.known, tenants.on_probation, tenants.without_keys), (300, 0, 0));
    let listed: Vec<_> = health.issuers.into_iter().map(|one| one.issuer).collect();
    assert_eq!(listed, (0..10).map(name).collect::<Vec<_>>());
}

#[test]
fn outside_of_a_runtime_a_probe_only_reads() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    assert!(!guard.health().ok);
}
