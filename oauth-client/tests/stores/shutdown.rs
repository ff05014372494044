//! A runtime that is shut down in the middle of a refresh: the file holds the old set or the new one, never neither.

use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::store::{FileStore, Stored, TokenStore as _};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, grant};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer};
use tokio::runtime::{Builder, Runtime};

use crate::directory::Directory;

/// Half a millisecond each; the last one lets the refresh end.
const STEPS: u64 = 40;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_shutdown_at_any_moment_of_a_refresh_leaves_the_old_or_the_new_set() {
    let (mut old, mut new) = (0, 0);
    for step in 0..=STEPS {
        let directory = Directory::new();
        let server = MockServer::builder().client(MockClient::default().opaque_tokens()).in_process();
        let login = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
        let store = FileStore::new(directory.file());
        let first = runtime();
        let (key, before, caller) = first.block_on(async {
            let clock = TestClock::new();
            let client = Client::builder()
                .token_endpoint(server.endpoint(Endpoint::Token))
                .auth(ClientAuth::basic("svc", "s3cr3t"))
                .http(HttpClient::from_service(server.transport()))
                .clock(clock.clone())
                .build()
                .unwrap();
            let builder = client.source(grant::refresh_token(login)).store(store.clone());
            let key = builder.store_key();
            let source = builder.build().unwrap();
            source.token().await.unwrap();
            let before = store.load(&key).await.unwrap().unwrap();
            clock.suspend(Duration::from_secs(301));
            server.fault(Endpoint::Token, Fault::delay(Duration::from_millis(3))).times(1);
            let mut caller = tokio::spawn(async move { source.token().await });
            if step == STEPS {
                (&mut caller).await.unwrap().unwrap();
            } else {
                tokio::time::sleep(Duration::from_micros(step * 500)).await;
            }
            (key, before, caller)
        });
        // Once with waiting for what has begun, once without.
        if step % 2 == 0 {
            drop(first);
        } else {
            first.shutdown_background();
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(caller);
        let after: Option<Stored> = runtime().block_on(store.load(&key)).unwrap();
        let after = after.expect("never neither");
        assert!(after.tokens.refresh_token().is_some());
        if after.tokens == before.tokens {
            old += 1;
        } else {
            new += 1;
        }
        assert!(!directory.path().join("tokens.json.tmp").exists() || after.tokens == before.tokens);
    }
    assert!(old > 0 && new > 0, "both ends were reached: {old} old, {new} new");
}
