use oauth_client::clock::TestClock;

use super::*;
use crate::keys::KeyPolicy;

fn tenants(resolver: Resolver) -> Arc<Tenants> {
    let assembler = Assembler {
        http: None,
        other_http: false,
        clock: Arc::new(TestClock::new()),
        keys: KeyPolicy::default(),
        tenant_token_bytes: defaults::MAX_TOKEN_BYTES,
        generation: 0,
    };
    Tenants::new(Arc::new(resolver), assembler, None)
}

fn nobody() -> Resolver {
    Resolver::new(|_| async { Ok::<_, String>(None) })
}

#[tokio::test(start_paused = true)]
async fn invented_names_take_no_more_memory_than_they_may() {
    let tenants = tenants(nobody());
    for n in 0..20_000 {
        tenants.no_answer(&format!("{n:01024}"), Duration::ZERO);
    }
    tenants.unknown.run_pending_tasks();
    let (entries, bytes) = (tenants.unknown.entry_count(), tenants.unknown.weighted_size());
    assert!(bytes <= defaults::UNKNOWN_ISSUER_BYTES && entries * 1024 <= bytes, "{entries} in {bytes} bytes");
    assert!(tenants.unknown.policy().time_to_live().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_over_leaves_nothing_behind() {
    let tenants = tenants(Resolver::new(|name| async move {
        assert!(name != "panic", "on purpose");
        if name == "wait" {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(None)
    }));
    for name in ["panic", "none", "wait"] {
        let _ = tenants.resolve(name).unwrap().landed().await;
        assert!(tenants.flights().by_name.is_empty(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_asked_at_a_time_than_may_be() {
    let tenants = tenants(nobody());
    let flights: Vec<_> = (0..defaults::LOOK_UPS).map(|n| tenants.resolve(&n.to_string()).unwrap()).collect();
    assert!(tenants.resolve("one more").is_none());
    assert!(tenants.resolve("7").is_some(), "who asks about the same is welcome");
    for flight in flights {
        flight.landed().await.unwrap();
    }
    assert!(tenants.resolve("one more").is_some());
}

#[test]
fn outside_of_a_runtime_nobody_is_asked() {
    assert!(tenants(nobody()).resolve("anyone").is_none());
}
