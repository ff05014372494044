//! Processes that run at the same time on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use oauth_client::TokenSet;
use oauth_client::mcp::Authorizer;
use oauth_client::store::{
    FileStore, Lease, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore,
};
use oauth_mock::{Endpoint, Fault};

use crate::support::{World, server};

/// Two of one store that have logged in, each with a key of its own.
async fn two_processes<S: TokenStore + Clone>(world: &World, store: &S) -> [Authorizer; 2] {
    world.says().scheme = "DPoP";
    let first = world.authorizer().store(store.clone()).build().unwrap();
    assert_eq!(world.call(&first).await.unwrap(), StatusCode::OK);
    let kept = first.registrations();
    let second = world.authorizer().store(store.clone()).registrations(kept).build().unwrap();
    assert_eq!(world.call(&second).await.unwrap(), StatusCode::OK);
    [first, second]
}

/// Each process has a key of its own where none was given, and its login is bound to that key.
#[tokio::test(start_paused = true)]
async fn processes_with_keys_of_their_own_keep_their_logins_beside_each_other() {
    let (world, store) = (World::new(server()), MemoryStore::new());
    let [first, second] = two_processes(&world, &store).await;
    assert_eq!(world.logins(), 2, "the second one has another key");
    for expiry in 1..=3 {
        tokio::time::advance(Duration::from_secs(7200)).await;
        for process in [&first, &second, &first] {
            assert_eq!(world.call(process).await.unwrap(), StatusCode::OK);
        }
        assert_eq!(world.logins(), 2, "after expiry {expiry}, each goes on with its own login");
    }
}

/// A store that counts the entries that were removed.
#[derive(Clone, Debug, Default)]
struct Counting {
    inner: MemoryStore,
    removed: Arc<AtomicUsize>,
}

impl TokenStore for Counting {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.inner.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let swap = self.inner.compare_and_swap(key, expected, tokens).await?;
        if tokens.is_none() && matches!(swap, Swap::Done(_)) {
            self.removed.fetch_add(1, Ordering::SeqCst);
        }
        Ok(swap)
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        self.inner.lease(key, longest).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_lost_takes_no_login_of_another_process_with_it() {
    let (world, store) = (World::new(server()), Counting::default());
    let [first, second] = two_processes(&world, &store).await;
    tokio::time::advance(Duration::from_secs(7200)).await;
    let lost = Fault::body(400, "application/json", r#"{"error":"invalid_grant"}"#);
    world.server().fault(Endpoint::Token, lost).times(1);
    let source = first.source().unwrap();
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(store.removed.load(Ordering::SeqCst), 0, "the entry is of the second one");
    assert_eq!(world.call(&second).await.unwrap(), StatusCode::OK);
    assert_eq!(world.logins(), 2);
}

#[tokio::test]
async fn a_login_in_a_store_of_several_users_needs_the_name_of_its_own() {
    let world = World::new(server());
    let nameless = || world.plain().browser(|_| async { Err::<String, _>("no page is opened here") });
    nameless().build().unwrap();
    let error = nameless().store(MemoryStore::new()).build().unwrap_err();
    assert_eq!((error.code(), &*error.problems()[0].field), ("config", "subject"), "{error}");
    nameless().store(MemoryStore::new()).subject("alice").build().unwrap();
    nameless().store(FileStore::new("tokens.json")).build().unwrap();
}
