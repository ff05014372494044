//! What every [`ReplayStore`] has to do, as a suite to run against one of your own.
//!
//! ```
//! use std::sync::Arc;
//! use oauth_guard::clock::TestClock;
//! use oauth_guard::replay::{MemoryReplayStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryReplayStore::new(100_000, TestClock::new())?);
//! // Each call opens the same store once more, as another process would.
//! let report = conformance::check(async || Arc::clone(&store)).await?;
//! assert!(report.passed().contains(&"a proof is inserted once"));
//! # Ok(()) }
//! ```

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::sleep;

use super::{Insertion, ProofId, ReplayStore};
pub use crate::conformance::{Report, Violation};

/// Longer than the whole suite takes.
const LONG: Duration = Duration::from_secs(600);
/// How long a short entry is kept.
const SHORT: Duration = Duration::from_secs(2);
/// How many callers race for one proof.
const CALLERS: usize = 2_000;

/// Checks a store that works. `open` opens it once more, as another process would; a store that is shared within one process
/// gives a clone. It takes about seven seconds of [tokio's time](tokio::time), which a test may pause where the store reads
/// the same time, needs a tokio runtime and room for some 5,000 proofs of a thousand keys.
///
/// Each run names its proofs differently, so a store may be used again.
///
/// # Errors
/// The first rule that is broken.
pub async fn check<S: ReplayStore>(open: impl AsyncFn() -> S) -> Result<Report, Violation> {
    let handles = [Arc::new(open().await), Arc::new(open().await), Arc::new(open().await)];
    let [first, .., last] = &handles;
    let seed = getrandom::u64().unwrap_or_default();
    let mut suite = Suite { seed, report: Report::of("replay store") };

    suite.rule("a proof is inserted once");
    suite.expect(first, key(1), "once", LONG, Insertion::Inserted).await?;
    suite.expect(first, key(1), "once", LONG, Insertion::Present).await?;

    suite.rule("every handle sees what another has inserted");
    suite.expect(last, key(1), "once", LONG, Insertion::Present).await?;
    suite.expect(last, key(1), "by the last", LONG, Insertion::Inserted).await?;
    suite.expect(first, key(1), "by the last", LONG, Insertion::Present).await?;

    suite.rule("key and identifier both count, to the letter");
    suite.expect(first, key(2), "once", LONG, Insertion::Inserted).await?;
    let long = "x".repeat(230);
    let others = [
        "Once", "once ", " once", "onc", "once\0", "\0once", "once:2", "*", "{1}", "\u{fc}", "u\u{308}",
        "\r\nGET", &long,
    ];
    for jti in others {
        suite.expect(first, key(1), jti, LONG, Insertion::Inserted).await?;
    }
    for jti in others {
        suite.expect(last, key(1), jti, LONG, Insertion::Present).await?;
    }

    suite.rule("of many callers at a time exactly one is first");
    for round in 0..4 {
        suite.race(&handles, round).await?;
    }

    suite.rule("an insertion that its caller gave up has happened or has not");
    for round in 0..20 {
        suite.give_up(first, round).await?;
    }

    suite.rule("entries of one key do not push out those of another");
    for n in 0..1_000 {
        suite.expect(first, key(1_000 + n), "many", LONG, Insertion::Inserted).await?;
    }
    for n in 0..1_000 {
        suite.expect(last, key(1_000 + n), "many", LONG, Insertion::Present).await?;
    }

    suite.rule("an entry lives as long as it was asked to");
    suite.expect(first, key(3), "short", SHORT, Insertion::Inserted).await?;
    suite.expect(first, key(3), "long", LONG, Insertion::Inserted).await?;
    sleep(SHORT * 3 / 4).await;
    suite.expect(last, key(3), "short", SHORT, Insertion::Present).await?;

    suite.rule("a replay does not prolong it, and its identifier is free again after its end");
    // The last try asked for a new end, which would not be over yet.
    sleep(SHORT * 3 / 4).await;
    sleep(SHORT / 2).await;
    suite.expect(first, key(3), "short", SHORT, Insertion::Inserted).await?;
    suite.expect(last, key(3), "long", LONG, Insertion::Present).await?;
    suite.expect(last, key(1), "once", LONG, Insertion::Present).await?;

    suite.rule("a store that works says so");
    let health = first.health();
    if !health.ok {
        return Err(suite.violation(format!("health is {health:?}")));
    }
    Ok(suite.report)
}

struct Suite {
    seed: u64,
    report: Report,
}

impl Suite {
    fn rule(&mut self, rule: &'static str) {
        self.report.begin(rule);
    }

    fn violation(&self, found: String) -> Violation {
        self.report.violation(found)
    }

    /// An identifier that no other run has used.
    fn name(&self, jti: &str) -> String {
        format!("{jti}/{:x}", self.seed)
    }

    async fn insert<S: ReplayStore>(
        &self,
        store: &S,
        key: [u8; 32],
        jti: &str,
        keep: Duration,
    ) -> Result<Insertion, Violation> {
        let name = self.name(jti);
        let outcome = store.insert(ProofId::new(&key, &name), keep).await;
        outcome.map_err(|error| self.violation(format!("{:?} cannot be inserted: {error}", jti)))
    }

    async fn expect<S: ReplayStore>(
        &self,
        store: &S,
        key: [u8; 32],
        jti: &str,
        keep: Duration,
        expected: Insertion,
    ) -> Result<(), Violation> {
        match self.insert(store, key, jti, keep).await? {
            found if found == expected => Ok(()),
            found => Err(self.violation(format!("{jti:?} is {found:?} in place of {expected:?}"))),
        }
    }

    async fn race<S: ReplayStore>(&self, handles: &[Arc<S>], round: usize) -> Result<(), Violation> {
        let name = self.name(&format!("race {round}"));
        let callers: Vec<_> = handles
            .iter()
            .cycle()
            .take(CALLERS)
            .map(|store| {
                let (store, name) = (Arc::clone(store), name.clone());
                tokio::spawn(async move { store.insert(ProofId::new(&key(4), &name), LONG).await })
            })
            .collect();
        let (mut first, mut errors) = (0, BTreeSet::new());
        for caller in callers {
            match caller.await {
                Ok(Ok(Insertion::Inserted)) => first += 1,
                Ok(Ok(Insertion::Present)) => {}
                Ok(Err(error)) => drop(errors.insert(error.to_string())),
                Err(_) => drop(errors.insert("it panicked".to_owned())),
            }
        }
        if first == 1 && errors.is_empty() {
            return Ok(());
        }
        Err(self.violation(format!("{first} of {CALLERS} callers were first; errors: {errors:?}")))
    }

    async fn give_up<S: ReplayStore>(&self, store: &S, round: usize) -> Result<(), Violation> {
        let (key, jti) = (key(5), format!("given up {round}"));
        let name = self.name(&jti);
        {
            let mut insertion = pin!(store.insert(ProofId::new(&key, &name), LONG));
            // A few polls, and then it is dropped wherever it is.
            for _ in 0..round {
                match insertion.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(_) => break,
                    Poll::Pending => tokio::task::yield_now().await,
                }
            }
        }
        let _ = self.insert(store, key, &jti, LONG).await?;
        self.expect(store, key, &jti, LONG, Insertion::Present).await
    }
}

fn key(number: u32) -> [u8; 32] {
    let mut key = [0xa5; 32];
    if let Some(start) = key.first_chunk_mut() {
        *start = number.to_le_bytes();
    }
    key
}
