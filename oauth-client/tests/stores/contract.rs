//! What every store has to do: the one in memory, the one in a file, and the user's own of the example.

use std::sync::Arc;
use std::time::Duration;

use oauth_client::store::conformance;
use oauth_client::store::{
    FileStore, Lease, LeaseGuard, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore,
};
use oauth_client::{Client, ClientAuth, TokenSet, grant};
use serde_json::json;

use crate::custom_store::Table;
use crate::directory::Directory;

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    let store = MemoryStore::new();
    conformance::check(async || store.clone()).await.unwrap();
    // An `Arc` of a store is a store, which lends like the one inside.
    let shared = Arc::new(store);
    let report = conformance::check(async || Arc::clone(&shared)).await.unwrap();
    assert!(report.passed().len() >= 18, "{report:?}");
    keeps_the_contract(MemoryStore::new()).await;
    lends_to_one_at_a_time(MemoryStore::new()).await;
    lets_one_of_many_writers_win(MemoryStore::new()).await;
}

#[tokio::test]
async fn the_store_in_a_file_keeps_the_contract() {
    let shared = Directory::new();
    conformance::check(async || FileStore::new(shared.file())).await.unwrap();
    let [first, second, third] = [(); 3].map(|()| Directory::new());
    keeps_the_contract(FileStore::new(first.file())).await;
    lends_to_one_at_a_time(FileStore::new(second.file())).await;
    lets_one_of_many_writers_win(FileStore::new(third.file())).await;
}

#[tokio::test]
async fn the_users_own_store_keeps_the_contract() {
    let table = Table::default();
    let report = conformance::check(async || table.clone()).await.unwrap();
    assert!(report.skipped().is_empty(), "its leases are numbered: {report:?}");
    keeps_the_contract(Table::default()).await;
    lends_to_one_at_a_time(Table::default()).await;
    lets_one_of_many_writers_win(Table::default()).await;
}

async fn keeps_the_contract(store: impl TokenStore) {
    let [alice, bob] = ["alice", "bob"].map(key);
    let missing = store.load(&alice).await.unwrap();
    assert!(missing.is_none(), "nothing there is no error");

    let one = done(store.compare_and_swap(&alice, None, Some(&tokens("one"))).await.unwrap());
    let stored = store.load(&alice).await.unwrap().unwrap();
    assert_eq!((stored.tokens, stored.revision), (tokens("one"), one));
    assert!(store.load(&bob).await.unwrap().is_none(), "entries are apart");

    for stale in [None, Some(Revision(one.0 + 1000))] {
        let swap = store.compare_and_swap(&alice, stale, Some(&tokens("lost"))).await.unwrap();
        assert_eq!(swap, Swap::Conflict);
        assert_eq!(store.compare_and_swap(&alice, stale, None).await.unwrap(), Swap::Conflict);
    }
    let swap = store.compare_and_swap(&bob, Some(one), Some(&tokens("lost"))).await.unwrap();
    assert_eq!(swap, Swap::Conflict, "what is not there has no revision");
    assert_eq!(
        store.load(&alice).await.unwrap().unwrap().tokens,
        tokens("one"),
        "a conflict changes nothing"
    );

    let two = done(store.compare_and_swap(&alice, Some(one), Some(&tokens("two"))).await.unwrap());
    assert_ne!(one, two);
    done(store.compare_and_swap(&bob, None, Some(&tokens("bob's"))).await.unwrap());
    assert_eq!(store.load(&alice).await.unwrap().unwrap().tokens, tokens("two"));

    done(store.compare_and_swap(&alice, Some(two), None).await.unwrap());
    assert!(store.load(&alice).await.unwrap().is_none());
    assert_eq!(store.load(&bob).await.unwrap().unwrap().tokens, tokens("bob's"));
    let three = done(store.compare_and_swap(&alice, None, Some(&tokens("three"))).await.unwrap());
    // Made anew, it is another entry: those who knew the old one neither replace nor remove it.
    for stale in [one, two] {
        assert_ne!(three, stale);
        let swap = store.compare_and_swap(&alice, Some(stale), Some(&tokens("lost"))).await.unwrap();
        assert_eq!(swap, Swap::Conflict);
        assert_eq!(store.compare_and_swap(&alice, Some(stale), None).await.unwrap(), Swap::Conflict);
    }
    assert_eq!(store.load(&alice).await.unwrap().unwrap().tokens, tokens("three"));
    drop(store.lease(&alice, Duration::from_secs(1)).await.unwrap().unwrap());
}

async fn lends_to_one_at_a_time(store: impl TokenStore + Clone) {
    let long = Duration::from_secs(3600);
    let [alice, bob] = ["alice", "bob"].map(key);
    let lease = store.lease(&alice, long).await.unwrap().unwrap();
    assert!(store.clone().lease(&alice, long).await.unwrap().is_none());
    assert!(store.lease(&bob, long).await.unwrap().is_some(), "entries are apart");
    assert!(lease.renew(long).await.unwrap());
    assert!(store.clone().lease(&alice, long).await.unwrap().is_none());
    // Renewed to end at once, it goes to the next one, and stays there.
    assert!(lease.renew(Duration::ZERO).await.unwrap());
    let next = store.clone().lease(&alice, long).await.unwrap().unwrap();
    assert!(!lease.renew(long).await.unwrap());
    drop(lease);
    assert!(store.clone().lease(&alice, long).await.unwrap().is_none());
    assert!(next.renew(long).await.unwrap());
    drop(next);
    assert!(store.clone().lease(&alice, long).await.unwrap().is_some(), "back at once");
}

async fn lets_one_of_many_writers_win(store: impl TokenStore + Clone) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..20 {
        let store = store.clone();
        tasks.spawn(async move {
            let tokens = tokens(&format!("writer {writer}"));
            let won =
                store.compare_and_swap(&key("alice"), None, Some(&tokens)).await.unwrap() != Swap::Conflict;
            won.then_some(tokens)
        });
    }
    let winners: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.load(&key("alice")).await.unwrap().unwrap().tokens, winners[0]);
}

pub(crate) fn key(subject: &str) -> StoreKey {
    let client =
        Client::builder().issuer("https://auth.example.com").auth(ClientAuth::none("app")).build().unwrap();
    client.source(grant::refresh_token("r").subject(subject)).store_key()
}

pub(crate) fn tokens(name: &str) -> TokenSet {
    let set = json!({
        "access_token": format!("access of {name}"),
        "refresh_token": format!("refresh of {name}"),
        "scope": ["read"],
        "issued_at_ms": 1_893_456_000_000_u64,
        "lifetime_ms": 300_000,
        "extra": {"tenant": "ü \" \\ \u{0}"},
    });
    serde_json::from_value(set).unwrap()
}

fn done(swap: Swap) -> Revision {
    match swap {
        Swap::Done(revision) => revision,
        Swap::Conflict => unreachable!("there is no other writer"),
    }
}

/// The suite finds what is wrong: each of these stores breaks one rule.
#[tokio::test]
async fn a_store_that_breaks_a_rule_fails_the_suite() {
    for (flaw, rule) in [
        (Flaw::WritesBlindly, "an entry is replaced only by who knows its revision"),
        (Flaw::ForgetsTheFence, "a set of an earlier lease never takes the place of one of a later lease"),
        (Flaw::RenewsForEver, "a lease that has passed to another holder cannot be renewed"),
        (Flaw::RepeatsNumbers, "each lease has a greater number than all before it"),
    ] {
        let table = Table::default();
        let violation = conformance::check(async || Flawed(table.clone(), flaw)).await.unwrap_err();
        assert_eq!(violation.rule(), rule, "{violation}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    WritesBlindly,
    ForgetsTheFence,
    RenewsForEver,
    RepeatsNumbers,
}

#[derive(Debug)]
struct Flawed(Table, Flaw);

impl TokenStore for Flawed {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.0.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let revision = self.0.load(key).await?.map(|stored| stored.revision);
        match self.1 {
            Flaw::WritesBlindly => self.0.compare_and_swap(key, revision, tokens).await,
            // As a store does that knows nothing of numbers.
            Flaw::ForgetsTheFence if revision == expected && tokens.is_some() => {
                if let Some(revision) = revision {
                    self.0.compare_and_swap(key, Some(revision), None).await?;
                }
                self.0.compare_and_swap(key, None, tokens).await
            }
            _ => self.0.compare_and_swap(key, expected, tokens).await,
        }
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let Some(lease) = self.0.lease(key, longest).await? else { return Ok(None) };
        let number = lease.fence().unwrap();
        Ok(Some(match self.1 {
            Flaw::RenewsForEver => Lease::renewable(Short(lease)).fenced(number),
            Flaw::RepeatsNumbers => Lease::renewable(Plain(lease)).fenced(1),
            _ => lease,
        }))
    }
}

/// It says that it is renewed when it is not.
struct Short(Lease);

impl LeaseGuard for Short {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        self.0.renew(longest).await?;
        Ok(true)
    }
}

struct Plain(Lease);

impl LeaseGuard for Plain {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        self.0.renew(longest).await
    }
}
