//! What health says about revocations.

use serde::Serialize;

use super::follow::Feeds;

/// The revocations of a guard.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RevocationHealth {
    /// Whether all that is revoked is known and has room: no source is away for too long, and the list is not full. Where
    /// [`OnOutage::Refuse`](super::OnOutage::Refuse) holds and a source is away, requests are rejected with 503.
    pub ok: bool,
    /// Entries in force.
    pub entries: usize,
    /// Whether the list is full: what comes now is refused.
    pub full: bool,
    /// How many entries found no room since the start.
    pub refused: u64,
    /// How many [watchers](crate::Guard::watch) wait.
    pub watchers: usize,
    /// How long an entry is kept that does not say when it ends, in seconds: the longest lifetime of a token that is
    /// configured or was seen, and the leeway by which tokens are accepted beyond it.
    pub longest_token_seconds: u64,
    /// The sources that are followed.
    pub feeds: Vec<FeedHealth>,
}

/// One source of revocations.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FeedHealth {
    /// Its name.
    pub name: String,
    /// Whether it was read to its end lately: within its interval and `max_stale`.
    pub ok: bool,
    /// Seconds since then. `None` if it never was.
    pub age_seconds: Option<u64>,
    /// Failed reads since the last successful one.
    pub failures: u32,
    /// The message of the last failure, until a read succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How many revocations it brought, again and again included.
    pub received: u64,
}

impl RevocationHealth {
    pub(crate) fn new(feeds: &Feeds) -> Self {
        let now = feeds.clock.now();
        let (entries, refused, full) = feeds.list.count(now);
        let each = feeds.statuses().into_iter().map(|(name, is_late, status)| FeedHealth {
            name,
            ok: !is_late,
            age_seconds: status.contact.map(|contact| now.monotonic.saturating_sub(contact).as_secs()),
            failures: status.failures,
            last_error: status.last_error,
            received: status.received,
        });
        let each: Vec<_> = each.collect();
        Self {
            ok: !full && each.iter().all(|feed| feed.ok),
            entries,
            full,
            refused,
            watchers: feeds.list.watchers.count(),
            longest_token_seconds: feeds.list.longest(),
            feeds: each,
        }
    }
}
