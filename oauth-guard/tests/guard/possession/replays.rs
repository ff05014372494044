//! A proof is good once: across connections, reloads and the end of its window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oauth_guard::clock::TestClock;
use oauth_guard::defaults::REPLAY_STORE_TIMEOUT;
use oauth_guard::replay::{Insertion, MemoryReplayStore, ProofId, ReplayError, ReplayHealth, ReplayStore};
use oauth_guard::{Dpop, GuardBuilder};
use oauth_mock::{Alg, TestKey};

use super::super::support::settle;
use super::{Bound, ask, reason, request};

#[tokio::test(start_paused = true)]
async fn a_proof_is_good_once_for_its_whole_window() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let now = bound.fixture.server.clock().now_unix();
    // Made for later: it counts as fresh for 65 seconds.
    let proof = bound.proof().claim("iat", now + 5).build();
    assert_eq!(bound.send(&guard, &proof).await.status, 200);
    for second in 0..=65 {
        let why = reason(&guard, &request("DPoP", &bound.token, &[&proof])).await;
        assert_eq!(why, "proof_replayed", "after {second} s");
        assert_eq!(bound.send(&guard, &proof).await.summary(), (401, "DPoP invalid_dpop_proof".to_owned()));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(reason(&guard, &request("DPoP", &bound.token, &[&proof])).await, "proof_too_old");
}

#[tokio::test(start_paused = true)]
async fn key_and_identifier_together_name_a_proof() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let now = bound.fixture.server.clock().now_unix();
    let (one, again) =
        (bound.proof().claim("jti", "a"), bound.proof().claim("jti", "a").claim("iat", now - 7));
    assert_eq!(bound.call(&guard, &one).await.status, 200);
    assert_eq!(bound.call(&guard, &again).await.status, 401, "another proof with the same name");
    // Another client may use the same name; another token of the same client may not.
    let key = TestKey::generate(Alg::Es256);
    let token = bound.fixture.server.mint().bound_to(&key).build();
    let others =
        bound.fixture.server.dpop_proof(&key, "GET", super::URL).access_token_hash(&token).claim("jti", "a");
    assert_eq!(ask(&guard.layer(), request("DPoP", &token, &[&others.build()])).await.status, 200);
    let token = bound.fixture.server.mint().bound_to(&bound.key).build();
    let mine = bound.proof_for(&token).claim("jti", "a").build();
    assert_eq!(ask(&guard.layer(), request("DPoP", &token, &[&mine])).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_reload_forgets_no_proof() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let proof = bound.proof().build();
    assert_eq!(bound.send(&guard, &proof).await.status, 200);
    for dpop in [Dpop::new(), Dpop::new().required(), Dpop::new().replay_capacity(100)] {
        guard.reload(bound.builder().dpop(dpop)).unwrap();
        assert_eq!(bound.send(&guard, &proof).await.status, 401);
    }
    // Not even one that turns DPoP off for a moment.
    guard.reload(bound.builder()).unwrap();
    guard.reload(bound.builder().dpop(Dpop::new())).unwrap();
    assert_eq!(bound.send(&guard, &proof).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_a_longer_window_lets_no_used_proof_pass_again() {
    let of = |seconds| Dpop::new().max_age(Duration::from_secs(seconds));
    for between in [None, Some(of(300)), Some(of(30))] {
        let bound = Bound::new();
        let guard = bound.guard(of(60));
        let proof = bound.proof().build();
        assert_eq!(bound.send(&guard, &proof).await.status, 200);
        let turned_off = between.is_none();
        guard.reload(between.map_or_else(|| bound.builder(), |dpop| bound.builder().dpop(dpop))).unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        guard.reload(bound.builder().dpop(of(600))).unwrap();
        for _ in 0..30 {
            let why = reason(&guard, &request("DPoP", &bound.token, &[&proof])).await;
            assert!(matches!(&*why, "proof_replayed" | "proof_too_old"), "{why}, {turned_off}");
            tokio::time::advance(Duration::from_secs(20)).await;
        }
    }
    // What is made afterwards has the longer window, and a reload does not take it away.
    let mut bound = Bound::new();
    let end = bound.fixture.server.clock().now_unix() + 7_200;
    bound.token = bound.fixture.server.mint().bound_to(&bound.key).claim("exp", end).build();
    let guard = bound.guard(of(60));
    guard.reload(bound.builder().dpop(of(600))).unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    let proof = bound.proof().build();
    tokio::time::advance(Duration::from_secs(200)).await;
    assert_eq!(bound.send(&guard, &proof).await.status, 200);
    let proof = bound.proof().build();
    tokio::time::advance(Duration::from_secs(500)).await;
    guard.reload(bound.builder().dpop(of(600))).unwrap();
    assert_eq!(bound.send(&guard, &proof).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_requests_with_one_proof_one_is_served() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let proof: Arc<str> = bound.proof().build().into();
    // None of them finds the token in the cache.
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let (layer, token, proof) = (guard.layer(), bound.token.clone(), Arc::clone(&proof));
            tokio::spawn(async move { ask(&layer, request("DPoP", &token, &[&proof])).await.status })
        })
        .collect();
    let mut served = 0;
    for caller in callers {
        match caller.await.unwrap() {
            200 => served += 1,
            status => assert_eq!(status, 401),
        }
    }
    assert_eq!(served, 1);
}

#[tokio::test(start_paused = true)]
async fn guards_that_share_a_store_share_their_proofs() {
    let bound = Bound::new();
    let store = Arc::new(MemoryReplayStore::new(1_000, TestClock::new()).unwrap());
    let shared = || bound.guard(Dpop::new().replay_store(Arc::clone(&store)));
    let (one, two, alone) = (shared(), shared(), bound.guard(Dpop::new()));
    let proof = bound.proof().build();
    assert_eq!(bound.send(&one, &proof).await.status, 200);
    assert_eq!(bound.send(&two, &proof).await.status, 401);
    assert_eq!(bound.send(&alone, &proof).await.status, 200, "without a shared store once at each");
}

#[tokio::test(start_paused = true)]
async fn a_full_store_is_503_and_health_says_so() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new().replay_capacity(64));
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
    // The share of one key is one proof now.
    let answer = bound.call(&guard, &bound.proof()).await;
    assert_eq!((answer.status, answer.challenges().len()), (503, 0));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(
        answer.body,
        r#"{"error":"replay_store_unavailable","error_description":"the access token cannot be checked at the moment"}"#
    );
    assert_eq!(
        reason(&guard, &request("DPoP", &bound.token, &[&bound.proof().build()])).await,
        "replay_store_unavailable"
    );
    let health = guard.health();
    let replay = health.replay.unwrap();
    assert_eq!((replay.ok, replay.entries, replay.capacity, replay.full), (true, Some(1), Some(64), 2));
    assert!(health.ok, "one client's trouble is not the guard's");
    // Other clients, until there is no room at all.
    for n in 0..64 {
        let key = TestKey::generate(Alg::Es256);
        let token = bound.fixture.server.mint().bound_to(&key).build();
        let proof =
            bound.fixture.server.dpop_proof(&key, "GET", super::URL).access_token_hash(&token).build();
        let status = ask(&guard.layer(), request("DPoP", &token, &[&proof])).await.status;
        assert_eq!(status, if n < 63 { 200 } else { 503 }, "{n}");
    }
    let health = guard.health();
    assert!(!health.ok && !health.replay.as_ref().unwrap().ok, "{health:?}");
    let plain = bound.fixture.server.mint().build();
    assert_eq!(
        ask(&guard.layer(), request("Bearer", &plain, &[])).await.status,
        200,
        "bearer tokens need no room"
    );
    tokio::time::advance(Duration::from_secs(70)).await;
    assert!(guard.health().ok);
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
    assert_eq!(bound.builder().build().unwrap().health().replay, None);
}

/// A store of the user's own: asked last, awaited, and trusted with nothing when it is away.
#[derive(Clone, Debug)]
struct Far {
    asked: Arc<AtomicUsize>,
    is_away: bool,
}

impl ReplayStore for Far {
    async fn insert(&self, _: ProofId<'_>, _: Duration) -> Result<Insertion, ReplayError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_away { Err(ReplayError::away("no connection")) } else { Ok(Insertion::Inserted) }
    }

    fn health(&self) -> ReplayHealth {
        if self.is_away { ReplayHealth::away("no connection") } else { ReplayHealth::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_503() {
    let bound = Bound::new();
    for (is_away, expected) in [(false, 200), (true, 503)] {
        let far = Far { asked: Arc::default(), is_away };
        let guard = bound.guard(Dpop::new().replay_store(far.clone()));
        // A new token and a known one.
        for n in 1..=2 {
            assert_eq!(bound.call(&guard, &bound.proof()).await.status, expected);
            assert_eq!(far.asked.load(Ordering::Relaxed), n);
        }
        let replay = guard.health().replay.unwrap();
        assert_eq!((replay.ok, replay.last_error.is_some()), (!is_away, is_away));
        // A caller that goes away meanwhile takes its question along.
        drop(guard.check(&request("DPoP", &bound.token, &[&bound.proof().build()])));
        settle().await;
        assert_eq!(far.asked.load(Ordering::Relaxed), 2);
    }
}

/// A store whose answer never comes, not even that it is away.
#[derive(Clone, Debug)]
struct Silent;

impl ReplayStore for Silent {
    async fn insert(&self, _: ProofId<'_>, _: Duration) -> Result<Insertion, ReplayError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_503_after_three_seconds() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new().replay_store(Silent));
    // A new token and a known one.
    for _ in 0..2 {
        let began = tokio::time::Instant::now();
        let answer = bound.call(&guard, &bound.proof()).await;
        assert_eq!((answer.status, answer.challenges().len()), (503, 0));
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let description = "the access token cannot be checked at the moment";
        let expected =
            serde_json::json!({"error": "replay_store_unavailable", "error_description": description});
        assert_eq!(body, expected);
        let waited = began.elapsed();
        assert!(waited >= REPLAY_STORE_TIMEOUT, "{waited:?}");
        assert!(waited < REPLAY_STORE_TIMEOUT + Duration::from_millis(10), "{waited:?}");
    }
}

/// A store that counts its questions, may be away, and may have other handles.
#[derive(Clone, Debug)]
struct Counting {
    store: Arc<MemoryReplayStore>,
    asked: Arc<AtomicUsize>,
    is_away: Arc<AtomicBool>,
    place: Option<&'static str>,
}

impl Counting {
    fn new(place: Option<&'static str>) -> Self {
        let store = Arc::new(MemoryReplayStore::new(1_000, TestClock::new()).unwrap());
        Self { store, asked: Arc::default(), is_away: Arc::default(), place }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl ReplayStore for Counting {
    async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return Err(ReplayError::away("no connection"));
        }
        self.store.insert(proof, keep).await
    }

    fn identity(&self) -> Option<String> {
        self.place.map(str::to_owned)
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_another_store_forgets_no_proof_of_the_one_before() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let swap = |store: &Counting| {
        guard.reload(bound.builder().dpop(Dpop::new().replay_store(store.clone()))).unwrap();
    };
    let mut used = vec![bound.proof().build()];
    let now = bound.fixture.server.clock().now_unix();
    used.push(bound.proof().claim("iat", now + 5).build());
    for proof in &used {
        assert_eq!(bound.send(&guard, proof).await.status, 200);
    }
    let (one, two) = (Counting::new(Some("one")), Counting::new(Some("two")));
    // Each is used at the store in force, and none is good again at any later one.
    for store in [&one, &two, &one] {
        swap(store);
        for proof in &used {
            assert_eq!(reason(&guard, &request("DPoP", &bound.token, &[proof])).await, "proof_replayed");
        }
        let proof = bound.proof().build();
        assert_eq!(bound.send(&guard, &proof).await.status, 200);
        used.push(proof);
    }
    for _ in 0..70 {
        tokio::time::advance(Duration::from_secs(1)).await;
        for proof in &used {
            assert_eq!(bound.send(&guard, proof).await.status, 401);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replaced_store_is_asked_about_the_proofs_of_its_time_alone() {
    let bound = Bound::new();
    let (old, new) = (Counting::new(Some("old")), Counting::new(Some("new")));
    let guard = bound.guard(Dpop::new().replay_store(old.clone()));
    let early = bound.proof().build();
    guard.reload(bound.builder().dpop(Dpop::new().replay_store(new.clone()))).unwrap();
    // It is away, which is why it was replaced: what it may have seen is not accepted blindly.
    old.is_away.store(true, Ordering::Relaxed);
    assert_eq!(bound.send(&guard, &early).await.status, 503);
    tokio::time::advance(Duration::from_secs(6)).await;
    old.asked();
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
    assert_eq!(old.asked(), 0);
    assert_eq!(bound.send(&guard, &early).await.status, 503);
    old.is_away.store(false, Ordering::Relaxed);
    assert_eq!(bound.send(&guard, &early).await.status, 200, "it was used nowhere");
    assert_eq!(bound.send(&guard, &early).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_another_handle_to_the_same_store_asks_it_once() {
    let bound = Bound::new();
    // Also where the handles have no name, and might lead to two places.
    for place in [Some("redis"), None] {
        let store = Counting::new(place);
        let guard = bound.guard(Dpop::new().replay_store(store.clone()));
        let proof = bound.proof().build();
        assert_eq!(bound.send(&guard, &proof).await.status, 200);
        guard.reload(bound.builder().dpop(Dpop::new().replay_store(store.clone()))).unwrap();
        store.asked();
        assert_eq!(bound.send(&guard, &proof).await.status, 401);
        assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
        assert_eq!(store.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_given_to_the_builder_holds_in_any_order_of_calls() {
    let bound = Bound::new();
    for first in [true, false] {
        let store = Counting::new(None);
        let guard = match first {
            true => bound.builder().replay_store(store.clone()).dpop(Dpop::new()),
            false => bound.builder().dpop(Dpop::new()).replay_store(store.clone()),
        };
        let guard = guard.build().unwrap();
        assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
        assert_eq!(store.asked(), 1, "the store before dpop: {first}");
        // A reload, too.
        guard.reload(bound.builder().replay_store(store.clone()).dpop(Dpop::new())).unwrap();
        assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
        assert_eq!(store.asked(), 1);
    }
}

#[test]
fn no_store_is_left_unused_in_silence() {
    let bound = Bound::new();
    let store = Counting::new(Some("redis"));
    let fields = |builder: GuardBuilder| {
        let error = builder.build().map(|_| ()).unwrap_err();
        error.problems().iter().map(|problem| problem.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(fields(bound.builder().replay_store(store.clone())), ["replay_store"], "without dpop");
    let own = |store: &Counting| Dpop::new().replay_store(store.clone());
    let two = || bound.builder().replay_store(store.clone());
    assert_eq!(fields(two().dpop(own(&Counting::new(Some("other"))))), ["replay_store"], "two places");
    two().dpop(own(&store)).build().unwrap();
}
