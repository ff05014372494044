use oauth_client::clock::TestClock;

use super::*;
use crate::keys::KeyPolicy;

pub(super) fn tenants(resolver: Resolver) -> Arc<Tenants> {
    let assembler = Assembler {
        http: None,
        http_changed: false,
        clock: Arc::new(TestClock::new()),
        keys: KeyPolicy::default(),
        allow_private_jwks: false,
        names: Vec::new(),
        tenant_token_bytes: defaults::MAX_TOKEN_BYTES,
        max_tenants: defaults::TENANTS,
        revocations: Arc::new(crate::revocation::List::new().unwrap()),
        generation: 0,
    };
    Tenants::new(Arc::new(resolver), assembler, None)
}

fn empty() -> Resolver {
    Resolver::new(|_| async { Ok::<_, String>(None) })
}

#[tokio::test(start_paused = true)]
async fn invented_names_take_bounded_memory() {
    let tenants = tenants(empty());
    for n in 0..20_000 {
        tenants.remember_failure(&format!("{n:01024}"), Duration::ZERO);
    }
    tenants.unknown.run_pending_tasks();
    let (entries, bytes) = (tenants.unknown.entry_count(), tenants.unknown.weighted_size());
    assert!(bytes <= defaults::UNKNOWN_ISSUER_BYTES && entries * 1024 <= bytes, "{entries} in {bytes} bytes");
    assert!(tenants.unknown.policy().time_to_live().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_finished_resolution_leaves_no_entry_behind() {
    let tenants = tenants(Resolver::new(|name| async move {
        assert!(name != "panic", "on purpose");
        if name == "wait" {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(None)
    }));
    for name in ["panic", "none", "wait"] {
        let _ = tenants.resolve(name).unwrap().landed().await;
        assert!(tenants.members().flights.by_name.is_empty(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn resolutions_under_way_are_bounded() {
    let tenants = tenants(empty());
    let flights: Vec<_> =
        (0..defaults::PENDING_RESOLUTIONS).map(|n| tenants.resolve(&n.to_string()).unwrap()).collect();
    assert!(tenants.resolve("one more").is_none());
    assert!(tenants.resolve("7").is_some(), "the same name joins the resolution under way");
    for flight in flights {
        flight.landed().await.unwrap();
    }
    assert!(tenants.resolve("one more").is_some());
}

#[test]
fn outside_of_a_runtime_the_resolver_is_not_called() {
    assert!(tenants(empty()).resolve("anyone").is_none());
}
