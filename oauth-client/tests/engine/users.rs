//! Whose tokens a store keeps.

use std::io;
use std::sync::{Arc, Mutex};

use oauth_client::store::{FileStore, MemoryStore};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSet, TokenSource, grant};

use crate::support::{Fixture, LIFETIME, advance, fixture};

async fn log_in(fixture: &Fixture, user: &str) -> TokenSet {
    let refresh_token = fixture.server.issue("svc", user, "read").unwrap().refresh_token.unwrap();
    fixture.client.request(&grant::refresh_token(refresh_token)).await.unwrap()
}

/// The user that a source speaks for, as the server says.
async fn whose(fixture: &Fixture, source: &TokenSource) -> String {
    let token = source.token().await.unwrap();
    let http = HttpClient::from_service(fixture.server.transport());
    let client = Client::builder().issuer(fixture.server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t"));
    let client = client.http(http).clock(fixture.clock.clone()).build().unwrap();
    client.introspect(token.secret(), None).await.unwrap().unwrap().subject.unwrap()
}

/// Nothing but its name tells one user's login from another's: there is no ID token.
#[tokio::test(start_paused = true)]
async fn two_users_with_a_name_each_never_get_each_others_token() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let source = |request: &grant::TokenRequest| fixture.client.source(request.clone()).store(store.clone());
    let mut running = Vec::new();
    for user in ["alice", "bob"] {
        let request = grant::login().subject(user);
        let started = source(&request).starting_with(log_in(&fixture, user).await).build().unwrap();
        running.push((user, request, started));
    }
    for _ in 0..3 {
        for (user, request, started) in &running {
            assert_eq!(whose(&fixture, &started).await, *user);
            // The next start of the program.
            assert_eq!(whose(&fixture, &source(request).build().unwrap()).await, *user);
        }
        advance(LIFETIME + 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_keeps_no_login_of_a_user_without_a_name_unless_it_is_for_one_user() {
    let fixture = fixture();
    let login = log_in(&fixture, "alice").await;
    for request in [grant::login(), grant::refresh_token("r0")] {
        for starts_with_a_login in [false, true] {
            let source = || {
                let source = fixture.client.source(request.clone());
                if starts_with_a_login { source.starting_with(login.clone()) } else { source }
            };
            source().build().unwrap();
            let error = source().store(MemoryStore::new()).build().unwrap_err();
            assert_eq!((error.code(), &*error.problems()[0].field), ("config", "subject"), "{request:?}");
            assert!(error.to_string().contains("TokenRequest::subject"), "{error}");
            source().store(FileStore::new("tokens.json")).build().unwrap();
        }
        let named = request.subject("alice");
        fixture.client.source(named).store(MemoryStore::new()).build().unwrap();
    }
    // What needs no user has none.
    fixture.client.source(grant::client_credentials()).store(MemoryStore::new()).build().unwrap();
    fixture.client.source(grant::password("alice", "wonderland")).store(MemoryStore::new()).build().unwrap();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// It may be the same user's new login, which is to be used, or another user's. Nothing tells but the log.
#[tokio::test(start_paused = true)]
async fn a_source_that_goes_on_with_another_login_of_a_file_says_so() {
    let fixture = fixture();
    let folder = std::env::temp_dir().join(format!("oauth-client-users-{}", std::process::id()));
    let source = |login| {
        let store = FileStore::new(folder.join("tokens.json"));
        fixture.client.source(grant::login()).store(store).starting_with(login).build().unwrap()
    };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let listening = tracing::subscriber::set_default(subscriber);
    let said =
        || String::from_utf8(log.0.lock().unwrap().clone()).unwrap().matches("has another login").count();
    let first = source(log_in(&fixture, "alice").await);
    for _ in 0..2 {
        first.token().await.unwrap();
        advance(LIFETIME + 1).await;
    }
    let second = source(log_in(&fixture, "bob").await);
    second.token().await.unwrap();
    assert_eq!(said(), 0, "refreshes, and the one who logs in, know whose it is");
    first.token().await.unwrap();
    assert_eq!(said(), 1);
    drop(listening);
    std::fs::remove_dir_all(folder).unwrap();
}
