//! Processes that run at the same time on one store.

use http::StatusCode;
use oauth_client::store::MemoryStore;

use crate::support::{World, server};

/// Each process has a key of its own where none was given, and its login is bound to that key.
#[tokio::test(start_paused = true)]
async fn processes_with_keys_of_their_own_keep_their_logins_beside_each_other() {
    let (world, store) = (World::new(server()), MemoryStore::new());
    world.says().scheme = "DPoP";
    let first = world.authorizer().store(store.clone()).build().unwrap();
    assert_eq!(world.call(&first).await.unwrap(), StatusCode::OK);
    let kept = first.registrations();
    let second = world.authorizer().store(store.clone()).registrations(kept).build().unwrap();
    assert_eq!(world.call(&second).await.unwrap(), StatusCode::OK);
    assert_eq!(world.logins(), 2, "the second one has another key");
    for expiry in 1..=3 {
        tokio::time::advance(std::time::Duration::from_secs(7200)).await;
        for process in [&first, &second, &first] {
            assert_eq!(world.call(process).await.unwrap(), StatusCode::OK);
        }
        assert_eq!(world.logins(), 2, "after expiry {expiry}, each goes on with its own login");
    }
}
