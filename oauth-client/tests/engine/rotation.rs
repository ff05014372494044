//! Refresh tokens that rotate in responses which are of no other use.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use oauth_client::clock::TestClock;
use oauth_client::store::MemoryStore;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSet, TokenSource, grant};
use tower::service_fn;

use crate::support::{Scripted, advance};

/// A server that takes each refresh token once, gives the next one each time, and spoils what is asked for.
#[derive(Clone, Default)]
struct Rotating(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    calls: usize,
    /// The calls whose responses have a lifetime that is no number.
    spoiled: Vec<usize>,
    reused: bool,
}

impl Rotating {
    fn spoiling(calls: &[usize]) -> Self {
        let server = Self::default();
        server.0.lock().unwrap().spoiled = calls.to_vec();
        server
    }

    fn client(&self, clock: &TestClock) -> Client {
        let state = Arc::clone(&self.0);
        let http = HttpClient::from_service(service_fn(move |request: Request<RequestBody>| {
            let state = Arc::clone(&state);
            async move {
                let form = request.into_body().collect().await.unwrap().to_bytes();
                let mut state = state.lock().unwrap();
                let expected = format!("refresh_token=r{}", state.calls);
                state.reused |= !form.split(|byte| *byte == b'&').any(|pair| pair == expected.as_bytes());
                state.calls += 1;
                let n = state.calls;
                let lifetime = if state.spoiled.contains(&n) { r#""soon""# } else { "300" };
                let response = format!(
                    r#"{{"access_token":"a{n}","token_type":"Bearer","expires_in":{lifetime},"refresh_token":"r{n}"}}"#
                );
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(response))))
            }
        }));
        Client::builder()
            .token_endpoint("https://auth.example.com/token")
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(http)
            .clock(clock.clone())
            .build()
            .unwrap()
    }

    fn was_reused(&self) -> bool {
        self.0.lock().unwrap().reused
    }
}

/// A login with the first refresh token.
fn login() -> TokenSet {
    TokenSet::new("a0").with_refresh_token("r0").with_lifetime(Duration::from_secs(300))
}

fn source(client: &Client, store: Scripted) -> TokenSource {
    client.source(grant::refresh_token("r0").subject("alice")).store(store).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_came_with_a_malformed_response_is_the_one_that_is_sent_next() {
    for spoiled in [&[1][..], &[2], &[1, 2], &[2, 3]] {
        let server = Rotating::spoiling(spoiled);
        let client = server.client(&TestClock::new());
        let source = client.source(grant::refresh_token("r0")).build().unwrap();
        for _ in 0..5 {
            let _ = source.token().await;
            advance(301).await;
        }
        assert!(source.token().await.is_ok(), "{spoiled:?}");
        assert!(!server.was_reused(), "{spoiled:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_outlives_the_process() {
    for spoiled in [1, 2] {
        let (server, clock) = (Rotating::spoiling(&[spoiled]), TestClock::new());
        let store = Scripted::default();
        let before = source(&server.client(&clock), store.clone());
        for call in 1..=spoiled {
            assert_eq!(before.token().await.is_ok(), call != spoiled);
            advance(301).await;
        }
        let written = store.last_written().unwrap();
        assert_eq!(written.refresh_token().unwrap().expose(), format!("r{spoiled}"));
        drop(before);
        let after = source(&server.client(&clock), store);
        assert_eq!(after.token().await.unwrap().secret().expose(), format!("a{}", spoiled + 1));
        assert!(!server.was_reused());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_still_good_stays_in_use_meanwhile() {
    let server = Rotating::spoiling(&[2]);
    let client = server.client(&TestClock::new());
    let store = MemoryStore::new();
    let source =
        client.source(grant::refresh_token("r0").subject("alice")).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    // Inside the margin: the refresh that this starts fails.
    advance(290).await;
    assert_eq!(source.token().await.unwrap().secret().expose(), "a1");
    advance(1).await;
    assert_eq!(source.token().await.unwrap().secret().expose(), "a1");
    advance(60).await;
    assert_eq!(source.token().await.unwrap().secret().expose(), "a3");
    assert!(!server.was_reused());
}

/// The access token stays the same when a derived source refreshes, and when a response is of no other use.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_written_late_does_not_bring_back_a_spent_refresh_token() {
    for derives in [true, false] {
        let spoiled = if derives { &[][..] } else { &[1] };
        let (server, clock, store) = (Rotating::spoiling(spoiled), TestClock::new(), Scripted::default());
        let before = source(&server.client(&clock), store.clone());
        store.script().writes.failures = usize::MAX;
        before.log_in(login()).await.unwrap();
        advance(60).await;
        store.script().writes.failures = 0;
        match derives {
            true => drop(before.for_scope(["read"]).unwrap().token().await.unwrap()),
            false => assert_eq!(before.refresh_now().await.unwrap_err().code(), "malformed_response"),
        }
        // Longer than the write waits for its next try.
        advance(120).await;
        before.settle().await.unwrap();
        drop(before);
        advance(301).await;
        assert!(source(&server.client(&clock), store).token().await.is_ok(), "derives: {derives}");
        assert!(!server.was_reused(), "derives: {derives}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_had_expired_goes_on_with_what_its_refresh_token_has_become() {
    for has_store in [false, true] {
        let (server, clock) = (Rotating::spoiling(&[1]), TestClock::new());
        let builder = server.client(&clock).source(grant::refresh_token("another").subject("alice"));
        let builder = if has_store { builder.store(MemoryStore::new()) } else { builder };
        let source = builder.build().unwrap();
        let expired = login().with_issued_at(Duration::from_secs(1));
        assert_eq!(source.log_in(expired).await.unwrap_err().code(), "malformed_response");
        advance(120).await;
        assert_eq!(source.token().await.unwrap().secret().expose(), "a2", "with a store: {has_store}");
        assert!(!server.was_reused(), "with a store: {has_store}");
    }
}
