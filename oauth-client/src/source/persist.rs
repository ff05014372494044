//! Writing a token set to its store: before any caller sees it, and on in the background when that fails.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::Event;
use super::engine::Engine;
use crate::error::{Error, Kind};
use crate::retry::{after_failures, between_attempts};
use crate::store::{Revision, StoreError, Swap, dynamic};
use crate::token::TokenSet;

/// How long a token is kept from its callers because its store will not take it, and how long one call to a store may
/// take.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a write is tried for a source that has no holder any more: for about an hour.
const MAX_TRIES_ALONE: u32 = 60;

/// How many writes in a row may conflict with another writer.
const MAX_CONFLICTS: u32 = 3;

/// Writes a new token set. When the store does not take it in time, it is released all the same: reported, and
/// tried again in the background.
pub(super) async fn persist(
    engine: &Arc<Engine>,
    store: &dyn dynamic::TokenStore,
    tokens: &TokenSet,
    expected: Option<Revision>,
) -> Option<Revision> {
    let mut last = None;
    let trying = async {
        let mut expected = expected;
        for attempt in 0.. {
            match write(engine, store, tokens, &mut expected).await {
                Ok(revision) => return Some(revision),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(between_attempts(attempt)).await;
        }
        None
    };
    if let Ok(Some(revision)) = tokio::time::timeout(STORE_TIMEOUT, trying).await {
        engine.emit(Event::Persisted);
        return Some(revision);
    }
    let error = store_error(last.unwrap_or_else(too_slow));
    engine.emit(Event::StoreFailed { error });
    tokio::spawn(keep_trying(Arc::clone(engine), tokens.clone(), expected));
    expected
}

/// Removes an entry whose grant is gone. A newer one by another process stays. A failure has been reported
/// when it is returned.
pub(super) async fn remove(
    engine: &Arc<Engine>,
    store: &dyn dynamic::TokenStore,
    expected: Option<Revision>,
) -> Result<(), Error> {
    let removed = within(store.compare_and_swap(&engine.settings.key, expected, None)).await;
    removed.map(drop).map_err(|error| {
        let error = store_error(error);
        engine.emit(Event::StoreFailed { error: error.clone() });
        error
    })
}

/// Bounds one call to a store.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STORE_TIMEOUT, caught(call)).await.unwrap_or_else(|_| Err(too_slow()))
}

pub(super) fn store_error(error: StoreError) -> Error {
    let (what, source) = error.into_parts();
    Error::new(Kind::Store { what, source })
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

fn too_slow() -> StoreError {
    StoreError::new(format!("no response within {STORE_TIMEOUT:?}; check that it is up"))
}

/// One write. We hold the lease, so an unexpected revision is by a writer without the lease, or by a write
/// of our own whose response was lost: ours is the newest set the server gave out, and replaces it.
async fn write(
    engine: &Engine,
    store: &dyn dynamic::TokenStore,
    tokens: &TokenSet,
    expected: &mut Option<Revision>,
) -> Result<Revision, StoreError> {
    let key = &engine.settings.key;
    for _ in 0..MAX_CONFLICTS {
        match within(store.compare_and_swap(key, *expected, Some(tokens))).await? {
            Swap::Done(revision) => return Ok(revision),
            Swap::Conflict => match within(store.load(key)).await? {
                Some(stored) if stored.tokens == *tokens => return Ok(stored.revision),
                stored => *expected = stored.map(|stored| stored.revision),
            },
        }
    }
    Err(StoreError::new(
        "each write meets a conflict; check that compare_and_swap knows the revisions that load gives",
    ))
}

/// Goes on until the set is written or replaced by a newer one. It keeps the source alive while it has no other holder, for
/// a while: what it alone knows may be all that is left of a login.
async fn keep_trying(engine: Arc<Engine>, tokens: TokenSet, mut expected: Option<Revision>) {
    let Some(store) = engine.settings.store.clone() else { return };
    let mut tries_alone = 0;
    for failures in 1.. {
        tokio::time::sleep(after_failures(failures)).await;
        tries_alone = if Arc::strong_count(&engine) > 1 { 0 } else { tries_alone + 1 };
        if tries_alone > MAX_TRIES_ALONE {
            return;
        }
        if !engine.ledger(|ledger| ledger.holds(tokens.access_token())) {
            return;
        }
        match write_if_newer(&engine, &*store, &tokens, &mut expected).await {
            Ok(Written::Ours(revision)) => {
                engine.ledger(|ledger| ledger.persisted(tokens.access_token(), revision));
                engine.emit(Event::Persisted);
                return;
            }
            Ok(Written::Theirs) => return,
            Ok(Written::NotYet) => {}
            Err(error) => engine.emit(Event::StoreFailed { error: store_error(error) }),
        }
    }
}

enum Written {
    Ours(Revision),
    /// Another set, newer than ours, is there.
    Theirs,
    NotYet,
}

/// One write without the lease: an entry by another process since then is not replaced, an older one is.
async fn write_if_newer(
    engine: &Engine,
    store: &dyn dynamic::TokenStore,
    tokens: &TokenSet,
    expected: &mut Option<Revision>,
) -> Result<Written, StoreError> {
    let key = &engine.settings.key;
    if let Swap::Done(revision) = within(store.compare_and_swap(key, *expected, Some(tokens))).await? {
        return Ok(Written::Ours(revision));
    }
    Ok(match within(store.load(key)).await? {
        // Written by an earlier try that was thought to have failed.
        Some(stored) if stored.tokens == *tokens => Written::Ours(stored.revision),
        Some(stored) if stored.tokens.issued_at() > tokens.issued_at() => Written::Theirs,
        stored => {
            *expected = stored.map(|stored| stored.revision);
            Written::NotYet
        }
    })
}
