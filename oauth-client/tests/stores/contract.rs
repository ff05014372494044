//! What every store has to do: the one in memory, the one in a file, and the user's own of the example.

use std::time::Duration;

use oauth_client::store::{FileStore, MemoryStore, Revision, StoreKey, Swap, TokenStore};
use oauth_client::{Client, ClientAuth, TokenSet, grant};
use serde_json::json;

use crate::custom_store::Table;
use crate::directory::Directory;

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    keeps_the_contract(MemoryStore::new()).await;
    lends_to_one_at_a_time(MemoryStore::new()).await;
    lets_one_of_many_writers_win(MemoryStore::new()).await;
}

#[tokio::test]
async fn the_store_in_a_file_keeps_the_contract() {
    let [first, second, third] = [(); 3].map(|()| Directory::new());
    keeps_the_contract(FileStore::new(first.file())).await;
    lends_to_one_at_a_time(FileStore::new(second.file())).await;
    lets_one_of_many_writers_win(FileStore::new(third.file())).await;
}

#[tokio::test]
async fn the_users_own_store_keeps_the_contract() {
    keeps_the_contract(Table::default()).await;
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
