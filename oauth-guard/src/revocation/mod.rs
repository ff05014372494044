//! Revoked means rejected: tokens that are still within their lifetime and no longer accepted.

#[cfg(any(test, feature = "testing"))]
pub use self::feed::conformance;
mod entry;
mod feed;

pub use self::entry::{NAME_BYTES, Revocation, Target};
pub use self::feed::{Batch, FeedError, MemoryFeed, Position, RevocationFeed};
