//! Each rule with the number measured, and beside it a naive client.
//!
//! `cargo test -p tower-oauth-client --test engine table -- --nocapture`

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_client::clock::Clock as _;
use oauth_client::grant::{self, TokenRequest};
use oauth_client::store::MemoryStore;
use oauth_client::{Client, Error, TokenSet};
use oauth_mock::{Endpoint, Fault};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Fixture, LIFETIME, Scripted, advance, callers, fixture};

#[tokio::test(start_paused = true)]
async fn table() {
    println!("\n{:<74} {:>12} {:>12}", "", "TokenSource", "naive");
    herd().await;
    held_back().await;
    revoked().await;
    always_refused().await;
    slow_server().await;
    dropped_callers().await;
    lost_response().await;
    several_processes().await;
    asleep().await;
    failing_store().await;
}

fn row(rule: &str, ours: impl ToString, naive: impl ToString) {
    println!("{rule:<74} {:>12} {:>12}", ours.to_string(), naive.to_string());
}

/// Keeps a token until its time is over, and then every caller requests a new one.
struct Naive {
    client: Client,
    request: Mutex<TokenRequest>,
    held: Mutex<Option<(TokenSet, Duration)>>,
    clock: oauth_client::clock::TestClock,
}

impl Naive {
    fn new(fixture: &Fixture, request: TokenRequest) -> Arc<Self> {
        let client = fixture.client.clone();
        let clock = fixture.clock.clone();
        Arc::new(Self { client, clock, request: Mutex::new(request), held: Mutex::default() })
    }

    async fn token(&self) -> Result<TokenSet, Error> {
        // Rust's Instant, which stands still while a Linux machine sleeps.
        let now = self.clock.now().monotonic;
        let held = self.held.lock().unwrap().clone();
        if let Some((set, _)) = held.filter(|(_, until)| now < *until) {
            return Ok(set);
        }
        let request = self.request.lock().unwrap().clone();
        let set = self.client.request(&request).await?;
        if let Some(rotated) = set.refresh_token() {
            *self.request.lock().unwrap() = grant::refresh_token(rotated.clone());
        }
        *self.held.lock().unwrap() = Some((set.clone(), now + set.lifetime().unwrap()));
        Ok(set)
    }

    fn reject(&self) {
        *self.held.lock().unwrap() = None;
    }

    async fn callers(self: &Arc<Self>, count: usize, rejecting: bool) -> Vec<Result<TokenSet, Error>> {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let naive = Arc::clone(self);
            tasks.spawn(async move {
                if rejecting {
                    naive.reject();
                }
                naive.token().await
            });
        }
        tasks.join_all().await
    }
}

async fn herd() {
    let (fixture, beside) = (fixture(), fixture());
    // A response takes its time: otherwise the first one is back before the second has asked.
    let slow = || Fault::delay(Duration::from_millis(20));
    fixture.server.fault(Endpoint::Token, slow()).always();
    beside.server.fault(Endpoint::Token, slow()).always();
    assert!(callers(&fixture.source(), 10_000).await.iter().all(Result::is_ok));
    let naive = Naive::new(&beside, grant::client_credentials());
    naive.callers(10_000, false).await;
    assert_eq!(fixture.count(Endpoint::Token), 1);
    row(
        "10,000 callers without a token: token requests",
        fixture.count(Endpoint::Token),
        beside.count(Endpoint::Token),
    );
}

async fn held_back() {
    for (kind, fault) in [
        ("30", Fault::status(503).retry_after_secs(30)),
        ("<date>", Fault::status(503).retry_after_date(Duration::from_secs(30))),
    ] {
        let (fixture, beside) = (fixture(), fixture());
        fixture.server.fault(Endpoint::Token, fault.clone()).always();
        beside.server.fault(Endpoint::Token, fault).always();
        let (source, naive) = (fixture.source(), Naive::new(&beside, grant::client_credentials()));
        for _ in 0..30 {
            callers(&source, 50).await;
            naive.callers(50, false).await;
            advance(1).await;
        }
        assert_eq!(fixture.count(Endpoint::Token), 1);
        let rule = format!("50 callers a second, 503 with Retry-After: {kind}, 30 s: token requests");
        row(&rule, fixture.count(Endpoint::Token), beside.count(Endpoint::Token));
    }
}

async fn revoked() {
    let (fixture, beside) = (fixture(), fixture());
    let (source, naive) = (fixture.source(), Naive::new(&beside, grant::client_credentials()));
    let generation = source.token().await.unwrap().generation();
    naive.token().await.unwrap();
    let slow = || Fault::delay(Duration::from_millis(20));
    fixture.server.fault(Endpoint::Token, slow()).always();
    beside.server.fault(Endpoint::Token, slow()).always();
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let source = source.clone();
        tasks.spawn(async move { source.reject(generation) && source.token().await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|fine| fine));
    naive.callers(1000, true).await;
    assert_eq!(fixture.count(Endpoint::Token), 2);
    row(
        "1,000 requests in flight with one revoked token: token requests",
        fixture.count(Endpoint::Token),
        beside.count(Endpoint::Token),
    );
}

async fn always_refused() {
    let (fixture, beside) = (fixture(), fixture());
    let (source, naive) = (fixture.source(), Naive::new(&beside, grant::client_credentials()));
    for _ in 0..1000 {
        source.reject(source.token().await.unwrap().generation());
        naive.token().await.unwrap();
        naive.reject();
    }
    assert_eq!(fixture.count(Endpoint::Token), 11);
    row(
        "an API that refuses 1,000 tokens in a row: token requests",
        fixture.count(Endpoint::Token),
        beside.count(Endpoint::Token),
    );
}

async fn slow_server() {
    let (fixture, beside) = (fixture(), fixture());
    let (source, naive) = (fixture.source(), Naive::new(&beside, grant::client_credentials()));
    source.token().await.unwrap();
    naive.token().await.unwrap();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).always();
    beside.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).always();
    let mut longest = [Duration::ZERO; 2];
    for _ in 0..2 * LIFETIME {
        let began = Instant::now();
        source.token().await.unwrap();
        longest[0] = longest[0].max(began.elapsed());
        let began = Instant::now();
        naive.token().await.unwrap();
        longest[1] = longest[1].max(began.elapsed());
        advance(1).await;
    }
    assert_eq!(longest[0], Duration::ZERO);
    row(
        "a token server that takes 3 s: longest wait of a caller",
        format!("{:?}", longest[0]),
        format!("{:?}", longest[1]),
    );
}

async fn dropped_callers() {
    let mut lost = [0, 0];
    for step in 0..60 {
        let fixture = fixture();
        let source = fixture.client.source(fixture.person()).build().unwrap();
        let naive = Naive::new(&fixture, fixture.person());
        source.token().await.unwrap();
        naive.token().await.unwrap();
        advance(LIFETIME + 1).await;
        fixture.server.fault(Endpoint::Token, Fault::drip(Duration::from_millis(1))).times(2);
        let patience = Duration::from_millis(3 * step);
        let _ = tokio::time::timeout(patience, source.token()).await;
        let _ = tokio::time::timeout(patience, naive.token()).await;
        advance(1).await;
        lost[0] += usize::from(source.token().await.is_err());
        lost[1] += usize::from(naive.token().await.is_err());
    }
    assert_eq!(lost[0], 0);
    row("60 callers gone in the middle of a refresh: logins lost", lost[0], lost[1]);
}

async fn lost_response() {
    let mut revoked = [false, false];
    let fixture = fixture();
    let source = fixture.client.source(fixture.person()).build().unwrap();
    source.token().await.unwrap();
    advance(LIFETIME + 1).await;
    fixture.server.fault(Endpoint::Token, Fault::lost_response()).times(1);
    source.token().await.unwrap_err();
    revoked[0] = fixture.refresh_token_reused();

    let beside = crate::support::fixture();
    let naive = Naive::new(&beside, beside.person());
    naive.token().await.unwrap();
    advance(LIFETIME + 1).await;
    beside.server.fault(Endpoint::Token, Fault::lost_response()).times(1);
    for _ in 0..3 {
        if naive.token().await.is_ok() {
            break;
        }
    }
    revoked[1] = beside.refresh_token_reused();
    assert!(!revoked[0]);
    let times = |reused: bool| if reused { "yes" } else { "no" };
    row(
        "a response lost on the way: refresh token sent twice by the retry",
        times(revoked[0]),
        times(revoked[1]),
    );
}

async fn several_processes() {
    let (fixture, beside) = (fixture(), fixture());
    let (request, store) = (fixture.person(), MemoryStore::new());
    let sources: Vec<_> = (0..20)
        .map(|_| fixture.client.source(request.clone()).store(store.clone()).build().unwrap())
        .collect();
    let request = beside.person();
    let naives: Vec<_> = (0..20).map(|_| Naive::new(&beside, request.clone())).collect();
    let mut logouts = [0, 0];
    for _ in 0..5 {
        for (source, naive) in sources.iter().zip(&naives) {
            logouts[0] += usize::from(source.token().await.is_err());
            logouts[1] += usize::from(naive.token().await.is_err());
        }
        advance(LIFETIME + 1).await;
    }
    assert_eq!((fixture.count(Endpoint::Token), logouts[0]), (5, 0));
    row(
        "20 sources on one store, 5 expiries: token requests",
        fixture.count(Endpoint::Token),
        beside.count(Endpoint::Token),
    );
    row(
        "20 sources on one store, 5 expiries: calls that failed with \"log in again\"",
        logouts[0],
        logouts[1],
    );
}

async fn asleep() {
    let fixture = fixture();
    let (source, naive) = (fixture.source(), Naive::new(&fixture, grant::client_credentials()));
    let before = (source.token().await.unwrap(), naive.token().await.unwrap());
    fixture.clock.suspend(Duration::from_secs(8 * 3600));
    let expired = [
        source.token().await.unwrap().secret() == before.0.secret(),
        naive.token().await.unwrap() == before.1,
    ];
    assert!(!expired[0]);
    row("after 8 h of sleep: expired tokens used", usize::from(expired[0]), usize::from(expired[1]));
}

async fn failing_store() {
    let fixture = fixture();
    let store = Scripted::default();
    store.script().writes.failures = usize::MAX;
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let mut lost = 0;
    for _ in 0..5 {
        lost += usize::from(source.token().await.is_err());
        advance(LIFETIME + 1).await;
    }
    assert_eq!((lost, fixture.count(Endpoint::Token)), (0, 5));
    row("a store that takes nothing, 5 expiries: tokens lost", lost, "-");
}
