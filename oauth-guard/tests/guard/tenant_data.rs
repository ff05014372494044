//! What a resolver knows of a tenant reaches the handlers, and how many tenants are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use http::header::AUTHORIZATION;
use oauth_guard::{Guard, Issuer};

use crate::support::Fixture;

#[derive(Debug, PartialEq)]
struct Tenant {
    database: String,
}

async fn database(guard: &Guard, token: &str) -> Option<String> {
    let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
    let claims = guard.check(&request).resolve().await.unwrap().unwrap();
    assert_eq!(claims.issuer_data::<String>(), None, "it is of another type");
    claims.issuer_data::<Tenant>().map(|tenant| tenant.database.clone())
}

#[tokio::test(start_paused = true)]
async fn handlers_read_what_the_resolver_said_of_the_tenant_until_it_is_forgotten() {
    let fixture = Fixture::new();
    let asked = AtomicUsize::new(0);
    let guard = fixture.builder().resolve_issuers(move |name| {
        let tenant = Tenant { database: format!("db{}", asked.fetch_add(1, Ordering::SeqCst)) };
        async move { Ok::<_, String>(Some(Issuer::new(name).audience("orders-api").data(tenant))) }
    });
    let guard = guard.build().unwrap();
    let token = fixture.server.mint().build();
    for _ in 0..2 {
        assert_eq!(database(&guard, &token).await.as_deref(), Some("db0"), "the second time from the cache");
    }
    assert!(guard.forget_issuer(fixture.server.issuer()));
    assert_eq!(database(&guard, &token).await.as_deref(), Some("db1"));
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_other_data_reaches_tokens_that_are_cached() {
    let fixture = Fixture::new();
    let with = |name: &str| {
        let tenant = Tenant { database: name.to_owned() };
        fixture.builder().issuer(fixture.issuer().data(tenant))
    };
    let guard = with("old").build().unwrap();
    let token = fixture.server.mint().build();
    assert_eq!(database(&guard, &token).await.as_deref(), Some("old"));
    guard.reload(with("new")).unwrap();
    assert_eq!(database(&guard, &token).await.as_deref(), Some("new"));
    guard.reload(fixture.builder().issuer(fixture.issuer())).unwrap();
    assert_eq!(database(&guard, &token).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_tenants_is_a_setting_with_bounds() {
    let fixture = Fixture::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let build = |most: usize| {
        let (asked, keys) = (Arc::clone(&asked), fixture.server.keys().jwks_json());
        let resolved = fixture.builder().max_tenants(most).resolve_issuers(move |name| {
            asked.fetch_add(1, Ordering::SeqCst);
            let tenant = Tenant { database: "db".to_owned() };
            let issuer = Issuer::new(name).audience("orders-api").jwks_json(keys.clone()).data(tenant);
            async move { Ok::<_, String>(Some(issuer)) }
        });
        resolved.build()
    };
    let tokens =
        ["https://a.example", "https://b.example"].map(|name| fixture.server.mint().issuer(name).build());
    for (most, resolutions) in [(1, 6), (2, 2)] {
        let guard = build(most).unwrap();
        asked.store(0, Ordering::SeqCst);
        for token in tokens.iter().cycle().take(6) {
            assert_eq!(database(&guard, token).await.as_deref(), Some("db"));
        }
        assert_eq!(asked.load(Ordering::SeqCst), resolutions, "with {most} kept");
    }
    for most in [0, 100_001] {
        assert_eq!(build(most).unwrap_err().problems()[0].field, "max_tenants");
    }
}
