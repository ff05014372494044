//! Writes that come late: the newer set wins, by the numbers of the leases and the server's dates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oauth_client::TokenSet;
use oauth_client::store::{Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_mock::Endpoint;
use tokio::sync::Semaphore;

use crate::support::{Events, LIFETIME, Scripted, advance, fixture};

/// A store whose leases are numbered, and whose next write waits until it may go on.
#[derive(Clone, Debug)]
struct Numbered {
    inner: Scripted,
    last: Arc<AtomicU64>,
    /// How many writes may pass.
    gate: Arc<Semaphore>,
    /// How many leases came back.
    back: Arc<AtomicU64>,
}

impl Numbered {
    fn new(inner: &Scripted) -> Self {
        let (last, back) = (Arc::default(), Arc::default());
        Self { inner: inner.clone(), last, gate: Arc::new(Semaphore::new(1000)), back }
    }
}

impl TokenStore for Numbered {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.inner.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.gate.acquire().await.unwrap().forget();
        self.inner.compare_and_swap(key, expected, tokens).await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let Some(lease) = self.inner.lease(key, longest).await? else { return Ok(None) };
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Some(Lease::renewable(Renewing(lease, Arc::clone(&self.back))).fenced(number)))
    }
}

struct Renewing(Lease, Arc<AtomicU64>);

impl LeaseGuard for Renewing {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        self.0.renew(longest).await
    }

    async fn give_back(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_carries_the_number_of_its_lease_and_the_lease_is_given_back() {
    let fixture = fixture();
    let store = Numbered::new(&Scripted::default());
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    for number in 1..=3 {
        let token = source.token().await.unwrap();
        assert_eq!(token.tokens().fence(), Some(number));
        assert_eq!(store.inner.last_written().unwrap().fence(), Some(number));
        // Nobody waits for the lease on its way back but a program that ends.
        assert_eq!(store.back.load(Ordering::Relaxed), number - 1);
        source.settle().await.unwrap();
        assert_eq!(store.back.load(Ordering::Relaxed), number);
        advance(LIFETIME + 1).await;
    }
}

/// Paused between the server's response and the write, for longer than its lease.
#[tokio::test(start_paused = true)]
async fn the_late_write_of_an_earlier_holder_loses_and_it_goes_on_with_the_newer_set() {
    let fixture = fixture();
    let inner = Scripted::default();
    let (paused, other) = (Numbered::new(&inner), Numbered::new(&inner));
    let events = Events::default();
    let slow = fixture.source_builder().store(paused.clone()).on_event(events.hook()).build().unwrap();
    let quick =
        fixture.source_builder().store(Numbered { last: Arc::clone(&paused.last), ..other }).build().unwrap();
    paused.gate.forget_permits(1000);
    let late = tokio::spawn(async move { slow.token().await.unwrap() });
    advance(1).await;
    let key = fixture.source_builder().store_key();
    let newer = {
        // Another process has a later lease, since the first one was not renewed, and has written.
        let granted = Numbered { inner: Scripted::default(), ..Numbered::new(&inner) };
        granted.last.store(10, Ordering::Relaxed);
        let elsewhere = fixture.source_builder().store(granted.clone()).build().unwrap();
        let token = elsewhere.token().await.unwrap();
        inner.inner.compare_and_swap(&key, None, Some(token.tokens())).await.unwrap();
        token
    };
    assert_eq!(newer.tokens().fence(), Some(11));
    paused.gate.add_permits(1000);
    let got = late.await.unwrap();
    assert_eq!(got.secret(), newer.secret(), "it goes on with the newer one");
    assert_eq!(inner.inner.load(&key).await.unwrap().unwrap().tokens, *newer.tokens());
    assert!(events.take().contains(&"adopted 1".to_owned()));
    assert_eq!(fixture.count(Endpoint::Token), 2);
    // The other sources go on with it too.
    assert_eq!(quick.token().await.unwrap().secret(), newer.secret());
}

/// The other way around: what an earlier holder wrote late stands where ours, the later one, belongs.
#[tokio::test(start_paused = true)]
async fn a_later_holder_writes_over_what_an_earlier_one_wrote_meanwhile() {
    let fixture = fixture();
    let store = Numbered::new(&Scripted::default());
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let first = source.token().await.unwrap();
    let key = store.inner.last_key().unwrap();
    advance(LIFETIME + 1).await;
    // Of the first lease, although another refresh token.
    let mut late = serde_json::to_value(first.tokens()).unwrap();
    late["refresh_token"] = "written late".into();
    store.inner.script().written_before = Some(serde_json::from_value(late).unwrap());
    let second = source.token().await.unwrap();
    assert_eq!(second.tokens().fence(), Some(2));
    assert_eq!(store.inner.inner.load(&key).await.unwrap().unwrap().tokens, *second.tokens());
}
