//! Writing a token set to its store: before any caller sees it, and on in the background when that fails.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::engine::Engine;
use super::lease::renewing;
use super::writes::Underway;
use crate::error::Error;
use crate::retry::{after_failures, between_attempts};
use crate::store::{Lease, Revision, StoreError, Stored, Swap, dynamic};
use crate::token::{Secret, TokenSet};

/// How long a token is kept from its callers because its store will not take it, and how long one call to a store may
/// take.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a write is tried for a source that has no holder any more: for about an hour.
const MAX_TRIES_ALONE: u32 = 60;

/// How many writes in a row may conflict with another writer.
pub(super) const MAX_CONFLICTS: u32 = 3;

/// A token set on its way into the store.
pub(super) struct Write<'a> {
    pub(super) tokens: &'a TokenSet,
    /// The revision it takes the place of.
    pub(super) expected: Option<Revision>,
    /// Whose place it takes when it turns out that another writer came in between.
    pub(super) over: Over,
    /// The lease under which it is written. While a user's set is only in memory, no other process may refresh: the
    /// store still has the refresh token that is spent.
    pub(super) lease: Option<Arc<Lease>>,
}

/// What a set may be written over.
#[derive(Clone)]
pub(super) enum Over {
    /// Whatever is there and not newer: the grant can be asked for again.
    Anything,
    /// Whatever is there, too: it is a new login. `seen` says whether it is known what was there before it.
    Login { seen: bool },
    /// The set that was refreshed with this refresh token. Anything else is of a login that came meanwhile, without
    /// the lease, and stays.
    Predecessor(Secret),
}

/// Where a set is after it was to be written.
pub(super) struct Place {
    pub(super) revision: Option<Revision>,
    /// A set that was obtained later, under another lease, is there instead.
    pub(super) newer: Option<TokenSet>,
}

/// Writes a new token set. When the store does not take it in time, it is released all the same: reported, and
/// tried again in the background. What another try does not mend is not waited for.
pub(super) async fn persist(engine: &Arc<Engine>, store: &dyn dynamic::TokenStore, what: Write<'_>) -> Place {
    let Write { tokens, expected, over, lease } = what;
    let mut last = None;
    let trying = async {
        let mut expected = expected;
        for attempt in 0.. {
            match write(engine, store, tokens, &over, &mut expected).await {
                Ok(written) => return Some(written),
                Err(error) if error.is_permanent() => {
                    last = Some(error);
                    return None;
                }
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(between_attempts(attempt)).await;
        }
        None
    };
    match tokio::time::timeout(STORE_TIMEOUT, trying).await {
        Ok(Some(Written::Ours(revision))) => {
            engine.emit_persisted();
            return Place { revision: Some(revision), newer: None };
        }
        Ok(Some(Written::Theirs(theirs))) => {
            tracing::warn!(
                target: "oauth_client",
                "another login, a later refresh or a log-out has taken the entry meanwhile, and stays there"
            );
            let is_news = theirs.tokens.is_fenced_after(tokens) && !theirs.tokens.is_ended();
            return match is_news {
                true => Place { revision: Some(theirs.revision), newer: Some(theirs.tokens) },
                false => Place { revision: expected, newer: None },
            };
        }
        _ => {}
    }
    engine.emit_store_failure(&store_error(last.unwrap_or_else(too_slow)));
    let lease = lease.filter(|_| engine.request.grant().renewal().needs_a_person());
    engine.keep_lease(lease.as_ref());
    let writing = keep_trying(Arc::clone(engine), engine.writes.begin(), tokens.clone(), over, expected);
    tokio::spawn(async move { renewing(lease.as_deref(), writing).await });
    Place { revision: expected, newer: None }
}

/// Removes an entry whose grant is gone. A newer one by another process stays. A failure has been reported
/// when it is returned.
pub(super) async fn remove(
    engine: &Arc<Engine>,
    store: &dyn dynamic::TokenStore,
    expected: Revision,
) -> Result<(), Error> {
    let removed = within(store.compare_and_swap(&engine.settings.key, Some(expected), None)).await;
    removed.map(drop).map_err(|error| reported(engine, error))
}

/// The failure of a store, reported.
pub(super) fn reported(engine: &Engine, error: StoreError) -> Error {
    let error = store_error(error);
    engine.emit_store_failure(&error);
    error
}

/// Bounds one call to a store.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STORE_TIMEOUT, caught(call)).await.unwrap_or_else(|_| Err(too_slow()))
}

/// Calls a store, and again after failures that this may mend, as long as one call may take.
pub(super) async fn tried<T, F>(mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut last = None;
    let trying = async {
        for attempt in 0.. {
            match caught(call()).await {
                Ok(done) => return Some(done),
                Err(error) if error.is_permanent() => {
                    last = Some(error);
                    return None;
                }
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(between_attempts(attempt)).await;
        }
        None
    };
    match tokio::time::timeout(STORE_TIMEOUT, trying).await {
        Ok(Some(done)) => Ok(done),
        _ => Err(last.unwrap_or_else(too_slow)),
    }
}

pub(super) fn store_error(error: StoreError) -> Error {
    Error::new(error.into_kind())
}

/// A store is foreign code. When it panics, that must not throw away the tokens that the server has just given out.
async fn caught<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let mut call = pin!(call);
    let panicked = || StoreError::new("it panicked; the panic's message says where");
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}

pub(super) fn conflicts() -> StoreError {
    StoreError::new(
        "each write meets a conflict; check that compare_and_swap knows the revisions that load gives",
    )
}

fn too_slow() -> StoreError {
    StoreError::new(format!("no response within {STORE_TIMEOUT:?}; check that it is up"))
}

enum Written {
    Ours(Revision),
    /// Another set that counts more is there, or a log-out.
    Theirs(Box<Stored>),
    NotYet,
}

/// One write under the lease. An unexpected revision is by a write of our own whose response was lost, or by a writer
/// without the lease. That nothing is there any more is no log-out, which would be there: the store has lost the entry,
/// and while it stays empty, a process that has the spent refresh token in memory may send it.
async fn write(
    engine: &Engine,
    store: &dyn dynamic::TokenStore,
    tokens: &TokenSet,
    over: &Over,
    expected: &mut Option<Revision>,
) -> Result<Written, StoreError> {
    let key = &engine.settings.key;
    for _ in 0..MAX_CONFLICTS {
        match within(store.compare_and_swap(key, *expected, Some(tokens))).await? {
            Swap::Done(revision) => return Ok(Written::Ours(revision)),
            Swap::Conflict => match within(store.load(key)).await? {
                Some(stored) if stored.tokens == *tokens => return Ok(Written::Ours(stored.revision)),
                Some(stored) if !over.includes(&stored.tokens, tokens) => {
                    return Ok(Written::Theirs(Box::new(stored)));
                }
                stored => *expected = stored.map(|stored| stored.revision),
            },
        }
    }
    Err(conflicts())
}

impl Over {
    fn includes(&self, stored: &TokenSet, ours: &TokenSet) -> bool {
        match self {
            Self::Login { .. } => true,
            Self::Anything => !stored.is_newer_than(ours),
            // It came since the entry was looked at.
            Self::Predecessor(_) if stored.is_ended() => stored.ends(ours) == Some(false),
            // Or what a holder of an earlier lease, who was paused, has written late.
            Self::Predecessor(used) => {
                stored.refresh_token() == Some(used)
                    || ours.is_fenced_after(stored) && !ours.is_of_another_user(stored)
            }
        }
    }

    /// Whether what is stored counts more than ours, which is written late.
    fn loses_to(&mut self, stored: &TokenSet, ours: &TokenSet) -> bool {
        match self {
            Self::Login { seen: false } if stored.is_ended() => stored.ends_by_date(ours),
            _ if stored.is_ended() => stored.ends(ours) != Some(false),
            // What was there before the login, since it could not be looked at then.
            Self::Login { seen: seen @ false } => {
                *seen = true;
                false
            }
            Self::Anything | Self::Login { .. } => {
                stored.is_of_another_user(ours) || stored.is_newer_than(ours)
            }
            // Not by the dates: the wall clock may have been stepped back in between.
            Self::Predecessor(_) => !self.includes(stored, ours),
        }
    }
}

/// Goes on until the set is written or replaced by a newer one. It keeps the source alive while it has no other holder, for
/// a while: what it alone knows may be all that is left of a login.
async fn keep_trying(
    engine: Arc<Engine>,
    mut underway: Underway,
    tokens: TokenSet,
    mut over: Over,
    mut expected: Option<Revision>,
) {
    let Some(store) = engine.settings.store.clone() else { return };
    let mut tries_alone = 0;
    for failures in 1.. {
        underway.pause(after_failures(failures)).await;
        tries_alone = if Arc::strong_count(&engine) > 1 { 0 } else { tries_alone + 1 };
        if tries_alone > MAX_TRIES_ALONE {
            return;
        }
        let (is_held, is_unseen) = engine.ledger(|ledger| (ledger.holds(&tokens), ledger.is_unseen()));
        if !is_held {
            return;
        }
        if let Over::Login { seen } = &mut over {
            *seen = !is_unseen;
        }
        match write_if_newer(&engine, &*store, &tokens, &mut over, &mut expected).await {
            Ok(Written::Ours(revision)) => {
                engine.ledger(|ledger| ledger.persisted(&tokens, revision));
                engine.emit_persisted();
                return;
            }
            Ok(Written::Theirs(_)) => return,
            Ok(Written::NotYet) => {
                engine.ledger(|ledger| ledger.see(expected));
            }
            Err(error) => engine.emit_store_failure(&store_error(error)),
        }
    }
}

/// One write in the background: an entry by another process since then is not replaced, nor is a log-out; an older one
/// is, and one that the store has lost is there again.
async fn write_if_newer(
    engine: &Engine,
    store: &dyn dynamic::TokenStore,
    tokens: &TokenSet,
    over: &mut Over,
    expected: &mut Option<Revision>,
) -> Result<Written, StoreError> {
    let key = &engine.settings.key;
    if let Swap::Done(revision) = within(store.compare_and_swap(key, *expected, Some(tokens))).await? {
        return Ok(Written::Ours(revision));
    }
    Ok(match within(store.load(key)).await? {
        // Written by an earlier try that was thought to have failed.
        Some(stored) if stored.tokens == *tokens => Written::Ours(stored.revision),
        Some(stored) if over.loses_to(&stored.tokens, tokens) => Written::Theirs(Box::new(stored)),
        stored => {
            *expected = stored.map(|stored| stored.revision);
            Written::NotYet
        }
    })
}
