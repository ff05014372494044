//! Revoked means rejected: tokens that are within their lifetime and no longer accepted.
//!
//! ```text
//! code      guard.revocations().revoke(…) ──┐
//! logout    POST /backchannel-logout ───────┤                  ┌─▶ every request, cached token or not: 401
//! push      POST /security-events ──────────┼─▶ list in memory ┼─▶ claims.is_revoked()
//! poll      RFC 8936 ───────────────────────┤                  └─▶ guard.watch(&claims)
//! feeds     a file, a store of your own ────┘
//! ```
//!
//! A revocation meets tokens by what they say, never by how they are spelled: by `jti`, by `sub` and time, by `sid`, by client
//! and time, or all of an issuer before a time ([`Revocation`]). It ends when no token that it meets can be alive. The request
//! that begins after a revocation is decided by it; without any, a request reads one word.
//!
//! The list is bounded. A full one takes no more and forgets nothing: whoever revokes gets an error, and
//! [health](crate::Guard::health) says so.
//!
//! ```
//! use oauth_guard::revocation::{Revocation, RevocationSettings};
//! use oauth_guard::{Guard, Issuer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
//!     .revocation(RevocationSettings::new().backchannel_logout("/backchannel-logout").client_id("shop"))
//!     .build()?;
//! guard.revocations().revoke(Revocation::session("https://auth.example.com", "sid-1")).await?;
//! assert_eq!(guard.health().revocations.entries, 1);
//! # Ok(()) }
//! ```

// What is revoked.
mod entry;

// What requests read.
mod list;
mod marks;
mod table;

// Who waits.
mod watch;
mod watchers;

// Where it comes from: code, what authorization servers send, and sources that are followed.
mod endpoint;
mod feed;
mod follow;
mod handle;
mod poll;
mod receive;
mod statement;
mod subject;

mod health;
mod settings;

pub use self::endpoint::{EndpointFuture, RevocationEndpoint};
pub use self::entry::{NAME_BYTES, Revocation, Target};
#[cfg(any(test, feature = "testing"))]
pub use self::feed::conformance;
pub use self::feed::{Batch, FeedError, FileFeed, MemoryFeed, Position, RevocationFeed};
pub(crate) use self::follow::Feeds;
pub use self::handle::{RevocationError, Revocations};
pub use self::health::{FeedHealth, RevocationHealth};
pub(crate) use self::list::{List, Verdict};
pub(crate) use self::marks::Marks;
pub use self::settings::{OnOutage, Poll, RevocationSettings};
pub use self::watch::TokenEnd;
