//! Writing a token set to its store: before anybody sees it, and on in the background when that fails.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Event;
use super::engine::Engine;
use crate::error::{Error, Kind};
use crate::retry::{after_failures, between_attempts};
use crate::store::{Revision, StoreError, Swap, dynamic};
use crate::token::TokenSet;

/// How long a token is kept from its callers because its store will not take it, and how long one call to a store may
/// take.
pub(super) const STORE_PATIENCE: Duration = Duration::from_secs(3);

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
    if let Ok(Some(revision)) = tokio::time::timeout(STORE_PATIENCE, trying).await {
        engine.tell(Event::Persisted);
        return Some(revision);
    }
    let error = store_error(last.unwrap_or_else(too_slow));
    engine.tell(Event::StoreFailed { error });
    tokio::spawn(keep_trying(Arc::downgrade(engine), tokens.clone(), expected));
    expected
}

/// Removes an entry whose grant is lost. A newer one that somebody else has put there stays.
pub(super) async fn remove(
    engine: &Arc<Engine>,
    store: &dyn dynamic::TokenStore,
    expected: Option<Revision>,
) {
    let removed = within(store.compare_and_swap(&engine.settings.key, expected, None)).await;
    if let Err(error) = removed {
        engine.tell(Event::StoreFailed { error: store_error(error) });
    }
}

/// Bounds one call to a store.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STORE_PATIENCE, call).await.unwrap_or_else(|_| Err(too_slow()))
}

pub(super) fn store_error(error: StoreError) -> Error {
    let (what, source) = error.into_parts();
    Error::new(Kind::Store { what, source })
}

fn too_slow() -> StoreError {
    StoreError::new(format!("no answer within {STORE_PATIENCE:?}; check that it is up"))
}

/// One write. We hold the lease, so a revision we did not expect is of somebody who wrote without it, or of a write of
/// our own whose answer was lost: ours is the newest set the server gave out, and replaces it.
async fn write(
    engine: &Engine,
    store: &dyn dynamic::TokenStore,
    tokens: &TokenSet,
    expected: &mut Option<Revision>,
) -> Result<Revision, StoreError> {
    let key = &engine.settings.key;
    loop {
        match within(store.compare_and_swap(key, *expected, Some(tokens))).await? {
            Swap::Done(revision) => return Ok(revision),
            Swap::Conflict => *expected = within(store.load(key)).await?.map(|stored| stored.revision),
        }
    }
}

/// Goes on until the set is written, replaced by a newer one, or nobody uses the source any more.
async fn keep_trying(engine: Weak<Engine>, tokens: TokenSet, expected: Option<Revision>) {
    for failures in 1.. {
        tokio::time::sleep(after_failures(failures)).await;
        let Some(engine) = engine.upgrade() else { return };
        let Some(store) = engine.settings.store.clone() else { return };
        if !engine.holds(tokens.access_token()) {
            return;
        }
        match within(store.compare_and_swap(&engine.settings.key, expected, Some(&tokens))).await {
            Ok(Swap::Done(revision)) => {
                engine.persisted(tokens.access_token(), revision);
                engine.tell(Event::Persisted);
                return;
            }
            // Without the lease, somebody else's newer entry is not ours to replace.
            Ok(Swap::Conflict) => return,
            Err(error) => engine.tell(Event::StoreFailed { error: store_error(error) }),
        }
    }
}
