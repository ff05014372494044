//! Concurrency models of tenants: requests resolve a name while an operator has it forgotten, in every order that random
//! schedules find.

use std::sync::atomic::AtomicU64;

use shuttle::future::block_on;
use shuttle::thread;

use super::tests::tenants;
use super::*;
use crate::sync::modelled::model;

const NAME: &str = "https://auth.example.com/a";

/// Resolves every name, and takes its time; each issuer says in its data which call it came from.
fn counted() -> (Arc<Tenants>, Arc<AtomicU64>) {
    let calls = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&calls);
    let resolver = Resolver::new(move |name: String| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            shuttle::future::yield_now().await;
            let secret = [7; 32];
            let issuer = Issuer::new(name).audience("orders-api").data(number);
            Ok::<_, String>(Some(issuer.hmac_secret(crate::Algorithm::Hs256, secret)))
        }
    });
    (tenants(resolver), calls)
}

fn resolve(tenants: &Arc<Tenants>) -> thread::JoinHandle<()> {
    let tenants = Arc::clone(tenants);
    thread::spawn(move || {
        let now = tenants.assembler.clock.now();
        if let TenantLookup::NotAsked = tenants.get(NAME, now) {
            block_on(tenants.resolve(NAME).unwrap().landed()).unwrap();
        }
    })
}

/// Fails when `Tenants::resolve` does not look for a flight, or for the tenant itself, under the lock.
#[test]
fn requests_for_an_unknown_tenant_share_one_call_of_the_resolver() {
    model(|| {
        let (tenants, calls) = counted();
        let resolving: Vec<_> = (0..3).map(|_| resolve(&tenants)).collect();
        resolving.into_iter().for_each(|one| one.join().unwrap());
        assert!(tenants.member(NAME).is_some());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    });
}

/// Fails when `Tenants::land` does not ask whether its resolution is still under way, and when `Members::forget` leaves the
/// flight.
#[test]
fn what_was_resolved_before_a_tenant_was_forgotten_is_not_used_after_it() {
    model(|| {
        let (tenants, calls) = counted();
        let resolving = [resolve(&tenants), resolve(&tenants)];
        tenants.forget(NAME);
        let before = calls.load(Ordering::SeqCst);
        // What is there by now was asked for later.
        let is_new = |issuer: &Arc<IssuerState>| {
            let number = issuer.rules.data.as_ref().and_then(|data| data.get::<u64>()).copied();
            number.is_some_and(|number| number > before)
        };
        assert!(tenants.member(NAME).is_none_or(|issuer| is_new(&issuer)));
        resolving.into_iter().for_each(|one| one.join().unwrap());
        assert!(tenants.member(NAME).is_none_or(|issuer| is_new(&issuer)));
    });
}
