//! Tokens that outlive the process, and the key that may not have.

use oauth_client::dpop::Dpop;
use oauth_client::store::{MemoryStore, TokenStore as _};
use oauth_client::token::Scheme;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::Endpoint;
use tower::ServiceExt as _;

use crate::support::Recorded;

fn stored(client: &Client, request: grant::TokenRequest, store: &MemoryStore) -> TokenSource {
    client.source(request.subject("alice")).store(store.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_is_used_with_the_key_that_it_is_bound_to() {
    let (fixture, store, dpop) = (Recorded::new(), MemoryStore::new(), Dpop::generate().unwrap());
    let login =
        grant::refresh_token(fixture.server.issue("svc", "alice", "openid").unwrap().refresh_token.unwrap());
    let before = fixture.builder().dpop(dpop.clone()).build().unwrap();
    let first = stored(&before, login.clone(), &store).token().await.unwrap();
    // The next start.
    let after = fixture.builder().dpop(dpop).build().unwrap();
    let source = stored(&after, login, &store);
    assert_eq!(source.token().await.unwrap().secret(), first.secret());
    assert_eq!(fixture.count(Endpoint::Token), 1);
    let response = fixture.api(&source).oneshot(fixture.userinfo()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_that_is_bound_to_another_key_is_not_used() {
    let (fixture, store) = (Recorded::new(), MemoryStore::new());
    let login =
        grant::refresh_token(fixture.server.issue("svc", "alice", "openid").unwrap().refresh_token.unwrap());
    let first = stored(&fixture.client(), login.clone(), &store).token().await.unwrap();
    let source = stored(&fixture.client(), login, &store);
    let second = source.token().await.unwrap();
    assert_ne!(first.secret(), second.secret());
    // The refresh token is the client's, which has a secret to prove that: it goes on with the new key.
    let used = fixture.server.journal().fingerprint(first.tokens().refresh_token().unwrap().expose());
    let requests = fixture.server.journal().of(Endpoint::Token);
    assert_eq!(requests.last().unwrap().param("refresh_token"), Some(used.as_str()));
    let response = fixture.api(&source).oneshot(fixture.userinfo()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_bound_to_another_key_is_left_to_who_has_it() {
    let (fixture, store) = (Recorded::new(), MemoryStore::new());
    let (right, wrong) = (Dpop::generate().unwrap(), Dpop::generate().unwrap());
    let mobile =
        |dpop: &Dpop| fixture.builder().auth(ClientAuth::none("mobile")).dpop(dpop.clone()).build().unwrap();
    let login = grant::password("alice", "wonderland").scope(["openid"]);
    let tokens = mobile(&right).request(&login).await.unwrap();
    let login = grant::refresh_token(tokens.refresh_token().unwrap().clone());
    stored(&mobile(&right), login.clone(), &store).token().await.unwrap();

    let requests = fixture.count(Endpoint::Token);
    let error = stored(&mobile(&wrong), login.clone(), &store).token().await.unwrap_err();
    assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "dpop"));
    assert!(error.to_string().contains(right.thumbprint()) && error.to_string().contains(wrong.thumbprint()));
    let plain = fixture.builder().auth(ClientAuth::none("mobile")).build().unwrap();
    let error = stored(&plain, login.clone(), &store).token().await.unwrap_err();
    assert_eq!(error.code(), "config");
    assert_eq!(fixture.count(Endpoint::Token), requests, "nothing was tried with the wrong key");

    let source = stored(&mobile(&right), login, &store);
    assert!(source.token().await.is_ok(), "and nothing was lost");
    tokio::time::sleep(std::time::Duration::from_secs(7200)).await;
    assert!(source.token().await.is_ok(), "it refreshes still");
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_is_not_used_in_the_other_scheme() {
    let (fixture, store) = (Recorded::new(), MemoryStore::new());
    let request = grant::client_credentials;
    let plain = || fixture.builder().build().unwrap();
    let bearer = stored(&plain(), request(), &store).token().await.unwrap();
    assert_eq!(bearer.tokens().scheme(), Scheme::Bearer);

    let bound = stored(&fixture.client(), request(), &store).token().await.unwrap();
    assert_eq!(bound.tokens().scheme(), Scheme::Dpop);
    assert_ne!(bound.secret(), bearer.secret());

    let bearer = stored(&plain(), request(), &store).token().await.unwrap();
    assert_eq!(bearer.tokens().scheme(), Scheme::Bearer);

    // A client that allows both takes it as it is.
    let either = fixture.builder().dpop(Dpop::generate().unwrap().allow_bearer()).build().unwrap();
    let source = stored(&either, request(), &store);
    assert_eq!(source.token().await.unwrap().secret(), bearer.secret());
    let key = either.source(request().subject("alice")).store_key();
    let kept = store.load(&key).await.unwrap().unwrap().tokens;
    assert_eq!(kept.key_thumbprint(), None);
}

#[tokio::test(start_paused = true)]
async fn tokens_to_start_with_are_used_with_their_own_key_only() {
    let fixture = Recorded::new();
    let (right, wrong) = (Dpop::generate().unwrap(), Dpop::generate().unwrap());
    let client =
        |auth: ClientAuth, dpop: &Dpop| fixture.builder().auth(auth).dpop(dpop.clone()).build().unwrap();
    let mobile = |dpop: &Dpop| client(ClientAuth::none("mobile"), dpop);
    let password = || grant::password("alice", "wonderland").scope(["openid"]);
    let login = mobile(&right).request(&password()).await.unwrap();
    let again = mobile(&wrong).source(password()).starting_with(login.clone()).build().unwrap_err();
    assert_eq!(again.problems()[0].field, "dpop");
    let running = mobile(&wrong).source(password()).build().unwrap();
    assert_eq!(running.log_in(login.clone()).await.unwrap_err().problems()[0].field, "dpop");

    let source = mobile(&right).source(password()).starting_with(login.clone()).build().unwrap();
    assert_eq!(source.token().await.unwrap().secret(), login.access_token());
    assert_eq!(fixture.count(Endpoint::Token), 1);

    // A client with a secret goes on with the refresh token, and a new access token.
    let svc = |dpop: &Dpop| client(ClientAuth::basic("svc", "s3cr3t"), dpop);
    let login = svc(&right).request(&grant::client_credentials().scope(["openid"])).await.unwrap();
    let source = svc(&wrong).source(grant::client_credentials().scope(["openid"]));
    let source = source.starting_with(login.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(token.tokens().key_thumbprint(), Some(wrong.thumbprint()));
    assert_ne!(token.secret(), login.access_token());
}
