//! Where revocations come from besides the guard's own endpoints: one trait for all sources.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod dynamic;
mod file;
mod memory;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::dynamic::SharedFeed;
pub use self::file::FileFeed;
pub use self::memory::MemoryFeed;
use super::Revocation;

/// A source of revocations that a guard follows: a store that several guards share, a file, a message queue.
///
/// A reader begins without a position, reads batches until one is [complete](Batch::complete), and goes on reading from the
/// position of the last batch for as long as it lives. What is published between two reads comes with a later one, so nothing
/// is missed between the snapshot and the changes, nor over a reconnect. The guard drives this: it retries failed reads with
/// growing waits, at most 2 seconds and, in the first 15 seconds, at most half the [interval](Self::interval), and
/// reads from the beginning when a position is lost. Entries that come twice are harmless, in any order.
///
/// `oauth_guard::revocation::conformance` (feature `testing`) checks an implementation.
///
/// ```
/// use oauth_guard::revocation::{Batch, FeedError, Position, Revocation, RevocationFeed};
///
/// /// A fixed list.
/// #[derive(Debug)]
/// struct Fixed(Vec<Revocation>);
///
/// impl RevocationFeed for Fixed {
///     async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
///         if after.is_some() {
///             std::future::pending::<()>().await; // nothing changes
///         }
///         Ok(Batch::new(self.0.clone(), Position::new("end")))
///     }
///
///     async fn publish(&self, _: &[Revocation]) -> Result<(), FeedError> {
///         Err(FeedError::read_only())
///     }
///
///     fn interval(&self) -> Option<std::time::Duration> {
///         None // it is never out of date
///     }
/// }
/// ```
pub trait RevocationFeed: fmt::Debug + Send + Sync + 'static {
    /// The next revocations.
    ///
    /// `None` begins with what is in force now, as a snapshot or as a history; it may come in several batches.
    /// Otherwise it returns those that came after `after`, or the next part of the snapshot. When there is nothing new
    /// it waits for something, and returns an empty, complete batch after [`interval`](Self::interval) at the latest,
    /// which says that the source still answers.
    ///
    /// It is cancelled by dropping its future: what was not returned must come again with the next read.
    ///
    /// # Errors
    /// [`FeedError::position_lost`] when `after` means nothing any more, for example because the store was emptied; any other
    /// error when the source does not answer.
    fn read(&self, after: Option<&Position>) -> impl Future<Output = Result<Batch, FeedError>> + Send;

    /// Makes revocations known to every reader, those that begin later included, until they [end](Revocation::ends_at). It
    /// returns when they are stored: a reader that begins to read then gets them.
    ///
    /// # Errors
    /// [`FeedError::read_only`] when this source takes none; any other error when they are not stored, or not known to be.
    fn publish(&self, revocations: &[Revocation]) -> impl Future<Output = Result<(), FeedError>> + Send;

    /// The longest time that a read waits when nothing is new. The source counts as away when no read has succeeded for
    /// this time plus [`max_stale`](super::RevocationSettings::max_stale). `None`: the source is never out of date once
    /// it was read. By default 1 second.
    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    /// Names the place that is read: equal for all feeds that read the same place, and for no others. By default `None`,
    /// which says nothing.
    ///
    /// With it, a [reload](crate::Guard::reload) with another feed of the same place knows that nothing was missed, and
    /// goes on serving while the place is read again; other new feeds are read to their end first.
    fn identity(&self) -> Option<String> {
        None
    }

    /// What log and health call it. By default the name of its type.
    fn name(&self) -> String {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name).to_owned()
    }
}

impl<F: RevocationFeed> RevocationFeed for Arc<F> {
    fn read(&self, after: Option<&Position>) -> impl Future<Output = Result<Batch, FeedError>> + Send {
        (**self).read(after)
    }

    fn publish(&self, revocations: &[Revocation]) -> impl Future<Output = Result<(), FeedError>> + Send {
        (**self).publish(revocations)
    }

    fn interval(&self) -> Option<Duration> {
        (**self).interval()
    }

    fn identity(&self) -> Option<String> {
        (**self).identity()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// A place in a [feed](RevocationFeed), in the feed's own terms: everything before it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(String);

impl Position {
    /// A position that the feed understands when it comes back to it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one [read](RevocationFeed::read) returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Batch {
    /// The revocations, in no particular order. At most some thousands, so that they are taken over without a pause.
    pub revocations: Vec<Revocation>,
    /// Where the next read goes on.
    pub position: Position,
    /// Whether everything that the source knew when the read began was returned by now.
    pub complete: bool,
}

impl Batch {
    /// A batch after which the reader knows all that the source knows.
    pub fn new(revocations: Vec<Revocation>, position: Position) -> Self {
        Self { revocations, position, complete: true }
    }

    /// A batch after which more is at hand.
    pub fn partial(revocations: Vec<Revocation>, position: Position) -> Self {
        Self { revocations, position, complete: false }
    }
}

/// Why a feed could not be read, or did not take a revocation.
#[derive(Debug)]
pub struct FeedError {
    kind: FeedErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FeedErrorKind {
    Unavailable,
    PositionLost,
    ReadOnly,
}

impl FeedError {
    /// The source does not answer, or says something that cannot be read. `message` is for log and health: no secret belongs
    /// in it.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FeedErrorKind::Unavailable, message: message.into(), source: None }
    }

    /// The position means nothing any more; the reader begins again, and keeps what it has.
    #[must_use]
    pub fn position_lost() -> Self {
        let message = "the position is no longer known; the source is read from the beginning".to_owned();
        Self { kind: FeedErrorKind::PositionLost, message, source: None }
    }

    /// The source takes no revocations.
    #[must_use]
    pub fn read_only() -> Self {
        let message = "the source is read only".to_owned();
        Self { kind: FeedErrorKind::ReadOnly, message, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether it is [`position_lost`](Self::position_lost).
    #[must_use]
    pub fn is_position_lost(&self) -> bool {
        self.kind == FeedErrorKind::PositionLost
    }

    /// Whether it is [`read_only`](Self::read_only).
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.kind == FeedErrorKind::ReadOnly
    }
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FeedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
