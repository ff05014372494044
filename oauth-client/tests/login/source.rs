//! The tokens of a login stay fresh, outlive the process, and are replaced by a new login.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_client::grant;
use oauth_client::login::Login;
use oauth_client::store::{MemoryStore, TokenStore as _};
use oauth_mock::{Endpoint, Fault};
use serde_json::json;

use crate::slow::Slow;
use crate::support::{Fixture, fixture, request};
use crate::time::advance;

async fn login(fixture: &Fixture) -> Login {
    fixture.login(&request()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_the_logins_and_later_ones_are_refreshed() {
    let fixture = fixture();
    let login = login(&fixture).await;
    let source = fixture.client.source(request()).starting_with(login.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    assert_eq!((token.secret(), token.generation()), (login.tokens().access_token(), 1));
    assert_eq!(fixture.count(Endpoint::Token), 1, "the login's own");
    advance(301).await;
    let token = source.token().await.unwrap();
    assert_eq!(token.generation(), 2);
    let forms = fixture.server.journal().of(Endpoint::Token);
    assert_eq!(forms[1].param("grant_type"), Some("refresh_token"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_the_login_makes_another_one_unnecessary() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let first = fixture.client.source(request()).store(store.clone()).build().unwrap();
    let error = first.token().await.unwrap_err();
    assert!(error.is_reauthorization_required(), "no user has logged in yet: {error}");
    assert_eq!(fixture.count(Endpoint::Token), 0, "and there is nothing to ask the server");
    first.log_in(login(&fixture).await).await.unwrap();

    // The next start, within the token's life and after it.
    for requests in [1, 2] {
        let next = fixture.client.source(request()).store(store.clone()).build().unwrap();
        next.token().await.unwrap();
        assert_eq!(fixture.count(Endpoint::Token), requests);
        advance(301).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_login_takes_the_place_of_what_the_store_held() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let old = login(&fixture).await;
    let source = fixture.client.source(request()).store(store.clone()).starting_with(old).build().unwrap();
    source.token().await.unwrap();
    advance(10).await;
    let new = login(&fixture).await;
    let source =
        fixture.client.source(request()).store(store.clone()).starting_with(new.clone()).build().unwrap();
    assert_eq!(source.token().await.unwrap().secret(), new.tokens().access_token());
    let third = fixture.client.source(request()).store(store).build().unwrap();
    assert_eq!(third.token().await.unwrap().secret(), new.tokens().access_token());
}

#[tokio::test(start_paused = true)]
async fn a_lost_login_says_so_and_a_new_one_revives_the_source() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let first = login(&fixture).await;
    let source =
        fixture.client.source(request()).store(store.clone()).starting_with(first.clone()).build().unwrap();
    source.token().await.unwrap();
    fixture.server.revoke_token(first.tokens().refresh_token().unwrap().expose());
    advance(301).await;
    for _ in 0..3 {
        assert!(source.token().await.unwrap_err().is_reauthorization_required());
    }
    assert_eq!(fixture.count(Endpoint::Token), 2, "the refused refresh is not repeated");

    let again = login(&fixture).await;
    let token = source.log_in(again.clone()).await.unwrap();
    assert_eq!(token.secret(), again.tokens().access_token());
    assert_eq!(source.token().await.unwrap().generation(), token.generation());
    assert_eq!(source.status().failures, 0);
    advance(301).await;
    source.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_comes_before_a_refresh_that_is_under_way() {
    let fixture = fixture();
    let first = login(&fixture).await;
    let source = fixture.client.source(request()).starting_with(first).build().unwrap();
    source.token().await.unwrap();
    let new = login(&fixture).await;
    advance(301).await;
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).times(1);
    let waiting = tokio::spawn({
        let source = source.clone();
        async move { source.token().await }
    });
    advance(1).await;
    let renewed =
        fixture.client.request(&grant::refresh_token(new.tokens().refresh_token().unwrap().clone())).await;
    let renewed = renewed.unwrap();
    let token = source.log_in(renewed.clone()).await.unwrap();
    assert_eq!(token.secret(), renewed.access_token());
    waiting.await.unwrap().unwrap();
    assert_eq!(source.token().await.unwrap().secret(), renewed.access_token());
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_caller_goes_away_still_replaces_the_previous_tokens() {
    let fixture = fixture();
    let first = login(&fixture).await;
    let source = fixture.client.source(request()).starting_with(first).build().unwrap();
    source.token().await.unwrap();
    advance(301).await;
    let new = login(&fixture).await;
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).times(1);
    let waiting = tokio::spawn({
        let source = source.clone();
        async move { source.token().await }
    });
    advance(1).await;
    let dropped = source.log_in(new.clone());
    assert!(tokio::time::timeout(Duration::from_millis(5), dropped).await.is_err());
    waiting.await.unwrap().unwrap();
    // The refresh of the old login has succeeded, and no caller gets its token any more.
    assert!(source.current().is_none_or(|token| token.secret() == new.tokens().access_token()));
    assert_eq!(source.token().await.unwrap().secret(), new.tokens().access_token());
}

#[tokio::test(start_paused = true)]
async fn a_login_revives_a_source_while_its_server_fails() {
    let fixture = fixture();
    let first = login(&fixture).await;
    let source = fixture.client.source(request()).starting_with(first).build().unwrap();
    source.token().await.unwrap();
    let new = login(&fixture).await;
    advance(280).await;
    let new =
        fixture.client.request(&grant::refresh_token(new.tokens().refresh_token().unwrap().clone())).await;
    advance(30).await;
    fixture.server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(600)).always();
    source.token().await.unwrap_err();
    let token = source.log_in(new.unwrap()).await.unwrap();
    assert_eq!(source.token().await.unwrap().generation(), token.generation());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_have_expired_meanwhile_are_refreshed_first() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let old = login(&fixture).await;
    let json = serde_json::to_string(old.tokens()).unwrap();
    advance(400).await;
    let tokens: oauth_client::TokenSet = serde_json::from_str(&json).unwrap();
    let source = fixture.client.source(request()).store(store).starting_with(tokens).build().unwrap();
    let token = source.token().await.unwrap();
    assert_ne!(token.secret(), old.tokens().access_token());
    assert_eq!(fixture.count(Endpoint::Token), 2);

    // Without a refresh token it cannot be renewed, which is reported and not tried again and again.
    let mut bare: serde_json::Value = serde_json::from_str(&json).unwrap();
    bare.as_object_mut().unwrap().remove("refresh_token");
    let tokens: oauth_client::TokenSet = serde_json::from_value(bare).unwrap();
    let source = fixture.client.source(request()).starting_with(tokens).build().unwrap();
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[tokio::test(start_paused = true)]
async fn an_id_token_that_comes_with_a_refresh_is_of_the_same_person() {
    let fixture = fixture();
    let source = fixture.client.source(request()).starting_with(login(&fixture).await).build().unwrap();
    let first = source.token().await.unwrap();
    let minted = |subject: &str| fixture.server.mint().typ("JWT").subject(subject).audience("web").build();
    let response = |id_token: String| {
        let body =
            json!({"access_token": "n3w", "token_type": "Bearer", "expires_in": 300, "id_token": id_token});
        Fault::body(200, "application/json", body.to_string())
    };
    advance(301).await;
    fixture.server.fault(Endpoint::Token, response(minted("alice"))).times(1);
    let second = source.token().await.unwrap();
    assert_ne!(first.tokens().id_token(), second.tokens().id_token());
    // The audience has to be among those of before; how it is written does not count, nor who joins it.
    advance(301).await;
    let wider = fixture.server.mint().typ("JWT").subject("alice").claim("aud", json!(["api", "web"])).build();
    fixture.server.fault(Endpoint::Token, response(wider)).times(1);
    source.token().await.unwrap();
    advance(301).await;
    fixture.server.fault(Endpoint::Token, response(minted("mallory"))).times(1);
    let error = source.token().await.unwrap_err();
    assert_eq!(error.code(), "invalid_id_token");
    assert!(error.to_string().contains("sub"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn another_users_id_token_on_a_refresh_still_keeps_the_rotated_refresh_token() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let builder = fixture.client.source(request()).store(store.clone());
    let key = builder.store_key();
    let source = builder.starting_with(login(&fixture).await).build().unwrap();
    source.token().await.unwrap();
    advance(301).await;
    let mallory = fixture.server.mint().typ("JWT").subject("mallory").audience("web").build();
    let body = json!({"access_token": "n3w", "token_type": "Bearer", "expires_in": 300, "id_token": mallory,
        "refresh_token": "the-rotated-one"});
    fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", body.to_string())).times(1);
    assert_eq!(source.token().await.unwrap_err().code(), "invalid_id_token");
    let stored = store.load(&key).await.unwrap().unwrap().tokens;
    assert_eq!(stored.refresh_token().unwrap().expose(), "the-rotated-one");
    assert_eq!(stored.subject(), Some("alice"));
    assert_ne!(stored.access_token().expose(), "n3w");
}

#[tokio::test(start_paused = true)]
async fn who_logged_in_is_recorded_and_kept_through_refreshes() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let builder = fixture.client.source(request()).store(store.clone());
    let key = builder.store_key();
    let source = builder.starting_with(login(&fixture).await).build().unwrap();
    for _ in 0..3 {
        assert_eq!(source.token().await.unwrap().tokens().subject(), Some("alice"));
        assert_eq!(store.load(&key).await.unwrap().unwrap().tokens.subject(), Some("alice"));
        advance(301).await;
    }
}

/// Two users, and one entry: neither of them ever gets the other's token.
#[tokio::test(start_paused = true)]
async fn a_source_does_not_adopt_another_users_login() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let source = |login: Login| {
        fixture.client.source(request()).store(store.clone()).starting_with(login).build().unwrap()
    };
    let alice = source(login(&fixture).await);
    let alices = alice.token().await.unwrap();
    let bob = source(fixture.login_as("bob", &request()).await.unwrap());
    assert_eq!(bob.token().await.unwrap().tokens().subject(), Some("bob"));
    advance(1).await;
    assert_eq!(alice.token().await.unwrap().secret(), alices.secret(), "while it is good, hers stays in use");
    for seconds in [270, 30, 300] {
        advance(seconds).await;
        match alice.token().await {
            Ok(token) => assert_eq!(token.tokens().subject(), Some("alice")),
            Err(error) => {
                assert!(error.code() == "config" && error.to_string().contains("subject"), "{error}");
                assert!(!error.is_reauthorization_required());
            }
        }
        assert_eq!(bob.token().await.unwrap().tokens().subject(), Some("bob"));
    }
    let error = alice.token().await.unwrap_err();
    assert!(error.to_string().contains("TokenRequest::subject"), "it says what to do: {error}");

    // A new login takes the entry over; and with subjects of their own no login is in the way.
    let again = alice.log_in(login(&fixture).await).await.unwrap();
    assert_eq!(again.tokens().subject(), Some("alice"));
    let apart = |login: Login, user: &str| {
        let request = grant::TokenRequest::from(request()).subject(user);
        fixture.client.source(request).store(store.clone()).starting_with(login).build().unwrap()
    };
    let alice = apart(login(&fixture).await, "alice");
    let bob = apart(fixture.login_as("bob", &request()).await.unwrap(), "bob");
    for _ in 0..3 {
        assert_eq!(alice.token().await.unwrap().tokens().subject(), Some("alice"));
        assert_eq!(bob.token().await.unwrap().tokens().subject(), Some("bob"));
        advance(301).await;
    }
}

/// From `log_in` on no caller gets the previous user's token, not even from a refresh that ends later, while a slow store
/// takes its time for both.
#[tokio::test(start_paused = true)]
async fn the_previous_users_token_is_never_lent_from_a_login_on() {
    for seconds in 0..9 {
        let fixture = fixture();
        let store = Slow::default();
        let source = fixture
            .client
            .source(request())
            .store(store.clone())
            .starting_with(login(&fixture).await)
            .build()
            .unwrap();
        source.token().await.unwrap();
        let new = fixture.login_as("bob", &request()).await.unwrap();
        advance(301).await;
        let renewal = grant::refresh_token(new.tokens().refresh_token().unwrap().clone());
        let new = fixture.client.request(&renewal).await.unwrap();
        store.slow_down();
        fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).times(1);
        let waiting = tokio::spawn({
            let source = source.clone();
            async move { source.token().await }
        });
        advance(seconds).await;
        let logging_in = tokio::spawn({
            let (source, new) = (source.clone(), new.clone());
            async move { source.log_in(new).await }
        });
        tokio::task::yield_now().await;
        for _ in 0..400 {
            let current = source.current();
            assert!(current.is_none_or(|token| token.secret() == new.access_token()), "{seconds} s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(logging_in.await.unwrap().unwrap().secret(), new.access_token());
        let waited = waiting.await.unwrap().unwrap();
        // One who waited when the login came waits for it.
        assert!(seconds > 4 || waited.secret() == new.access_token(), "{seconds} s");
        assert_eq!(source.token().await.unwrap().secret(), new.access_token());
    }
}

/// A refresh that goes on beyond its callers' limit does not hold up a login.
#[tokio::test(start_paused = true)]
async fn a_login_does_not_wait_for_a_refresh_whose_callers_have_given_up() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let builder = fixture.client.source(request()).store(store.clone());
    let source = builder.starting_with(login(&fixture).await).build().unwrap();
    source.token().await.unwrap();
    advance(301).await;
    let new = login(&fixture).await;
    fixture.server.fault(Endpoint::Token, Fault::hang()).times(1);
    assert_eq!(source.token().await.unwrap_err().code(), "timeout");
    let began = tokio::time::Instant::now();
    let token = source.log_in(new.clone()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(token.secret(), new.tokens().access_token());
    advance(100).await;
    assert_eq!(source.token().await.unwrap().secret(), new.tokens().access_token());
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_id_token_does_not_fail_a_refresh() {
    let fixture = fixture();
    let encrypted = "eyJhbGciOiJSU0EtT0FFUCJ9.QUJD.QUJD.QUJD.QUJD";
    let response = |n: usize| {
        let body = json!({"access_token": format!("t{n}"), "token_type": "Bearer", "expires_in": 300,
            "refresh_token": format!("r{n}"), "id_token": encrypted});
        Fault::body(200, "application/json", body.to_string())
    };
    let source = fixture.client.source(grant::refresh_token("r0")).build().unwrap();
    for n in 1..4 {
        fixture.server.fault(Endpoint::Token, response(n)).times(1);
        assert_eq!(source.token().await.unwrap().secret().expose(), format!("t{n}"));
        advance(301).await;
    }
}

#[tokio::test]
async fn a_source_does_not_start_with_what_no_header_can_carry() {
    let fixture = fixture();
    let tokens = json!({"access_token": "a\nb", "refresh_token": "r", "issued_at_ms": 0});
    let tokens: oauth_client::TokenSet = serde_json::from_value(tokens).unwrap();
    let error = fixture.client.source(request()).starting_with(tokens).build().unwrap_err();
    assert_eq!(error.code(), "malformed_response");
}

#[tokio::test(start_paused = true)]
async fn a_login_is_stored_before_its_token_is_returned() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let persisted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&persisted);
    let source = fixture
        .client
        .source(request())
        .store(store.clone())
        .on_event(move |event| {
            if matches!(event, oauth_client::source::Event::Persisted) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        })
        .build()
        .unwrap();
    source.log_in(login(&fixture).await).await.unwrap();
    assert_eq!(persisted.load(Ordering::SeqCst), 1);
    let error =
        oauth_client::TokenSource::fixed("t").unwrap().log_in(login(&fixture).await).await.unwrap_err();
    assert_eq!(error.code(), "unsupported");
}

/// A login whose token has expired when it is issued, or so the server says.
async fn stillborn(fixture: &Fixture, refresh_token: Option<&str>) -> Login {
    let mut body =
        json!({"access_token": "st1llborn", "token_type": "Bearer", "expires_in": 0, "scope": "read"});
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = refresh_token.into();
    }
    fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", body.to_string())).times(1);
    login(fixture).await
}

#[tokio::test(start_paused = true)]
async fn a_logins_token_that_expires_at_once_is_used_once_and_asks_for_no_second_login() {
    let fixture = fixture();
    let store = MemoryStore::new();
    for start in 1..=2 {
        let source = fixture.client.source(request()).store(store.clone()).build().unwrap();
        assert!(source.token().await.unwrap_err().is_reauthorization_required(), "start {start}");
        source.log_in(stillborn(&fixture, None).await).await.unwrap();
        // The API is called.
        assert_eq!(source.token().await.unwrap().secret().expose(), "st1llborn");
        for _ in 0..3 {
            assert!(source.token().await.unwrap_err().is_reauthorization_required());
            advance(60).await;
        }
        assert_eq!(fixture.count(Endpoint::Token), start, "nothing but the logins");
    }
    // A source that begins with the login.
    let login = stillborn(&fixture, None).await;
    let source = fixture.client.source(request()).starting_with(login).build().unwrap();
    assert_eq!(source.token().await.unwrap().secret().expose(), "st1llborn");
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
}

#[tokio::test(start_paused = true)]
async fn a_logins_token_that_an_api_rejected_is_not_used_once_more() {
    // While it is being taken up, and after that.
    for at_once in [true, false] {
        let fixture = fixture();
        let this: Arc<std::sync::OnceLock<oauth_client::TokenSource>> = Arc::default();
        let of_hook = Arc::clone(&this);
        let hook = move |event: &oauth_client::source::Event| {
            if let (oauth_client::source::Event::Refreshed { generation }, true) = (event, at_once) {
                assert!(of_hook.get().unwrap().reject(*generation));
            }
        };
        let source = fixture.client.source(request()).on_event(hook).build().unwrap();
        this.get_or_init(|| source.clone());
        let token = source.log_in(stillborn(&fixture, None).await).await.unwrap();
        if !at_once {
            assert!(source.reject(token.generation()));
        }
        assert!(source.token().await.unwrap_err().is_reauthorization_required(), "at once: {at_once}");
    }
}

/// As of GitHub's OAuth apps: no `expires_in`, no refresh token.
#[tokio::test(start_paused = true)]
async fn a_logins_token_without_an_end_is_used_until_it_is_refused() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let body = json!({"access_token": "l0ng", "token_type": "bearer", "scope": "read"});
    fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", body.to_string())).times(1);
    let source = || fixture.client.source(request()).store(store.clone());
    let first = source().build().unwrap();
    first.log_in(login(&fixture).await).await.unwrap();
    for _ in 0..3 {
        advance(30 * 24 * 3600).await;
        assert_eq!(first.token().await.unwrap().secret().expose(), "l0ng");
        assert_eq!(
            source().build().unwrap().token().await.unwrap().secret().expose(),
            "l0ng",
            "the next start"
        );
    }
    let limited = source().default_lifetime(Duration::from_secs(3600)).build().unwrap();
    assert!(limited.token().await.unwrap_err().is_reauthorization_required(), "what is configured counts");
    assert!(first.reject(first.token().await.unwrap().generation()));
    assert!(first.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), 1, "the login");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_means_unknown_by_zero_has_its_token_used_on() {
    let fixture = fixture();
    let unknown = oauth_client::dialect::standard().zero_lifetime_is_unknown();
    let client = crate::support::builder(&fixture.server, &fixture.clock).provider(unknown).build().unwrap();
    let body = json!({"access_token": "l0ng", "token_type": "Bearer", "expires_in": 0, "scope": "read"});
    fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", body.to_string())).times(1);
    let pending = client.authorize(&request()).await.unwrap();
    let callback = fixture.log_in(&pending);
    let login = client.finish(pending, callback).await.unwrap();
    let source = client.source(request()).starting_with(login).build().unwrap();
    for _ in 0..5 {
        assert_eq!(source.token().await.unwrap().secret().expose(), "l0ng");
        advance(600).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_servers_own_words_asks_for_a_login_and_locks_nobody_out() {
    for body in [
        json!({"error": "bad_refresh_token"}),
        json!({"error": "unauthorized_client", "error_description": "refresh_token is invalid"}),
        json!({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}),
    ] {
        let fixture = fixture();
        let store = MemoryStore::new();
        let source = fixture.client.source(request()).store(store.clone()).build().unwrap();
        source.log_in(login(&fixture).await).await.unwrap();
        advance(301).await;
        fixture
            .server
            .fault(Endpoint::Token, Fault::body(403, "application/json", body.to_string()))
            .times(1);
        let error = source.token().await.unwrap_err();
        assert!(error.is_reauthorization_required(), "{body}: {error}");
        // The next start is clean, without a file to delete.
        let next = fixture.client.source(request()).store(store).build().unwrap();
        let sent = fixture.count(Endpoint::Token);
        assert!(next.token().await.unwrap_err().is_reauthorization_required());
        assert_eq!(fixture.count(Endpoint::Token), sent, "the dead token is not sent again");
        next.log_in(login(&fixture).await).await.unwrap();
        next.token().await.unwrap();
    }
}
