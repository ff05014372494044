//! Whose tokens a store keeps.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use oauth_client::store::{FileStore, MemoryStore};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSet, TokenSource, grant};
use oauth_mock::{Endpoint, Fault};
use tracing::subscriber::DefaultGuard;

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
            assert_eq!(whose(&fixture, started).await, *user);
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
            let file = FileStore::new("tokens.json");
            source().store(file.clone()).build().unwrap();
            source().store(Arc::new(file)).build().unwrap();
        }
        let named = request.subject("alice");
        fixture.client.source(named).store(MemoryStore::new()).build().unwrap();
    }
    // What needs no user has none.
    fixture.client.source(grant::client_credentials()).store(MemoryStore::new()).build().unwrap();
    fixture.client.source(grant::password("alice", "wonderland")).store(MemoryStore::new()).build().unwrap();
}

const ANOTHER_LOGIN: &str = "has another login";

/// Collects the log, and asks a source for its state while it is warned of another login, as anyone's layer may.
#[derive(Clone, Default)]
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<Option<TokenSource>>>,
    /// Whether the source gave its state each time.
    gave: Arc<Mutex<Vec<bool>>>,
}

impl Log {
    fn listen(&self) -> DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn warnings(&self) -> usize {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap().matches(ANOTHER_LOGIN).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.lock().unwrap().extend_from_slice(bytes);
        let asked = self.asked.lock().unwrap().clone();
        if let Some(source) = asked.filter(|_| String::from_utf8_lossy(bytes).contains(ANOTHER_LOGIN)) {
            let (sender, given) = mpsc::channel();
            std::thread::spawn(move || sender.send(source.status().generation));
            self.gave.lock().unwrap().push(given.recv_timeout(Duration::from_secs(5)).is_ok());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder for one test's file, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("oauth-client-users-{test}-{}", std::process::id())))
    }

    fn source(&self, fixture: &Fixture, login: TokenSet) -> TokenSource {
        let store = FileStore::new(self.0.join("tokens.json"));
        fixture.client.source(grant::login()).store(store).starting_with(login).build().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// It may be the same user's new login, which is to be used, or another user's. Nothing tells but the log.
#[tokio::test(start_paused = true)]
async fn a_source_that_goes_on_with_another_login_of_a_file_says_so() {
    for by_a_derived_one in [false, true] {
        let (fixture, folder) = (fixture(), Folder::new("another"));
        let log = Log::default();
        let listening = log.listen();
        let first = folder.source(&fixture, log_in(&fixture, "alice").await);
        let derived = first.for_scope(["read"]).unwrap();
        for _ in 0..2 {
            first.token().await.unwrap();
            advance(LIFETIME + 1).await;
        }
        let second = folder.source(&fixture, log_in(&fixture, "bob").await);
        second.token().await.unwrap();
        assert_eq!(log.warnings(), 0, "refreshes, and the one who logs in, know whose it is");
        *log.asked.lock().unwrap() = Some(first.clone());
        if by_a_derived_one { &derived } else { &first }.token().await.unwrap();
        assert_eq!(log.warnings(), 1, "derived: {by_a_derived_one}");
        assert_eq!(*log.gave.lock().unwrap(), [true], "derived: {by_a_derived_one}");
        drop(listening);
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_of_its_own_is_no_other_login_also_where_its_first_refresh_fails() {
    let (fixture, folder) = (fixture(), Folder::new("own"));
    let source = folder.source(&fixture, log_in(&fixture, "alice").await);
    source.token().await.unwrap();
    let log = Log::default();
    let listening = log.listen();
    let expired = log_in(&fixture, "bob").await;
    advance(LIFETIME + 1).await;
    fixture.server.fault(Endpoint::Token, Fault::status(429).retry_after_secs(120)).times(1);
    source.log_in(expired).await.unwrap_err();
    advance(150).await;
    assert_eq!(whose(&fixture, &source).await, "bob");
    assert_eq!(log.warnings(), 0);
    drop(listening);
}
