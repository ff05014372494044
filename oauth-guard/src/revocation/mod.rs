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
//! and time, or all of an issuer before a time ([`Revocation`]). It ends when no token that it meets can be valid any
//! more. Every request that begins after a revocation is decided by it; while nothing is revoked, a request reads one
//! word of memory.
//!
//! # What to set up
//!
//! | to end tokens | set up | in force |
//! |---|---|---|
//! | from your own code, such as an admin page | nothing: [`Guard::revocations`](crate::Guard::revocations) | with the next request |
//! | of users who log out at the authorization server | `backchannel_logout` and `client_ids`, and the URL at the server | as soon as the server sends it |
//! | of disabled accounts and changed passwords, by a transmitter that pushes | `security_events` (RFC 8935) | as soon as it is sent |
//! | of the same, by a transmitter that is polled | `poll` (RFC 8936) | within `every_seconds` |
//! | by hand, or by a script | `RevocationSettings::file` | within half a second |
//! | at all replicas of a service | `[redis]` with the package `tower-oauth-guard-redis`, or a [`RevocationFeed`] of your own | at all within a second |
//!
//! In guard.toml, all of it:
//!
//! ```toml
//! [revocation]
//! backchannel_logout = "/backchannel-logout"
//! security_events = "/security-events"
//! client_ids = ["shop"]                   # whom logout tokens and events are for
//! poll = { endpoint = "https://auth.example.com/poll", token = { file = "poll.token" }, every_seconds = 30 }
//! max_stale_seconds = 30                  # how long a source may be away
//! on_outage = "refuse"                    # then 503; "serve" goes on with what is known
//!
//! [redis]                                 # what one replica learns, all learn
//! url = "rediss://redis.example.com:6379"
//! ```
//!
//! With several replicas behind one address, a logout token reaches one of them: without a feed, the others go on accepting
//! the session. A connection that outlives its request, such as a WebSocket, asks `claims.is_revoked()` or waits for
//! [`Guard::watch`](crate::Guard::watch), which resolves when the token ends or is revoked.
//!
//! # What can be lost
//!
//! | what happens | what it means |
//! |---|---|
//! | a guard restarts | what came from code and endpoints is forgotten, unless a feed has it; a feed is read to its end before the first request |
//! | a feed is cut off | the guard catches up a second after it is back, 3 seconds after an outage of more than 15 seconds; beyond `max_stale_seconds`, `on_outage` decides |
//! | a feed does not take a revocation, or not within 5 seconds | it is in force here, all other feeds have it, and the call fails with the names of those that have not; a logout token or an event is answered with 503, so that it comes again |
//! | Redis fails over and loses its last writes | guards that had read them keep them, one that starts later does not know them |
//! | no source reports a revocation | a JWT is accepted until it ends: keep lifetimes short, or ask about each token ([`Introspection`](crate::Introspection)) |
//!
//! # Bounds and errors
//!
//! The list is bounded. A full one takes no more and forgets nothing: the caller that revokes gets an error, and
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
mod publish;
mod receive;
mod statement;
mod subject;

mod explained;
mod health;
mod settings;

pub use self::endpoint::{EndpointFuture, RevocationEndpoint};
pub use self::entry::{NAME_BYTES, Revocation, Target};
pub(crate) use self::feed::SharedFeed;
#[cfg(any(test, feature = "testing"))]
pub use self::feed::conformance;
pub use self::feed::{Batch, FeedError, FileFeed, MemoryFeed, Position, RevocationFeed};
pub(crate) use self::follow::Feeds;
pub use self::handle::{NotPublished, RevocationError, Revocations};
pub use self::health::{FeedHealth, RevocationHealth};
pub(crate) use self::list::{List, Verdict};
pub(crate) use self::marks::Marks;
pub use self::settings::{OnOutage, Poll, RevocationSettings};
pub use self::watch::TokenEnd;
