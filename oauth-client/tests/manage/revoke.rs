//! Revocation (RFC 7009): by hand, and of all that a source holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_client::source::Event;
use oauth_client::store::{MemoryStore, TokenStore as _};
use oauth_client::token::TokenType;
use oauth_client::{AccessToken, Error, Secret, TokenSource, grant};
use oauth_mock::{Endpoint, Fault, Gate, MockClient, MockServer, RecordedRequest};
use tokio::task::JoinHandle;

use crate::support::{Fixture, advance, fixture_of, http};

fn fixture() -> Fixture {
    fixture_of(
        MockServer::builder().client(MockClient::default().with_refresh_token().opaque_tokens()).in_process(),
    )
}

/// A source of what a person granted.
fn person(fixture: &Fixture) -> TokenSource {
    let login = fixture.server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    fixture.client.source(grant::refresh_token(login)).build().unwrap()
}

fn revoked(fixture: &Fixture) -> Vec<RecordedRequest> {
    fixture.server.journal().of(Endpoint::Revoke)
}

async fn is_active(fixture: &Fixture, token: &Secret) -> bool {
    fixture.client.introspect(token, None).await.unwrap().is_some()
}

/// Whether the refresh or the log-out wakes a caller first is open: a token that is still handed out has been revoked.
async fn assert_over(fixture: &Fixture, outcome: Result<AccessToken, Error>) {
    match outcome {
        Ok(token) => {
            assert!(!is_active(fixture, token.secret()).await);
            assert!(!is_active(fixture, token.tokens().refresh_token().unwrap()).await);
        }
        Err(refused) => assert!(refused.is_reauthorization_required(), "its login is over: {refused}"),
    }
}

/// Asks for a token in a task of its own, which has begun to.
async fn asking(source: &TokenSource) -> JoinHandle<Result<AccessToken, Error>> {
    let source = source.clone();
    let asking = tokio::spawn(async move { source.token().await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    asking
}

#[tokio::test(start_paused = true)]
async fn a_log_out_revokes_the_refresh_token_then_the_access_token() {
    let fixture = fixture();
    let source = person(&fixture);
    let token = source.token().await.unwrap();
    let refresh_token = token.tokens().refresh_token().unwrap().clone();
    source.revoke().await.unwrap();
    let sent = revoked(&fixture);
    let hints: Vec<_> = sent.iter().map(|request| request.param("token_type_hint").unwrap()).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    let fingerprint = |token: &Secret| fixture.server.journal().fingerprint(token.expose());
    assert_eq!(sent[0].param("token"), Some(&*fingerprint(&refresh_token)));
    assert!(!is_active(&fixture, token.secret()).await && !is_active(&fixture, &refresh_token).await);
    assert!(source.current().is_none());
    let before = fixture.count(Endpoint::Token);
    for _ in 0..2 {
        assert!(source.token().await.unwrap_err().is_reauthorization_required());
        advance(120).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), before, "nothing is asked for with what is gone");
    source.revoke().await.unwrap();
    assert_eq!(revoked(&fixture).len(), 2, "there is nothing left");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_holds_nothing_does_not_say_that_it_revoked_something() {
    let fixture = fixture();
    for store in [None, Some(MemoryStore::new())] {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let source = fixture.client.source(grant::client_credentials()).on_event(move |event| {
            counter.fetch_add(usize::from(matches!(event, Event::Revoked)), Ordering::SeqCst);
        });
        let source = match store {
            Some(store) => source.store(store),
            None => source,
        };
        let source = source.build().unwrap();
        source.revoke().await.unwrap();
        let before = revoked(&fixture).len();
        assert_eq!(count.load(Ordering::SeqCst), 0, "there was nothing");
        source.token().await.unwrap();
        for _ in 0..2 {
            source.revoke().await.unwrap();
            let sent = revoked(&fixture).len() - before;
            assert_eq!((sent, count.load(Ordering::SeqCst)), (2, 1), "once, of both tokens");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_never_used_is_revoked_too() {
    let fixture = fixture();
    let source = person(&fixture);
    source.revoke().await.unwrap();
    assert_eq!(revoked(&fixture).len(), 1);
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), 0);

    let login =
        grant::refresh_token(fixture.server.issue("svc", "bob", "read").unwrap().refresh_token.unwrap());
    let tokens = fixture.client.request(&login).await.unwrap();
    let source = fixture.client.source(login).starting_with(tokens.clone()).build().unwrap();
    source.revoke().await.unwrap();
    assert!(!is_active(&fixture, tokens.access_token()).await);
    assert!(!is_active(&fixture, tokens.refresh_token().unwrap()).await);
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_grant_without_a_person_is_asked_for_anew() {
    let fixture = fixture();
    let source = fixture.client.source(grant::client_credentials()).build().unwrap();
    let first = source.token().await.unwrap();
    source.revoke().await.unwrap();
    let second = source.token().await.unwrap();
    assert_eq!((first.generation(), second.generation()), (1, 2));
    assert!(!is_active(&fixture, first.secret()).await && is_active(&fixture, second.secret()).await);
    let grants: Vec<_> = fixture.server.journal().of(Endpoint::Token);
    assert!(grants.iter().all(|request| request.param("grant_type") == Some("client_credentials")));
}

#[tokio::test(start_paused = true)]
async fn what_a_refresh_under_way_brings_is_revoked_as_well() {
    let fixture = fixture();
    let source = person(&fixture);
    let gate = Gate::new();
    fixture.server.fault(Endpoint::Token, Fault::hold(&gate)).times(1);
    let refreshing = asking(&source).await;
    let revoking = tokio::spawn({
        let source = source.clone();
        async move { source.revoke().await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(revoked(&fixture).len(), 0, "it waits for the refresh");
    gate.open();
    let outcome = refreshing.await.unwrap();
    revoking.await.unwrap().unwrap();
    assert_over(&fixture, outcome).await;
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_stop_it_and_others_see_its_end() {
    let fixture = fixture();
    let source = person(&fixture);
    let token = source.token().await.unwrap();
    let gate = Gate::new();
    fixture.server.fault(Endpoint::Revoke, Fault::hold(&gate)).times(1);
    let revoking = source.clone();
    assert!(tokio::time::timeout(Duration::from_millis(5), revoking.revoke()).await.is_err());
    assert_eq!(source.token().await.unwrap().generation(), 1, "until it is done, the token is good");
    assert!(source.reject(1));
    let waiting = asking(&source).await;
    gate.open();
    assert!(waiting.await.unwrap().unwrap_err().is_reauthorization_required());
    assert!(!is_active(&fixture, token.secret()).await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_a_refresh_is_under_way_does_not_stop_it_either() {
    let fixture = fixture();
    let source = person(&fixture);
    let gate = Gate::new();
    fixture.server.fault(Endpoint::Token, Fault::hold(&gate)).times(1);
    let refreshing = asking(&source).await;
    assert!(tokio::time::timeout(Duration::from_millis(5), source.revoke()).await.is_err());
    gate.open();
    let outcome = refreshing.await.unwrap();
    advance(1).await;
    assert_over(&fixture, outcome).await;
    // There was no access token before the refresh: what it brought is revoked.
    let sent = revoked(&fixture);
    let hints: Vec<_> = sent.iter().map(|request| request.param("token_type_hint").unwrap()).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
}

#[tokio::test(start_paused = true)]
async fn no_token_stays_in_the_store_and_a_new_login_in_it_is_taken_up() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let build = |token: String| {
        fixture.client.source(grant::refresh_token(token).subject("alice")).store(store.clone())
    };
    let login = || fixture.server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let builder = build(login());
    let key = builder.store_key();
    let source = builder.build().unwrap();
    let token = source.token().await.unwrap();
    // Another process, which has the login from the store only.
    let other = build("of no use".to_owned()).build().unwrap();
    assert_eq!(other.token().await.unwrap().secret(), token.secret());
    other.revoke().await.unwrap();
    let left = store.load(&key).await.unwrap().unwrap().tokens;
    let left = (left.is_ended(), left.refresh_token(), left.access_token().expose());
    assert_eq!(left, (true, None, "none"), "that the login has ended, and no token");
    assert!(!is_active(&fixture, token.secret()).await);
    assert!(other.token().await.unwrap_err().is_reauthorization_required());

    build(login()).build().unwrap().token().await.unwrap();
    advance(120).await;
    assert!(is_active(&fixture, other.token().await.unwrap().secret()).await, "alice has logged in again");
}

#[tokio::test(start_paused = true)]
async fn a_failure_forgets_nothing_and_tells_when_to_try_again() {
    let fixture = fixture();
    let source = person(&fixture);
    let token = source.token().await.unwrap();
    fixture.server.fault(Endpoint::Revoke, Fault::status(503).retry_after_secs(30)).times(1);
    let error = source.revoke().await.unwrap_err();
    assert_eq!((error.status().unwrap().as_u16(), error.is_transient()), (503, true));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(source.token().await.unwrap().generation(), 1);
    fixture.server.fault(Endpoint::Revoke, Fault::status(500)).times(2);
    source.revoke().await.unwrap();
    assert!(!is_active(&fixture, token.secret()).await, "a short outage is sat out");
}

#[tokio::test(start_paused = true)]
async fn access_tokens_that_cannot_be_revoked_are_left_to_die_where_the_refresh_token_could() {
    let fixture = fixture();
    let unsupported = || Fault::body(400, "application/json", r#"{"error":"unsupported_token_type"}"#);
    let source = person(&fixture);
    source.token().await.unwrap();
    fixture.server.fault(Endpoint::Revoke, unsupported()).on_call(2);
    source.revoke().await.unwrap();
    assert!(source.token().await.unwrap_err().is_reauthorization_required());

    let token = Secret::from("self-contained");
    fixture.server.fault(Endpoint::Revoke, unsupported()).times(1);
    let error = fixture.client.revoke(&token, Some(TokenType::AccessToken)).await.unwrap_err();
    assert_eq!((error.code(), error.status().unwrap().as_u16()), ("unsupported_token_type", 400));
    fixture.client.revoke(&"never heard of".into(), None).await.unwrap();
}

#[tokio::test]
async fn a_source_without_a_server_says_so() {
    let error = TokenSource::fixed("t").unwrap().revoke().await.unwrap_err();
    assert_eq!(error.code(), "config");
    let fixture = fixture();
    let client = oauth_client::Client::builder()
        .token_endpoint(fixture.server.endpoint(Endpoint::Token))
        .auth(oauth_client::ClientAuth::basic("svc", "s3cr3t"))
        .http(http(&fixture.server));
    let error = client.build().unwrap().revoke(&"t".into(), None).await.unwrap_err();
    assert!(error.code() == "config" && error.to_string().contains("revocation_endpoint"), "{error}");
}
