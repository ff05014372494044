//! Revoked means rejected, from the next request on.

use std::time::Duration;

use http::{Request, header};
use oauth_guard::revocation::{
    FeedError, MemoryFeed, OnOutage, Revocation, RevocationError, RevocationFeed, RevocationSettings,
    TokenEnd,
};
use oauth_guard::{Claims, ClientAuth, Guard, Introspection};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer};
use tokio::time::advance;

use crate::support::{Fixture, call, claims, settle};

const REVOKED: (u16, Option<&str>) = (401, Some("invalid_token"));

fn now(fixture: &Fixture) -> u64 {
    fixture.server.clock().now_unix().try_into().unwrap()
}

/// A token with all that revocations can go by.
fn token(fixture: &Fixture) -> String {
    fixture.server.mint().subject("ada").client_id("shop").claim("sid", "s1").claim("jti", "t1").build()
}

/// Revokes, and returns the status that the next request gets, with the token in the cache and without.
async fn outcome(
    token: impl Fn(&Fixture) -> String,
    revocation: impl Fn(&Fixture) -> Revocation,
) -> [u16; 2] {
    let mut outcomes = [0; 2];
    for (index, status) in outcomes.iter_mut().enumerate() {
        let fixture = Fixture::new();
        let (guard, text) = (fixture.guard(), token(&fixture));
        if index == 0 {
            assert_eq!(call(&guard, &text).await.status, 200);
        }
        guard.revocations().revoke(revocation(&fixture)).await.unwrap();
        let reply = call(&guard, &text).await;
        assert!(reply.status == 200 || reply.summary() == REVOKED, "{reply:?}");
        *status = reply.status;
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn each_kind_meets_its_tokens_cached_or_not_and_no_others() {
    type Make = fn(&Fixture) -> Revocation;
    let table: [(&str, Make, u16); 22] = [
        ("its jti", |f| Revocation::token(f.server.issuer(), "t1"), 401),
        ("another jti", |f| Revocation::token(f.server.issuer(), "t2"), 200),
        ("a session of the name of its jti", |f| Revocation::session(f.server.issuer(), "t1"), 200),
        ("its jti at another issuer", |_| Revocation::token("https://other.example", "t1"), 200),
        ("its sid", |f| Revocation::session(f.server.issuer(), "s1"), 401),
        ("another sid", |f| Revocation::session(f.server.issuer(), "s2"), 200),
        ("its sub until its second", |f| Revocation::subject(f.server.issuer(), "ada", now(f)), 401),
        ("its sub until later", |f| Revocation::subject(f.server.issuer(), "ada", now(f) + 1), 401),
        (
            "its sub until the second before",
            |f| Revocation::subject(f.server.issuer(), "ada", now(f) - 1),
            200,
        ),
        ("another sub", |f| Revocation::subject(f.server.issuer(), "bob", now(f)), 200),
        ("a sub that begins like it", |f| Revocation::subject(f.server.issuer(), "ad", now(f)), 200),
        ("a sub in another case", |f| Revocation::subject(f.server.issuer(), "Ada", now(f)), 200),
        (
            "its sub without a session",
            |f| Revocation::subject_without_session(f.server.issuer(), "ada", now(f)),
            200,
        ),
        ("its client until its second", |f| Revocation::client(f.server.issuer(), "shop", now(f)), 401),
        ("its client until before", |f| Revocation::client(f.server.issuer(), "shop", now(f) - 1), 200),
        ("another client", |f| Revocation::client(f.server.issuer(), "sho", now(f)), 200),
        ("a client of the name of its sub", |f| Revocation::client(f.server.issuer(), "ada", now(f)), 200),
        ("its issuer until its second", |f| Revocation::issuer(f.server.issuer(), now(f)), 401),
        ("its issuer until before", |f| Revocation::issuer(f.server.issuer(), now(f) - 1), 200),
        ("another issuer", |_| Revocation::issuer("https://other.example", u64::MAX), 200),
        ("an issuer that it begins with", |f| Revocation::issuer(&f.server.issuer()[1..], u64::MAX), 200),
        ("one that is over", |f| Revocation::token(f.server.issuer(), "t1").until(now(f)), 200),
    ];
    for (name, revocation, expected) in table {
        assert_eq!(outcome(token, revocation).await, [expected; 2], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_session_or_a_time_is_met_where_it_might_be_meant() {
    let without_session = |f: &Fixture| f.server.mint().subject("ada").build();
    let by_time = |f: &Fixture| Revocation::subject_without_session(f.server.issuer(), "ada", now(f));
    assert_eq!(outcome(without_session, by_time).await, [401; 2]);
    // Tokens without `iat` are accepted in the profile of plain JWTs alone.
    let fixture = Fixture::new();
    let guard = fixture.guard_of(fixture.issuer().profile(oauth_guard::Profile::Jwt));
    let token = fixture.server.mint().subject("ada").without("iat").build();
    assert_eq!(call(&guard, &token).await.status, 200);
    guard.revocations().revoke(Revocation::subject(fixture.server.issuer(), "ada", 1)).await.unwrap();
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn one_token_spelled_in_two_ways_is_revoked_in_both() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let mint = || fixture.server.mint().subject("ada").claim("jti", "t\u{e9}");
    let escaped = fixture
        .server
        .mint()
        .raw_payload(
            serde_json::to_string(&serde_json::json!({
                "iss": fixture.server.issuer(), "aud": "orders-api", "sub": "ada", "client_id": "svc",
                "iat": now(&fixture), "exp": now(&fixture) + 60, "jti": "JTI"
            }))
            .unwrap()
            .replace("JTI", "\\u0074\\u00e9"),
        )
        .build();
    for token in [mint().build(), escaped.clone()] {
        assert_eq!(call(&guard, &token).await.status, 200);
    }
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t\u{e9}")).await.unwrap();
    for token in [mint().build(), escaped] {
        assert_eq!(call(&guard, &token).await.summary(), REVOKED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_opaque_token_is_revoked_on_the_next_request() {
    let server = MockServer::builder()
        .audience("orders-api")
        .client(MockClient::new("svc").secret("s3cr3t"))
        .client(MockClient::new("app").secret("s3cr3t").scopes(["read"]).opaque_tokens())
        .in_process();
    let fixture = Fixture { server, clock: oauth_guard::clock::TestClock::new() };
    let asked = Introspection::new(ClientAuth::basic("svc", "s3cr3t"));
    let guard = fixture.guard_of(fixture.issuer().introspection(asked));
    let issued = fixture.server.issue("app", "ada", "read").unwrap();
    assert_eq!(call(&guard, &issued.access_token).await.status, 200);
    let revocation = Revocation::subject(fixture.server.issuer(), "ada", now(&fixture));
    guard.revocations().revoke(revocation).await.unwrap();
    assert_eq!(call(&guard, &issued.access_token).await.summary(), REVOKED);
    // A user who logs in again is let in: the revocation is about tokens of before.
    advance(Duration::from_secs(1)).await;
    let again = fixture.server.issue("app", "ada", "read").unwrap();
    assert_eq!(call(&guard, &again.access_token).await.status, 200);
}

/// Its authorization server goes on calling it active: a response without `exp` counts for a while and is then asked for
/// again, and with one the leeway counts too.
#[tokio::test(start_paused = true)]
async fn an_opaque_token_that_was_revoked_by_its_claims_stays_revoked() {
    for exp in [None, Some(60)] {
        let server = MockServer::builder()
            .audience("orders-api")
            .client(MockClient::new("svc").secret("s3cr3t"))
            .in_process();
        let fixture = Fixture { server, clock: oauth_guard::clock::TestClock::new() };
        let mut response = serde_json::json!({
            "active": true, "sub": "ada", "client_id": "app", "aud": "orders-api", "jti": "o1",
        });
        if let Some(seconds) = exp {
            response["exp"] = (now(&fixture) + seconds).into();
        }
        let response = Fault::body(200, "application/json", response.to_string());
        fixture.server.fault(Endpoint::Introspect, response).always();
        let asked = Introspection::new(ClientAuth::basic("svc", "s3cr3t"));
        let guard = fixture.guard_of(fixture.issuer().introspection(asked));
        let claims = claims(&guard, "opaque-token").await.unwrap();
        guard.revocations().revoke_token(&claims).await.unwrap();
        for _ in 0..8 {
            assert_ne!(call(&guard, "opaque-token").await.status, 200, "{exp:?}");
            advance(Duration::from_secs(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_ends_when_no_token_it_meets_can_be_alive() {
    let fixture = Fixture::new();
    let entries = |guard: &Guard| guard.health().revocations.entries;
    // By what it says.
    let guard = fixture.guard();
    let one = Revocation::token(fixture.server.issuer(), "t1").until(now(&fixture) + 60);
    guard.revocations().revoke(one).await.unwrap();
    advance(Duration::from_secs(59)).await;
    assert_eq!(entries(&guard), 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(entries(&guard), 0);
    // By the maximum age of tokens: an hour, and twice the leeway.
    let guard = fixture.guard_of(fixture.issuer().max_token_age(Duration::from_secs(3600)));
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t1")).await.unwrap();
    advance(Duration::from_secs(3720)).await;
    assert_eq!(entries(&guard), 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(entries(&guard), 0);
    // By a token that lives longer than is configured.
    let settings = RevocationSettings::new().longest_token(Duration::from_secs(60));
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t1")).await.unwrap();
    let long = fixture.server.mint().claim("jti", "t2").expires_in(7200).build();
    assert_eq!(call(&guard, &long).await.status, 200);
    advance(Duration::from_secs(7200)).await;
    assert_eq!(entries(&guard), 1);
    advance(Duration::from_secs(61)).await;
    assert_eq!(entries(&guard), 0);
}

/// A server whose clock is ahead issues a token, and its entry ends no sooner than the token is refused as expired.
#[tokio::test(start_paused = true)]
async fn the_longest_token_that_is_configured_is_revoked_for_as_long_as_it_is_accepted() {
    let fixture = Fixture::new();
    let settings = RevocationSettings::new().longest_token(Duration::from_secs(600));
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    let ahead = fixture.server.clock().now_unix() + 59;
    let text = fixture.server.mint().claim("jti", "t1").issued_at(ahead).expires_at(ahead + 600).build();
    assert_eq!(call(&guard, &text).await.status, 200);
    assert_eq!(guard.health().revocations.longest_token_seconds, 600 + 121, "nothing longer was seen");
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t1")).await.unwrap();
    advance(Duration::from_secs(718)).await;
    assert_eq!(call(&guard, &text).await.summary(), REVOKED);
    assert_eq!(guard.explain(&text).reason, Some("revoked"), "not expired yet");
}

#[tokio::test(start_paused = true)]
async fn requests_sweep_what_ended_and_an_empty_list_costs_nothing_again() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let good = fixture.server.mint().claim("jti", "good").expires_in(900).build();
    for number in 0..500 {
        let one = Revocation::token(fixture.server.issuer(), format!("t{number}")).until(now(&fixture) + 10);
        guard.revocations().revoke(one).await.unwrap();
    }
    advance(Duration::from_secs(11)).await;
    // One request a second; each sweeps its share.
    for _ in 0..64 {
        assert_eq!(call(&guard, &good).await.status, 200);
        advance(Duration::from_secs(1)).await;
    }
    // What the memory holds, without the sweep of `health`.
    assert!(format!("{:?}", guard.revocations()).contains("entries: 0"), "{:?}", guard.revocations());
}

#[tokio::test(start_paused = true)]
async fn a_full_list_takes_no_more_forgets_nothing_and_says_so() {
    let fixture = Fixture::new();
    let settings = RevocationSettings::new().max_entries(3);
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    let (handle, fixed) = (guard.revocations(), &fixture);
    let revoke = async |jti: &str| {
        handle.revoke(Revocation::token(fixed.server.issuer(), jti).until(now(fixed) + 60)).await
    };
    for jti in ["t1", "t2", "t3"] {
        revoke(jti).await.unwrap();
    }
    assert!(matches!(revoke("t4").await, Err(RevocationError::Full)));
    // One that is known takes no room.
    revoke("t1").await.unwrap();
    let health = guard.health().revocations;
    assert_eq!((health.ok, health.entries, health.full, health.refused), (false, 3, true, 1));
    assert_eq!(call(&guard, &token(&fixture)).await.summary(), REVOKED);
    advance(Duration::from_secs(60)).await;
    revoke("t4").await.unwrap();
    let health = guard.health().revocations;
    assert_eq!((health.ok, health.entries, health.full), (true, 1, false));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_without_a_name_is_an_error() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    for one in [
        Revocation::token(fixture.server.issuer(), ""),
        Revocation::issuer("", 1),
        Revocation::session("i", "x".repeat(1025)),
    ] {
        let error = guard.revocations().revoke(one).await.unwrap_err();
        assert!(
            matches!(error, RevocationError::Invalid(_)) && error.to_string().contains(": expected"),
            "{error}"
        );
    }
    let without = fixture.server.mint().claim("jti", "t").build();
    let claims = claims(&guard, &without).await.unwrap();
    guard.revocations().revoke_token(&claims).await.unwrap();
    assert!(claims.is_revoked());
    assert_eq!(guard.health().revocations.entries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_revocations_and_feeds() {
    let fixture = Fixture::new();
    let feed = MemoryFeed::new();
    let settings = RevocationSettings::new().feed(feed.clone());
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    let token = token(&fixture);
    let held = claims(&guard, &token).await.unwrap();
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t1")).await.unwrap();
    guard.reload(Guard::builder().issuer(fixture.issuer().audience("more"))).unwrap();
    assert_eq!(call(&guard, &token).await.summary(), REVOKED);
    assert!(held.is_revoked());
    feed.publish(&[Revocation::session(fixture.server.issuer(), "s9")]).await.unwrap();
    let other = fixture.server.mint().claim("sid", "s9").build();
    settle().await;
    assert_eq!(call(&guard, &other).await.summary(), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn guards_that_share_a_feed_share_revocations_and_a_late_one_serves_nothing_before_it_has_them() {
    let fixture = Fixture::new();
    let feed = MemoryFeed::new();
    let guard = || {
        let settings = RevocationSettings::new().feed(feed.clone());
        fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap()
    };
    let (one, other, token) = (guard(), guard(), token(&fixture));
    for guard in [&one, &other] {
        assert_eq!(call(guard, &token).await.status, 200);
    }
    one.revocations().revoke(Revocation::session(fixture.server.issuer(), "s1")).await.unwrap();
    settle().await;
    for guard in [&one, &other, &guard()] {
        assert_eq!(call(guard, &token).await.summary(), REVOKED);
    }
}

/// A store that can be away.
#[derive(Clone, Debug, Default)]
struct Flaky(MemoryFeed, std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Flaky {
    fn set_away(&self, away: bool) {
        self.1.store(away, std::sync::atomic::Ordering::SeqCst);
    }

    fn reach(&self) -> Result<(), FeedError> {
        let away = self.1.load(std::sync::atomic::Ordering::SeqCst);
        if away { Err(FeedError::unavailable("the store is away")) } else { Ok(()) }
    }
}

impl RevocationFeed for Flaky {
    async fn read(
        &self,
        after: Option<&oauth_guard::revocation::Position>,
    ) -> Result<oauth_guard::revocation::Batch, FeedError> {
        self.reach()?;
        let batch = self.0.read(after).await;
        self.reach()?;
        batch
    }

    async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        self.reach()?;
        self.0.publish(revocations).await
    }
}

/// A feed whose connection is another one with each read.
#[derive(Clone, Debug, Default)]
struct Unsteady(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl RevocationFeed for Unsteady {
    async fn read(
        &self,
        after: Option<&oauth_guard::revocation::Position>,
    ) -> Result<oauth_guard::revocation::Batch, FeedError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match after {
            None => {
                let position = oauth_guard::revocation::Position::new("page 1");
                Ok(oauth_guard::revocation::Batch::partial(Vec::new(), position))
            }
            Some(_) => Err(FeedError::position_lost()),
        }
    }

    async fn publish(&self, _: &[Revocation]) -> Result<(), FeedError> {
        Err(FeedError::read_only())
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_loses_each_position_is_read_with_pauses() {
    let fixture = Fixture::new();
    let feed = Unsteady::default();
    let settings = RevocationSettings::new().feed(feed.clone());
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    assert_eq!(call(&guard, &token(&fixture)).await.status, 503);
    for _ in 0..60 {
        advance(Duration::from_secs(1)).await;
        settle().await;
    }
    let reads = feed.0.load(std::sync::atomic::Ordering::SeqCst);
    assert!((10..200).contains(&reads), "{reads}");
    assert!(!guard.health().revocations.ok);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_feed_means_what_is_configured_and_is_never_silent() {
    for (what, served, ok) in [(OnOutage::Refuse, 503, false), (OnOutage::Serve, 200, true)] {
        let fixture = Fixture::new();
        let feed = Flaky::default();
        let settings =
            RevocationSettings::new().feed(feed.clone()).max_stale(Duration::from_secs(30)).on_outage(what);
        let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
        let token = fixture.server.mint().subject("ada").claim("sid", "s1").expires_in(86400).build();
        assert_eq!(call(&guard, &token).await.status, 200);

        feed.set_away(true);
        advance(Duration::from_secs(20)).await;
        settle().await;
        assert_eq!(call(&guard, &token).await.status, 200, "away for a while");
        for _ in 0..15 {
            advance(Duration::from_secs(1)).await;
            settle().await;
        }
        let reply = call(&guard, &token).await;
        assert_eq!(reply.status, served, "away for too long");
        assert_eq!(reply.retry_after.is_some(), served == 503);
        let health = guard.health();
        assert_eq!(health.ok, ok);
        assert!(!health.revocations.ok);
        let of_feed = &health.revocations.feeds[0];
        assert!(!of_feed.ok && of_feed.failures > 0, "{of_feed:?}");
        assert_eq!(of_feed.last_error.as_deref(), Some("the store is away"));
        // In force here, and the caller learns that it is not elsewhere.
        let error =
            guard.revocations().revoke(Revocation::session("https://a.example", "s")).await.unwrap_err();
        assert!(matches!(error, RevocationError::NotPublished(_)), "{error}");

        // What was revoked meanwhile by others is known within three seconds.
        feed.0.publish(&[Revocation::session(fixture.server.issuer(), "s1")]).await.unwrap();
        feed.set_away(false);
        for _ in 0..3 {
            advance(Duration::from_secs(1)).await;
            settle().await;
        }
        assert_eq!(call(&guard, &token).await.summary(), REVOKED);
        assert!(guard.health().ok && guard.health().revocations.ok);
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_feed_away_from_the_start_refuse_refuses_and_serve_serves() {
    for (what, status) in [(OnOutage::Refuse, 503), (OnOutage::Serve, 200)] {
        let fixture = Fixture::new();
        let feed = Flaky::default();
        feed.set_away(true);
        let settings = RevocationSettings::new().feed(feed.clone()).on_outage(what);
        let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
        assert_eq!(call(&guard, &token(&fixture)).await.status, status);
        feed.set_away(false);
        advance(Duration::from_secs(3)).await;
        settle().await;
        assert_eq!(call(&guard, &token(&fixture)).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watched_token_ends_at_once_when_it_is_revoked() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let held = claims(&guard, &token(&fixture)).await.unwrap();
    let watch = tokio::spawn(guard.watch(&held));
    settle().await;
    assert!(!held.is_revoked() && !watch.is_finished());
    // Others' revocations wake no waiter for good.
    guard.revocations().revoke(Revocation::session(fixture.server.issuer(), "s2")).await.unwrap();
    guard.revocations().revoke(Revocation::subject(fixture.server.issuer(), "ada", 1)).await.unwrap();
    settle().await;
    assert!(!watch.is_finished());
    let before = tokio::time::Instant::now();
    guard.revocations().revoke(Revocation::session(fixture.server.issuer(), "s1")).await.unwrap();
    assert_eq!(watch.await.unwrap(), TokenEnd::Revoked);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(held.is_revoked());
    assert_eq!(guard.watch(&held).await, TokenEnd::Revoked, "already");
    assert_eq!(guard.health().revocations.watchers, 0);
}

#[tokio::test(start_paused = true)]
async fn a_watched_token_ends_with_its_lifetime_its_key_and_its_issuer() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let held = claims(&guard, &fixture.server.mint().expires_in(100).build()).await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(guard.watch(&held).await, TokenEnd::Expired);
    assert_eq!(before.elapsed().as_secs(), 160, "with the leeway");

    let held = claims(&guard, &fixture.server.mint().expires_in(3000).build()).await.unwrap();
    let watch = tokio::spawn(guard.watch(&held));
    settle().await;
    guard.reload(Guard::builder().issuer(fixture.issuer().audience("more"))).unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(watch.await.unwrap(), TokenEnd::Untrusted);
    assert!(before.elapsed().as_secs() <= 10);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_watchers_are_woken_by_one_revocation_and_leave_nothing() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let held: Claims = claims(&guard, &token(&fixture)).await.unwrap();
    let mut watchers: Vec<_> = (0..10_000).map(|_| tokio::spawn(guard.watch(&held))).collect();
    for _ in 0..20 {
        settle().await;
    }
    assert_eq!(guard.health().revocations.watchers, 10_000);
    for dropped in watchers.drain(..5_000) {
        dropped.abort();
    }
    for _ in 0..20 {
        settle().await;
    }
    assert_eq!(guard.health().revocations.watchers, 5_000);
    guard.revocations().revoke(Revocation::issuer(fixture.server.issuer(), now(&fixture))).await.unwrap();
    for watcher in watchers {
        assert_eq!(watcher.await.unwrap(), TokenEnd::Revoked);
    }
    assert_eq!(guard.health().revocations.watchers, 0);
}

/// Two threads send requests while a third revokes: no request that begins after a revocation is accepted.
#[test]
fn no_request_that_begins_after_a_revocation_is_accepted() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const TOKENS: usize = 2_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (fixture, guard) = runtime.block_on(async {
        let fixture = Fixture::new();
        let issuer = fixture.issuer().jwks_json(fixture.server.keys().jwks_json());
        let guard = fixture.guard_of(issuer);
        (fixture, guard)
    });
    let tokens: Vec<_> = (0..TOKENS)
        .map(|number| {
            let text = fixture.server.mint().claim("jti", format!("t{number}")).build();
            Request::get("/").header(header::AUTHORIZATION, format!("Bearer {text}")).body(()).unwrap()
        })
        .collect();
    let is_accepted = |number: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(guard.check(&tokens[number]).resolve()).is_ok()
    };
    assert!((0..TOKENS).step_by(100).all(is_accepted));
    let revoked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..TOKENS {
                let one = Revocation::token(fixture.server.issuer(), format!("t{number}"));
                guard.revocations().revoke_here(&[one]).unwrap();
                revoked.store(number + 1, Ordering::Release);
            }
        });
        for reader in 0..2_usize {
            let (guard, tokens, revoked) = (&guard, &tokens, &revoked);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let mut number = reader;
                while number < TOKENS || revoked.load(Ordering::Acquire) < TOKENS {
                    let known = revoked.load(Ordering::Acquire);
                    let accepted = runtime.block_on(guard.check(&tokens[number % TOKENS]).resolve()).is_ok();
                    assert!(!accepted || number % TOKENS >= known, "{number} of {known} was accepted");
                    number += 2;
                }
            });
        }
    });
    assert!((0..TOKENS).step_by(100).all(|number| !is_accepted(number)));
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_that_a_token_is_revoked() {
    let fixture = Fixture::new();
    let (guard, token) = (fixture.guard(), token(&fixture));
    assert_eq!(guard.explain_fetching(&token).await.reason, None);
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t1")).await.unwrap();
    assert_eq!(guard.explain(&token).reason, Some("revoked"));
    let other = fixture.server.mint().claim("jti", "t2").build();
    assert_eq!(guard.explain(&other).reason, None);
}
