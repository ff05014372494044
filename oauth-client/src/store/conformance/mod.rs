//! What every store has to do, as a suite that any store can run: those of this library, and one of your own.
//!
//! ```
//! use oauth_client::store::{MemoryStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), conformance::Violation> {
//! let store = MemoryStore::new();
//! // Each call opens the same store once more, as another process would.
//! let report = conformance::check(async || store.clone()).await?;
//! assert!(report.passed().contains(&"an entry is replaced only by who knows its revision"));
//! # Ok(()) }
//! ```
//!
//! [`check`] covers entries, leases, fencing and behaviour under concurrency; [`check_outage`] what happens while the
//! store is away. The suite uses keys of its own, so that it can run beside other entries, takes about a second of real
//! time, and needs a tokio runtime.

mod crowd;
mod entries;
mod leases;
mod outage;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::json;

pub use self::outage::check_outage;
use super::{Revision, StoreError, StoreKey, Swap, TokenStore};
use crate::grant;
use crate::token::TokenSet;

/// How long one call to a store may take; a source waits no longer.
const LONGEST_CALL: Duration = Duration::from_secs(3);

/// A rule that a store breaks.
#[derive(Debug)]
pub struct Violation {
    rule: &'static str,
    found: String,
}

impl Violation {
    /// The rule, in words.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks a rule: {}; found: {}", self.rule, self.found)
    }
}

impl StdError for Violation {}

/// What was checked.
#[derive(Clone, Debug, Default)]
pub struct Report {
    passed: Vec<&'static str>,
    skipped: Vec<&'static str>,
}

impl Report {
    /// The rules that the store keeps.
    #[must_use]
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// The rules about what this store does not offer, such as fencing numbers.
    #[must_use]
    pub fn skipped(&self) -> &[&'static str] {
        &self.skipped
    }

    fn keeps(&mut self, rule: &'static str, kept: bool, found: impl fmt::Debug) -> Result<(), Violation> {
        if !kept {
            return Err(Violation { rule, found: format!("{found:?}") });
        }
        if !self.passed.contains(&rule) {
            self.passed.push(rule);
        }
        Ok(())
    }

    fn skips(&mut self, rule: &'static str) {
        self.skipped.push(rule);
    }
}

/// Checks a store that works. `open` opens it once more, as another process would; a store that is shared within one
/// process gives a clone.
///
/// # Errors
/// The first rule that is broken.
pub async fn check<S: TokenStore>(open: impl AsyncFn() -> S) -> Result<Report, Violation> {
    let mut report = Report::default();
    let (here, there) = (open().await, open().await);
    entries::check(&here, &there, &mut report).await?;
    leases::check(&here, &there, &mut report).await?;
    let mut many = Vec::new();
    for _ in 0..crowd::WRITERS {
        many.push(open().await);
    }
    crowd::check(many, &mut report).await?;
    Ok(report)
}

/// A key that no other run of the suite uses.
fn key(name: &str) -> StoreKey {
    let run = getrandom::u64().unwrap_or_default();
    let request = grant::refresh_token("of the suite").subject(format!("{name} {run:016x}"));
    StoreKey::new("https://conformance.example", "suite", &request)
}

fn tokens(name: &str) -> TokenSet {
    fenced(name, None)
}

/// A token set that has everything that a store could lose.
fn fenced(name: &str, fence: Option<u64>) -> TokenSet {
    let set = json!({
        "access_token": format!("access of {name}"),
        "refresh_token": format!("refresh of {name}"),
        "id_token": format!("id of {name}"),
        "scope": ["read", "wr\u{fc}te"],
        "issued_at_ms": 1_893_456_000_123_u64,
        "lifetime_ms": 300_000,
        "jkt": "thumbprint",
        "sub": "alice",
        "server_date": 1_893_456_000_u64,
        "extra": { "tenant": "\u{fc} \" \\ \u{0}", "large": u64::MAX, "nested": { "list": [1, 2.5, null] } },
    });
    match serde_json::from_value::<TokenSet>(set) {
        Ok(tokens) => TokenSet { fence, ..tokens },
        // What is written above can be read.
        Err(_) => TokenSet::expired("none".into(), 0, None),
    }
}

/// The outcome of a call that must succeed in time.
async fn works<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, Violation> {
    const RULE: &str = "a store that is there answers each call within three seconds";
    match tokio::time::timeout(LONGEST_CALL, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Violation { rule: RULE, found: error.to_string() }),
        Err(_) => Err(Violation { rule: RULE, found: "no answer".to_owned() }),
    }
}

/// The new revision of a write that must not meet a conflict.
fn done(swap: Swap) -> Result<Revision, Violation> {
    match swap {
        Swap::Done(revision) => Ok(revision),
        Swap::Conflict => Err(Violation {
            rule: "a write by who knows the revision is done",
            found: "a conflict, although there is no other writer".to_owned(),
        }),
    }
}
