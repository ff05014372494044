//! Sources of tokens that no token endpoint issues.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::source::{FetchRequest, TokenFetcher};
use oauth_client::store::MemoryStore;
use oauth_client::{Client, Error, TokenSet, TokenSource, grant};

use crate::support::{Events, advance, callers};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Counts its calls; each token lives five minutes.
#[derive(Clone, Default)]
struct Counting {
    calls: Arc<AtomicUsize>,
    fails: Arc<AtomicUsize>,
}

impl TokenFetcher for Counting {
    async fn fetch(&self, request: FetchRequest) -> Result<TokenSet, Failure> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if self.fails.load(Ordering::SeqCst) > 0 {
            self.fails.fetch_sub(1, Ordering::SeqCst);
            return Err("the agent is down".into());
        }
        let token = format!("t{call}.{}.{}", request.scope.join("+"), request.resources.join("+"));
        Ok(TokenSet::new(token).with_lifetime(Duration::from_secs(300)))
    }
}

fn client(fetcher: Counting) -> Client {
    Client::fetching("agent", fetcher).clock(TestClock::new()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_crowd_shares_one_fetch_and_each_expiry_costs_one() {
    let fetcher = Counting::default();
    let source = client(fetcher.clone()).source(grant::client_credentials().scope(["read"])).build().unwrap();
    for round in 1..=3 {
        for got in callers(&source, 500).await {
            assert_eq!(got.unwrap().secret().expose(), format!("t{round}.read."));
        }
        advance(301).await;
    }
    assert_eq!(fetcher.calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_its_cause_is_shown() {
    let fetcher = Counting::default();
    fetcher.fails.store(2, Ordering::SeqCst);
    let events = Events::default();
    let builder = client(fetcher.clone()).source(grant::client_credentials()).on_event(events.hook());
    let source = builder.build().unwrap();
    source.token().await.unwrap();
    assert_eq!(fetcher.calls.load(Ordering::SeqCst), 3);

    fetcher.fails.store(usize::MAX, Ordering::SeqCst);
    let error = source.refresh_now().await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("fetch", true));
    assert_eq!(error.to_string(), "no token could be fetched");
    assert!(error.with_causes().to_string().ends_with(": the agent is down"), "{error}");
    assert!(source.current().is_some(), "the token in hand stays");
    assert_eq!(events.take(), ["refreshed 1", "failed fetch"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_ours_is_passed_on() {
    let source =
        TokenSource::from_fn("x", |_| async { Err::<TokenSet, _>(TokenSource::fixed("a\nb").unwrap_err()) });
    assert_eq!(source.unwrap().token().await.unwrap_err().code(), "malformed_response");
    assert!(TokenSource::from_fn("", |_| async { Ok::<_, Error>(TokenSet::new("t")) }).is_err());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_given_up() {
    let client = Client::fetching("agent", Hanging).clock(TestClock::new()).timeout(Duration::from_secs(3));
    let source = client.build().unwrap().source(grant::client_credentials()).build().unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(source.token().await.unwrap_err().code(), "timeout");
    assert_eq!(began.elapsed().as_secs(), 3);
}

/// A fetcher is foreign code: what panics has failed, as if it had said so.
#[tokio::test(start_paused = true)]
async fn one_that_panics_has_failed_and_is_left_alone_for_a_while() {
    let calls = Arc::new(AtomicUsize::new(0));
    let source = TokenSource::from_fn("agent", {
        let calls = Arc::clone(&calls);
        move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            panic!("the fetcher panics, as the test wants it to");
            #[expect(unreachable_code, reason = "it says what the function would return")]
            async {
                Ok::<_, Error>(TokenSet::new("t"))
            }
        }
    })
    .unwrap();
    for got in callers(&source, 10).await {
        let error = got.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("fetch", true), "{error}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3, "as often as any other failure");
    assert!(source.token().await.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the failure counts for a while");
}

struct Hanging;

impl TokenFetcher for Hanging {
    async fn fetch(&self, _: FetchRequest) -> Result<TokenSet, Failure> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_keeps_what_was_fetched_for_the_next_process() {
    let (fetcher, store) = (Counting::default(), MemoryStore::new());
    let source = |fetcher: &Counting| {
        client(fetcher.clone()).source(grant::client_credentials()).store(store.clone()).build()
    };
    let first = source(&fetcher).unwrap().token().await.unwrap();
    let second = source(&fetcher).unwrap().token().await.unwrap();
    assert_eq!(first.secret(), second.secret());
    assert_eq!(fetcher.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn derived_sources_fetch_for_themselves() {
    let fetcher = Counting::default();
    let source = client(fetcher).source(grant::client_credentials()).build().unwrap();
    let vault = source.for_resource("https://vault.test").unwrap().for_scope(["read"]).unwrap();
    assert_eq!(vault.token().await.unwrap().secret().expose(), "t1.read.https://vault.test");
    source.token().await.unwrap();
    let error = source.revoke().await.unwrap_err();
    assert_eq!(error.code(), "config", "{error}");
}

/// A fetcher that brings refresh tokens is asked for the same access with each of them.
#[tokio::test(start_paused = true)]
async fn with_a_refresh_token_the_same_access_is_asked_for() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let fetch = move |request: FetchRequest| {
        let tokens = TokenSet::new("t").with_refresh_token("r").with_lifetime(Duration::from_secs(300));
        log.lock().unwrap().push(request);
        async { Ok::<_, Error>(tokens) }
    };
    let client = Client::fetching("agent", Function(fetch)).clock(TestClock::new()).build().unwrap();
    let request = grant::client_credentials().scope(["read", "write"]).audience("orders");
    let source = client.source(request.resource(["urn:orders"])).build().unwrap();
    source.token().await.unwrap();
    advance(301).await;
    source.token().await.unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    for request in &*asked {
        assert_eq!(request.scope, ["read", "write"]);
        assert_eq!(
            (request.audience.as_deref(), &*request.resources),
            (Some("orders"), &["urn:orders".to_owned()][..])
        );
    }
    let refresh_tokens =
        asked.iter().map(|request| request.refresh_token.as_ref().map(|token| token.expose()));
    assert_eq!(refresh_tokens.collect::<Vec<_>>(), [None, Some("r")]);
}

struct Function<F>(F);

impl<F, Fut> TokenFetcher for Function<F>
where
    F: Fn(FetchRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<TokenSet, Error>> + Send + 'static,
{
    async fn fetch(&self, request: FetchRequest) -> Result<TokenSet, Failure> {
        Ok((self.0)(request).await?)
    }
}

/// Tokens of another library go on where they were.
#[tokio::test(start_paused = true)]
async fn tokens_from_elsewhere_are_taken_over() {
    let fixture = crate::support::fixture();
    let issued = fixture.server.issue("svc", "alice", "read").unwrap();
    let json =
        serde_json::json!({"access_token": issued.access_token, "refresh_token": issued.refresh_token});
    let tokens: TokenSet = serde_json::from_value(json).unwrap();
    let tokens = tokens.with_lifetime(Duration::from_secs(120));
    let source =
        fixture.client.source(grant::login().subject("alice")).starting_with(tokens).build().unwrap();
    assert_eq!(source.token().await.unwrap().secret().expose(), issued.access_token);
    advance(121).await;
    assert_ne!(source.token().await.unwrap().secret().expose(), issued.access_token);
    assert!(!fixture.refresh_token_reused());
}
