//! Each thread holds the tokens that it sees most for itself. What ends a token ends it on every thread, with the next request.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};

use http::{Request, header};
use oauth_guard::revocation::Revocation;
use oauth_guard::{Check, Claims, Guard, Rejection, Requirement};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::support::{Fixture, call, send};

const THREADS: usize = 4;

/// Threads that all hold one token.
struct Holders<S> {
    changed: Arc<Barrier>,
    threads: Vec<JoinHandle<S>>,
}

impl<S: Send + 'static> Holders<S> {
    /// Each uses the token until it surely holds it, and will `see` it again when it has changed.
    fn of<T>(guard: &Guard<T>, token: &str, see: impl Fn(Guard<T>, &str) -> S + Copy + Send + 'static) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let (held, changed) = (Arc::new(Barrier::new(THREADS + 1)), Arc::new(Barrier::new(THREADS + 1)));
        let hold = || {
            let (guard, token) = (guard.clone(), token.to_owned());
            let (held, changed) = (Arc::clone(&held), Arc::clone(&changed));
            thread::spawn(move || {
                for _ in 0..500 {
                    check(&guard, &token).unwrap();
                }
                held.wait();
                changed.wait();
                see(guard, &token)
            })
        };
        let threads = (0..THREADS).map(|_| hold()).collect();
        held.wait();
        Self { changed, threads }
    }

    /// What each thread sees with its first request from now on.
    fn see(self) -> Vec<S> {
        self.changed.wait();
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

fn check<T>(guard: &Guard<T>, token: &str) -> Result<Claims<T>, Rejection>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let request =
        Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
    match guard.check(&request) {
        Check::Ready(outcome) => outcome.map(Option::unwrap),
        Check::Pending(_) => panic!("nothing to fetch"),
    }
}

fn outcome(guard: Guard, token: &str) -> Result<(), &'static str> {
    check(&guard, token).map(drop).map_err(|rejection| rejection.reason())
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_the_next_request_of_every_thread() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().claim("jti", "t1").build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let holders = Holders::of(&guard, &token, outcome);
    guard.revocations().revoke(Revocation::token(fixture.server.issuer(), "t1")).await.unwrap();
    assert_eq!(holders.see(), [Err("revoked"); THREADS]);
}

#[tokio::test]
async fn a_token_whose_key_is_withdrawn_is_refused_by_the_next_request_of_every_thread() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let holders = Holders::of(&guard, &token, outcome);
    fixture.server.keys().rotate_abruptly();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200, "which brings the new keys");
    assert_eq!(holders.see(), [Err("key_unknown"); THREADS]);
}

#[tokio::test]
async fn an_expired_token_is_refused_by_the_next_request_of_every_thread() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().expires_in(100).build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let holders = Holders::of(&guard, &token, outcome);
    fixture.clock.step_wall(161);
    assert_eq!(holders.see(), [Err("expired"); THREADS]);
}

#[tokio::test]
async fn a_token_that_a_reload_no_longer_accepts_is_refused_by_the_next_request_of_every_thread() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let holders = Holders::of(&guard, &token, outcome);
    let other = oauth_guard::Issuer::new(fixture.server.issuer()).audience("other-api");
    guard.reload(fixture.builder().issuer(other)).unwrap();
    assert_eq!(holders.see(), [Err("audience_mismatch"); THREADS]);
}

/// What a thread holds stems from one configuration: the same token under the next one is held anew.
#[cfg(feature = "axum")]
#[tokio::test]
async fn a_reload_that_changes_no_issuer_holds_for_tokens_that_threads_hold() {
    use ::axum::extract::FromRequestParts;
    use futures_util::FutureExt;
    use oauth_guard::{Scoped, Scopes};

    struct Write;
    impl Scopes for Write {
        const SCOPES: &[&str] = &["write"];
    }
    fn may_write(guard: Guard, token: &str) -> bool {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.extensions.insert(check(&guard, token).unwrap());
        Scoped::<Write>::from_request_parts(&mut parts, &()).now_or_never().unwrap().is_ok()
    }

    let fixture = Fixture::new();
    let guard = fixture.builder().issuer(fixture.issuer()).dry_run().build().unwrap();
    let token = fixture.server.mint().scope("read").build();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert!(may_write(guard.clone(), &token), "a dry run");
    let holders = Holders::of(&guard, &token, may_write);
    guard.reload(fixture.builder().issuer(fixture.issuer())).unwrap();
    assert_eq!(holders.see(), [false; THREADS]);
}

/// How many of them there are.
static LIVING: AtomicIsize = AtomicIsize::new(0);

struct Living;

impl<'de> Deserialize<'de> for Living {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        LIVING.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The guard ends, the threads do not.
#[tokio::test]
async fn threads_hold_nothing_of_a_guard_that_has_ended() {
    let fixture = Fixture::new();
    let keys = fixture.server.keys().jwks_json();
    let issuer = fixture.issuer().jwks_json(keys);
    let guard = fixture.builder().claims::<Living>().issuer(issuer).build().unwrap();
    let token = fixture.server.mint().build();
    let dropped = Arc::new(Barrier::new(THREADS + 1));
    let (held, waiting) = (Arc::new(Barrier::new(THREADS + 1)), Arc::clone(&dropped));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (guard, token) = (guard.clone(), token.clone());
            let (held, waiting) = (Arc::clone(&held), Arc::clone(&waiting));
            thread::spawn(move || {
                for _ in 0..500 {
                    check(&guard, &token).unwrap();
                }
                drop(guard);
                held.wait();
                waiting.wait();
            })
        })
        .collect();
    held.wait();
    assert!(LIVING.load(Ordering::SeqCst) > 0);
    drop(guard);
    assert_eq!(LIVING.load(Ordering::SeqCst), 0);
    dropped.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// What a held token grants through other scopes is known for as long as the rules are in force.
#[tokio::test]
async fn a_scope_that_no_longer_includes_another_grants_it_to_no_thread() {
    fn may_write(guard: Guard, token: &str) -> u16 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let writers = guard.layer().require(Requirement::scope("write"));
        let authorization = format!("Bearer {token}");
        runtime.block_on(send(&writers, &[authorization.as_bytes()])).status
    }

    let fixture = Fixture::new();
    let guard = fixture.builder().issuer(fixture.issuer()).implies("admin", ["write"]).build().unwrap();
    let token = fixture.server.mint().scope("admin").build();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(Holders::of(&guard, &token, may_write).see(), [200; THREADS]);
    let holders = Holders::of(&guard, &token, may_write);
    guard.reload(fixture.builder().issuer(fixture.issuer())).unwrap();
    assert_eq!(holders.see(), [403; THREADS]);
}
