//! The route for logout tokens, against the mock's table of good and bad ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use oauth_client::clock::TestClock;
use oauth_client::login::{AuthorizationRequest, BackchannelLogout, Login};
use oauth_client::source::{Event, TokenSource};
use oauth_client::store::{Lease, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSet, grant};
use oauth_mock::statements::{
    self, Answer, AttackedEndpoint, EndpointCase, EndpointReport, Parcel, StatementContext,
};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, User};
use tower::ServiceExt;

const CALLBACK: &str = "https://app.test/callback";

fn server() -> MockServer {
    let client = MockClient::new("web")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read"])
        .redirect_uri(CALLBACK);
    MockServer::builder()
        .client(client)
        .user(User::new("alice", "wonderland"))
        .user(User::new("bob", "b"))
        .in_process()
}

fn client(server: &MockServer) -> Client {
    Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("web", "s3cr3t"))
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .build()
        .unwrap()
}

async fn log_in(server: &MockServer, client: &Client, user: &str) -> Login {
    let request = AuthorizationRequest::new(CALLBACK).scope(["openid", "read"]);
    let pending = client.authorize(&request).await.unwrap();
    let callback = server.log_in(pending.url().as_str(), user).unwrap();
    client.finish(pending, callback).await.unwrap()
}

fn source(client: &Client, login: &Login) -> TokenSource {
    let source = client.source(grant::login().scope(["openid", "read"]));
    source.starting_with(login.clone()).build().unwrap()
}

fn subject(login: &Login) -> &str {
    login.id_token().unwrap().subject()
}

fn session(login: &Login) -> String {
    login.id_token().unwrap().claims()["sid"].as_str().unwrap().to_owned()
}

async fn answer(response: Response<Full<Bytes>>) -> Answer {
    let headers = response.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer::new(status, headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn send(logout: &BackchannelLogout, parcel: &Parcel) -> Answer {
    let request = parcel.to_http("https://app.test/backchannel-logout").unwrap().map(Full::new);
    answer(logout.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn every_violation_is_refused_and_logs_nobody_out() {
    let server = server();
    let client = client(&server);
    let logout = BackchannelLogout::new(client.clone());
    let mut cases = Vec::new();
    for attack in statements::all().filter(|attack| attack.endpoint == AttackedEndpoint::BackchannelLogout) {
        let login = log_in(&server, &client, "alice").await;
        let source = source(&client, &login);
        let _registered = logout.register(&login, &source).unwrap();
        let parcel = attack.parcel(&StatementContext::new(&server, "web", subject(&login)));
        let answer = send(&logout, &parcel).await;
        cases.push(EndpointCase::judge(attack, answer, source.token().await.is_ok()));
        // An unknown key makes the client ask for newer ones, within its cool-down.
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    let report = EndpointReport::new(cases);
    println!("{report}");
    assert!(report.cases.len() > 50, "{}", report.cases.len());
    assert_eq!(report.mistakes(), 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_alone_and_a_user_as_a_whole() {
    let server = server();
    let client = client(&server);
    let told = Arc::new(Mutex::new(Vec::new()));
    let logout = BackchannelLogout::new(client.clone()).on_logout({
        let told = Arc::clone(&told);
        move |token| told.lock().unwrap().push((token.subject().is_some(), token.session().is_some()))
    });
    let logins = [
        log_in(&server, &client, "alice").await,
        log_in(&server, &client, "alice").await,
        log_in(&server, &client, "bob").await,
    ];
    let sources = logins.each_ref().map(|login| source(&client, login));
    let registered: Vec<_> =
        logins.iter().zip(&sources).map(|(login, source)| logout.register(login, source).unwrap()).collect();
    let good = async || {
        let mut good = [false; 3];
        for (good, source) in good.iter_mut().zip(&sources) {
            *good = source.token().await.is_ok();
        }
        good
    };
    let token = server.logout_token("web", subject(&logins[0])).claim("sid", session(&logins[0])).build();
    for _ in 0..2 {
        assert_eq!(send(&logout, &Parcel::logout(&token)).await.status, 200);
        assert_eq!(good().await, [false, true, true]);
    }
    assert_eq!(*told.lock().unwrap(), [(true, true)], "once");
    let error = sources[0].token().await.unwrap_err();
    assert!(error.is_reauthorization_required());
    let token = server.logout_token("web", subject(&logins[0])).build();
    assert_eq!(send(&logout, &Parcel::logout(&token)).await.status, 200);
    assert_eq!(good().await, [false, false, true]);
    // What is dropped is forgotten.
    drop(registered);
    assert!(format!("{logout:?}").contains("logins: 0"), "{logout:?}");
    let token = server.logout_token("web", subject(&logins[2])).build();
    assert_eq!(send(&logout, &Parcel::logout(&token)).await.status, 200);
    assert_eq!(good().await, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_logout_leaves_no_token_in_the_store_asks_nothing_of_the_server_and_is_an_event() {
    let server = server();
    let client = client(&server);
    let login = log_in(&server, &client, "alice").await;
    let (store, events) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
    let builder =
        client.source(grant::login().scope(["openid", "read"]).subject("alice")).starting_with(login.clone());
    let key = builder.store_key();
    let source = builder
        .store(store.clone())
        .on_event({
            let events = Arc::clone(&events);
            move |event| {
                events.fetch_add(usize::from(matches!(event, Event::LoggedOut)), Ordering::SeqCst);
            }
        })
        .build()
        .unwrap();
    source.token().await.unwrap();
    source.settle().await.unwrap();
    assert!(store.load(&key).await.unwrap().is_some());
    let logout = BackchannelLogout::new(client.clone());
    let _registered = logout.register(&login, &source).unwrap();
    let token = server.logout_token("web", subject(&login)).build();
    assert_eq!(send(&logout, &Parcel::logout(&token)).await.status, 200);
    let left = store.load(&key).await.unwrap().unwrap().tokens;
    let left = (left.is_ended(), left.refresh_token(), left.id_token(), left.access_token().expose());
    assert_eq!(left, (true, None, None, "none"));
    assert_eq!(events.load(Ordering::SeqCst), 1);
    assert_eq!(server.journal().count(Endpoint::Revoke), 0);
}

/// A store that is slow to give a lease, or never does.
#[derive(Clone, Debug)]
struct Slow(MemoryStore, Duration, bool);

impl TokenStore for Slow {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.0.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.0.compare_and_swap(key, expected, tokens).await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        tokio::time::sleep(self.1).await;
        if self.2 { self.0.lease(key, longest).await } else { Err(StoreError::new("it is away")) }
    }
}

fn over(client: &Client, login: &Login, store: Slow) -> TokenSource {
    let source = client.source(grant::login().scope(["openid", "read"]).subject("alice")).store(store);
    source.starting_with(login.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_keeps_no_other_login_alive() {
    let server = server();
    let client = client(&server);
    let logout = BackchannelLogout::new(client.clone());
    let login = log_in(&server, &client, "alice").await;
    let away = over(&client, &login, Slow(MemoryStore::new(), Duration::ZERO, false));
    let others: Vec<_> = (0..8).map(|_| source(&client, &login)).collect();
    let registered: Vec<_> =
        [&away].into_iter().chain(&others).map(|source| logout.register(&login, source).unwrap()).collect();
    let token = server.logout_token("web", subject(&login)).build();
    assert_eq!(send(&logout, &Parcel::logout(&token)).await.status, 503);
    for source in &others {
        assert!(source.token().await.is_err());
    }
    assert!(format!("{logout:?}").contains("logins: 1"), "{logout:?}: it comes again");
    drop(registered);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_registered_during_a_logout_ends_with_the_others() {
    let server = server();
    let client = client(&server);
    let logout = BackchannelLogout::new(client.clone());
    let logins = [log_in(&server, &client, "alice").await, log_in(&server, &client, "alice").await];
    let first = over(&client, &logins[0], Slow(MemoryStore::new(), Duration::from_secs(1), true));
    let second = source(&client, &logins[1]);
    let _first = logout.register(&logins[0], &first).unwrap();
    let token = server.logout_token("web", subject(&logins[0])).build();
    let ending = tokio::spawn({
        let logout = logout.clone();
        async move { send(&logout, &Parcel::logout(&token)).await.status }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _second = logout.register(&logins[1], &second).unwrap();
    assert_eq!(ending.await.unwrap(), 200);
    assert!(first.token().await.is_err());
    assert!(second.token().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_keys_it_is_503_and_counts_later() {
    let server = server();
    let login = log_in(&server, &client(&server), "alice").await;
    // A client that has no keys yet, as after a restart.
    let client = client(&server);
    let source = source(&client, &login);
    let logout = BackchannelLogout::new(client.clone());
    let _registered = logout.register(&login, &source).unwrap();
    server.fault(Endpoint::Jwks, Fault::status(500)).always();
    let token = server.logout_token("web", subject(&login)).build();
    let answer = send(&logout, &Parcel::logout(&token)).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    assert!(source.token().await.is_ok());
    server.clear_faults();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(send(&logout, &Parcel::logout(&token)).await.status, 200);
    assert!(source.token().await.is_err());
}
