//! One login, many audiences: sources that share a refresh token, over a server that revokes everything when one comes
//! twice.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::clock::TestClock;
use oauth_client::login::AuthorizationRequest;
use oauth_client::store::{FileStore, MemoryStore, TokenStore};
use oauth_client::transport::HttpClient;
use oauth_client::{AccessToken, Client, ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, User};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Fixture, LIFETIME, advance, callers, fixture, poll, settle};

pub(crate) const ORDERS: &str = "https://orders.test";
const BILLING: &str = "https://billing.test";

/// A server with two APIs, and an app that users log in to.
pub(crate) fn two_apis() -> Fixture {
    let app = MockClient::default()
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::ClientCredentials])
        .scopes(["read", "write"])
        .redirect_uri("https://app.test/callback");
    let server = MockServer::builder().client(app).audience(ORDERS).audience(BILLING);
    let server = server.user(User::new("alice", "a")).user(User::new("bob", "b")).in_process();
    let http = HttpClient::from_service(server.transport());
    let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t"));
    Fixture::wire(server, http, client)
}

pub(crate) fn request() -> AuthorizationRequest {
    AuthorizationRequest::new("https://app.test/callback")
        .scope(["read", "write"])
        .resource([ORDERS, BILLING])
        .subject("alice")
}

pub(crate) async fn log_in(fixture: &Fixture, user: &str) -> oauth_client::login::Login {
    let pending = fixture.client.authorize(&request()).await.unwrap();
    let callback = fixture.server.log_in(pending.url().as_str(), user).unwrap();
    fixture.client.finish(pending, callback).await.unwrap()
}

pub(crate) fn claims(token: &AccessToken) -> Value {
    let payload = token.secret().expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// How many requests have sent a refresh token.
fn refreshes(fixture: &Fixture) -> usize {
    let sent = fixture.server.journal().of(Endpoint::Token);
    sent.iter().filter(|request| request.param("refresh_token").is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn two_audiences_from_one_login() {
    let fixture = two_apis();
    let store = MemoryStore::new();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).store(store.clone()).starting_with(login).build().unwrap();
    let (orders, billing) = (both.for_resource(ORDERS).unwrap(), both.for_resource(BILLING).unwrap());
    let read_only = billing.for_scope(["read"]).unwrap();
    for _ in 0..3 {
        let tokens = [&orders, &billing, &read_only].map(TokenSource::clone);
        let mut got = Vec::new();
        for source in tokens {
            got.push(source.token().await.unwrap());
        }
        let seen: Vec<_> =
            got.iter().map(|token| (claims(token)["aud"].clone(), claims(token)["scope"].clone())).collect();
        assert_eq!(seen[0], (ORDERS.into(), "read write".into()));
        assert_eq!(seen[1], (BILLING.into(), "read write".into()));
        assert_eq!(seen[2], (BILLING.into(), "read".into()));
        assert!(got.iter().all(|token| token.tokens().refresh_token().is_none()), "it stays with the login");
        advance(LIFETIME + 1).await;
    }
    assert_eq!(refreshes(&fixture), 9, "one for each token");
    assert!(!fixture.refresh_token_reused());
    // The login goes on with what has become of its refresh token.
    both.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
    assert!(both.for_resource(ORDERS).unwrap().current().is_some() || both.for_resource(ORDERS).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_same_part_is_the_same_source() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    let one = both.for_resource(ORDERS).unwrap();
    let token = one.token().await.unwrap();
    let same = both.for_resource(ORDERS).unwrap();
    assert_eq!(same.current().unwrap().secret(), token.secret());
    assert_eq!(refreshes(&fixture), 1);
    assert!(TokenSource::fixed("t").unwrap().for_resource(ORDERS).is_err());
    assert_eq!(one.log_in(log_in(&fixture, "bob").await).await.unwrap_err().code(), "unsupported");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_callers_that_come_and_go_spends_each_refresh_token_once() {
    let fixture = two_apis();
    let store = MemoryStore::new();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).store(store).starting_with(login).build().unwrap();
    let derived: Vec<_> = [ORDERS, BILLING]
        .into_iter()
        .flat_map(|api| {
            ["read", "write"].map(|scope| both.for_resource(api).unwrap().for_scope([scope]).unwrap())
        })
        .chain([both.clone()])
        .collect();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).always();
    for round in 1..=4 {
        let mut staying = JoinSet::new();
        for source in derived.iter().cycle().take(200) {
            let source = source.clone();
            staying.spawn(async move { source.token().await });
        }
        let mut leaving = JoinSet::new();
        for source in derived.iter().cycle().take(200) {
            let source = source.clone();
            leaving.spawn(async move { source.token().await });
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        leaving.shutdown().await;
        for got in staying.join_all().await {
            got.unwrap();
        }
        // The login's first token is the one that it came with.
        assert_eq!(refreshes(&fixture), derived.len() * round - 1, "one for each source and expiry");
        assert!(!fixture.refresh_token_reused());
        advance(LIFETIME + 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_all_leave_lose_nothing() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    let orders = both.for_resource(ORDERS).unwrap();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(2))).always();
    for _ in 0..3 {
        let asking = tokio::time::timeout(Duration::from_secs(1), orders.token());
        assert!(asking.await.is_err(), "it left before the response was there");
        drop(orders.clone());
        advance(5).await;
        assert!(orders.current().is_some(), "and the response was kept");
        advance(LIFETIME + 1).await;
    }
    both.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn processes_that_share_a_file_spend_each_refresh_token_once() {
    let fixture = two_apis();
    let path = std::env::temp_dir().join(format!("derived-{}/tokens.json", std::process::id()));
    let login = log_in(&fixture, "alice").await;
    let process = || {
        let http = HttpClient::from_service(fixture.server.transport());
        let auth = ClientAuth::basic("svc", "s3cr3t");
        let client = Client::builder().issuer(fixture.server.issuer()).auth(auth).http(http);
        let client = client.clock(TestClock::new()).build().unwrap();
        client.source(request()).store(FileStore::new(&path))
    };
    process().starting_with(login).build().unwrap().token().await.unwrap();
    let processes: Vec<_> = (0..3).map(|_| process().build().unwrap()).collect();
    let sources: Vec<_> = processes
        .iter()
        .flat_map(|process| {
            [process.clone(), process.for_resource(ORDERS).unwrap(), process.for_resource(BILLING).unwrap()]
        })
        .collect();
    for round in 1..=3 {
        let mut all = JoinSet::new();
        for source in sources.iter().cycle().take(90) {
            let source = source.clone();
            all.spawn(async move { source.token().await });
        }
        for got in all.join_all().await {
            got.unwrap();
        }
        assert_eq!(refreshes(&fixture), 3 * round - 1, "one for each audience, whichever process asks");
        assert!(!fixture.refresh_token_reused());
        advance(LIFETIME + 1).await;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(text.matches("\"refresh_token\"").count(), 1, "one entry has it");
}

#[tokio::test(start_paused = true)]
async fn another_login_takes_the_tokens_of_the_previous_user_away() {
    let fixture = two_apis();
    let store = MemoryStore::new();
    let login = log_in(&fixture, "alice").await;
    let source = || fixture.client.source(request()).store(store.clone());
    let both = source().starting_with(login).build().unwrap();
    let orders = both.for_resource(ORDERS).unwrap();
    let subject = |token: &AccessToken| claims(token)["sub"].as_str().unwrap().to_owned();
    let alice = subject(&orders.token().await.unwrap());

    both.log_in(log_in(&fixture, "bob").await).await.unwrap();
    assert!(orders.current().is_none());
    let bob = subject(&orders.token().await.unwrap());
    assert_ne!(alice, bob, "nor is alice's token taken from the store");

    // Another process has logged alice in again.
    let elsewhere = source().starting_with(log_in(&fixture, "alice").await).build().unwrap();
    elsewhere.token().await.unwrap();
    advance(LIFETIME + 1).await;
    assert_eq!(subject(&orders.token().await.unwrap()), alice);
    assert_eq!(subject(&elsewhere.for_resource(ORDERS).unwrap().token().await.unwrap()), alice);

    elsewhere.revoke().await.unwrap();
    let derived = elsewhere.for_resource(ORDERS).unwrap();
    assert!(derived.token().await.unwrap_err().is_reauthorization_required());
}

#[tokio::test(start_paused = true)]
async fn a_login_during_a_derived_refresh_wins() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    let orders = both.for_resource(ORDERS).unwrap();
    let next = log_in(&fixture, "bob").await;
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).always();
    let waiting = tokio::spawn({
        let orders = orders.clone();
        async move { orders.token().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (new, _) = tokio::join!(both.log_in(next), tokio::time::sleep(Duration::from_millis(1)));
    let bob = claims(&new.unwrap())["sub"].clone();
    assert_eq!(claims(&waiting.await.unwrap().unwrap())["sub"], bob);
    assert_eq!(claims(&orders.token().await.unwrap())["sub"], bob);
}

/// The request has ended before the login; the caller has its turn only after it.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_turn_comes_after_a_login_gets_a_derived_token_of_that_login() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    let orders = both.for_resource(ORDERS).unwrap();
    let mut waiting = pin!(orders.token());
    assert!(poll(waiting.as_mut()).is_none());
    settle().await;
    assert_eq!(claims(&orders.current().unwrap())["sub"], claims(&both.token().await.unwrap())["sub"]);
    let bob = claims(&both.log_in(log_in(&fixture, "bob").await).await.unwrap())["sub"].clone();
    assert_eq!(claims(&waiting.await.unwrap())["sub"], bob);
}

/// What the store holds by then is a token for all that the login has, and the refresh token to ask with.
#[tokio::test(start_paused = true)]
async fn a_login_that_another_process_stores_meanwhile_gives_the_part_that_was_asked_for() {
    let fixture = two_apis();
    let (store, other) = (MemoryStore::new(), MemoryStore::new());
    let builder = fixture.client.source(request()).store(store.clone());
    let key = builder.store_key();
    let both = builder.starting_with(log_in(&fixture, "alice").await).build().unwrap();
    let orders = both.for_resource(ORDERS).unwrap();
    both.token().await.unwrap();
    let again = fixture.client.source(request()).store(other.clone());
    let again = again.starting_with(log_in(&fixture, "alice").await).build().unwrap();
    again.token().await.unwrap();
    let newer = other.load(&key).await.unwrap().unwrap().tokens;
    let refused = Fault::body(400, "application/json", r#"{"error":"invalid_grant"}"#);
    fixture.server.fault(Endpoint::Token, refused.after(Duration::from_secs(1))).times(1);
    let waiting = tokio::spawn({
        let orders = orders.clone();
        async move { orders.token().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = store.load(&key).await.unwrap().unwrap().revision;
    store.compare_and_swap(&key, Some(before), Some(&newer)).await.unwrap();
    let token = waiting.await.unwrap().unwrap();
    assert_eq!(claims(&token)["aud"], ORDERS);
    assert!(token.tokens().refresh_token().is_none());
    assert!(!fixture.refresh_token_reused());
}

/// The response to a derived source's request is read beyond its callers' limit, and no other caller waits that long.
#[tokio::test(start_paused = true)]
async fn a_derived_refresh_that_hangs_keeps_no_caller_beyond_the_limit() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    let orders = both.for_resource(ORDERS).unwrap();
    both.token().await.unwrap();
    advance(LIFETIME + 1).await;
    let next = log_in(&fixture, "bob").await;
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(30))).times(1);
    let began = tokio::time::Instant::now();
    let slow = tokio::spawn({
        let orders = orders.clone();
        async move { orders.token().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(both.token().await.unwrap_err().code(), "timeout");
    assert_eq!(slow.await.unwrap().unwrap_err().code(), "timeout");
    assert!(began.elapsed().as_secs() <= 11, "{:?}", began.elapsed());
    // A login does not wait for it either: what it may bring is worthless by then.
    let bob = claims(&both.log_in(next).await.unwrap())["sub"].clone();
    assert!(began.elapsed().as_secs() <= 12, "{:?}", began.elapsed());
    assert_eq!(claims(&orders.token().await.unwrap())["sub"], bob);
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_stays_rejected_when_its_refresh_token_rotates_elsewhere() {
    let fixture = two_apis();
    let store = MemoryStore::new();
    let login = log_in(&fixture, "alice").await;
    let source = || fixture.client.source(request()).store(store.clone());
    let here = source().starting_with(login).build().unwrap();
    let token = here.token().await.unwrap();
    source().build().unwrap().for_resource(BILLING).unwrap().token().await.unwrap();
    assert!(here.reject(token.generation()));
    here.for_resource(ORDERS).unwrap().token().await.unwrap();
    assert!(here.current().is_none(), "the entry is new, and the access token in it is not");
    assert_ne!(here.token().await.unwrap().secret(), token.secret());
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_from_elsewhere_is_shared_too_whether_it_rotates_or_not() {
    for rotates in [true, false] {
        let mock = MockClient::default().opaque_tokens();
        let mock = if rotates { mock } else { mock.without_rotation() };
        let fixture = crate::support::fixture_with(mock);
        let issued = fixture.server.issue("svc", "alice", "read write").unwrap();
        let request = grant::refresh_token(issued.refresh_token.unwrap()).subject("alice");
        let root = fixture.client.source(request).store(MemoryStore::new()).build().unwrap();
        let reader = root.for_scope(["read"]).unwrap();
        assert_eq!(reader.token().await.unwrap().tokens().scope().unwrap(), ["read"]);
        let whole = root.token().await.unwrap();
        assert_eq!(whole.tokens().scope().unwrap(), ["read", "write"], "the root has all of it");
        advance(LIFETIME + 1).await;
        for got in callers(&reader, 50).await.into_iter().chain(callers(&root, 50).await) {
            got.unwrap();
        }
        assert_eq!(fixture.count(Endpoint::Token), 4);
        assert_eq!(fixture.refresh_token_reused(), !rotates);
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_person_is_asked_for_again() {
    let fixture = two_apis();
    let root = fixture.client.source(grant::client_credentials()).build().unwrap();
    let orders = root.for_resource(ORDERS).unwrap();
    assert_eq!(claims(&orders.token().await.unwrap())["aud"], ORDERS);
    assert_eq!((fixture.count(Endpoint::Token), root.status().token_requests), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_login_is_lost_for_all() {
    let fixture = fixture();
    let root = fixture.client.source(fixture.person()).build().unwrap();
    let reader = root.for_scope(["read"]).unwrap();
    let token = reader.token().await.unwrap();
    assert_eq!(reader.status().token_requests, 1);
    fixture
        .server
        .fault(Endpoint::Token, Fault::body(400, "application/json", r#"{"error":"invalid_grant"}"#))
        .always();
    reader.reject(token.generation());
    assert!(reader.token().await.unwrap_err().is_reauthorization_required());
    assert!(root.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), 2, "it is not sent again");
}

#[tokio::test]
async fn its_entry_is_its_own() {
    let fixture = two_apis();
    let store = MemoryStore::new();
    let login = log_in(&fixture, "alice").await;
    let builder = fixture.client.source(request()).store(store.clone()).starting_with(login);
    let key = builder.store_key();
    let both = builder.build().unwrap();
    both.for_resource(ORDERS).unwrap().token().await.unwrap();
    // Another login for that one API keeps its refresh token under another key.
    let alone = fixture.client.source(request().resource([ORDERS])).store_key();
    assert!(store.load(&alone).await.unwrap().is_none());
    assert!(store.load(&key).await.unwrap().unwrap().tokens.refresh_token().is_some());
}

/// The server wants to be left alone, whichever source it has told so.
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_is_left_alone_by_all_sources_of_the_login() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    both.token().await.unwrap();
    let derived = [ORDERS, BILLING].map(|api| both.for_resource(api).unwrap());
    let derived =
        [&derived[0], &derived[1], &derived[0].for_scope(["read"]).unwrap()].map(TokenSource::clone);
    let before = fixture.count(Endpoint::Token);
    fixture.server.fault(Endpoint::Token, Fault::status(429).retry_after_secs(120)).always();
    for source in &derived {
        let error = source.token().await.unwrap_err();
        assert!(error.retry_after().is_some_and(|wait| wait > Duration::from_secs(100)), "{error:?}");
    }
    assert!(both.refresh_now().await.unwrap_err().retry_after().is_some());
    assert_eq!(fixture.count(Endpoint::Token) - before, 1);

    fixture.server.clear_faults();
    advance(125).await;
    for source in &derived {
        source.token().await.unwrap();
    }
    both.refresh_now().await.unwrap();
}

/// What the server has asked for was about the login before, and may last for a day.
#[tokio::test(start_paused = true)]
async fn a_login_or_a_log_out_ends_the_time_that_the_server_has_asked_for() {
    for logs_out in [false, true] {
        let fixture = two_apis();
        let login = log_in(&fixture, "alice").await;
        let both = fixture.client.source(request()).starting_with(login).build().unwrap();
        let orders = both.for_resource(ORDERS).unwrap();
        both.token().await.unwrap();
        fixture.server.fault(Endpoint::Token, Fault::status(429).retry_after_secs(86_400)).times(1);
        assert_eq!(both.refresh_now().await.unwrap_err().status().unwrap(), 429);
        assert!(orders.token().await.unwrap_err().retry_after().is_some(), "it counts for all");

        if logs_out {
            both.revoke().await.unwrap();
        }
        both.log_in(log_in(&fixture, "bob").await).await.unwrap();
        advance(LIFETIME + 1).await;
        both.token().await.unwrap();
        orders.token().await.unwrap();
    }
}

/// The response is about the refresh token of the login before.
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_while_a_login_comes_does_not_hold_that_login_back() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let next = log_in(&fixture, "bob").await;
    let both = fixture.client.source(request()).starting_with(login).build().unwrap();
    both.token().await.unwrap();
    let asked = Fault::status(429).retry_after_secs(86_400).after(Duration::from_secs(1));
    fixture.server.fault(Endpoint::Token, asked).times(1);
    let refreshing = tokio::spawn({
        let both = both.clone();
        async move { both.refresh_now().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    both.log_in(next).await.unwrap();
    let _ = refreshing.await.unwrap();
    advance(LIFETIME + 1).await;
    both.token().await.unwrap();
}
