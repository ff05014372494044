//! Revoking from code.

use std::fmt;
use std::sync::Arc;

use super::entry::Revocation;
use super::feed::FeedError;
use super::follow::Feeds;
use crate::claims::Claims;
use crate::guard::Guard;

/// What is revoked at a guard, from [`Guard::revocations`]. Cheap to clone; it outlives reloads.
///
/// ```
/// use oauth_guard::revocation::Revocation;
/// use oauth_guard::{Guard, Issuer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
/// // Ada's password changed: her tokens of before that are no longer accepted.
/// guard.revocations().revoke(Revocation::subject("https://auth.example.com", "ada", 1_900_000_000)).await?;
/// assert_eq!(guard.health().revocations.entries, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Revocations(Arc<Feeds>);

impl<T> Guard<T> {
    /// What is revoked at this guard.
    #[must_use]
    pub fn revocations(&self) -> Revocations {
        Revocations(Arc::clone(&self.snapshot().feeds))
    }
}

impl Revocations {
    /// Revokes tokens: at this guard at once, then at all others that share a [feed](super::RevocationFeed). Every request
    /// that begins after the call returned is decided by it, whether its token is cached or not; so is, at this guard,
    /// every request that begins after the returned future was first polled.
    ///
    /// # Errors
    /// [`RevocationError::Full`] and [`RevocationError::Invalid`]: nothing changed. [`RevocationError::NotPublished`]: it is in
    /// force at this guard, every feed was given it, and those that the error names did not confirm it within
    /// [5 seconds](crate::defaults::REVOCATION_PUBLISH_TIMEOUT); try again.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), RevocationError> {
        self.0.revoke(&[revocation]).await
    }

    /// Revokes many at once. Those before the first one that finds no room are in force.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_all(&self, revocations: &[Revocation]) -> Result<(), RevocationError> {
        self.0.revoke(revocations).await
    }

    /// Revokes at this guard alone, without waiting for anything.
    ///
    /// # Errors
    /// [`RevocationError::Full`] and [`RevocationError::Invalid`].
    pub fn revoke_here(&self, revocations: &[Revocation]) -> Result<(), RevocationError> {
        self.0.revoke_here(revocations).map(drop)
    }

    /// Revokes the token of these claims by its `jti`, as a logout handler does.
    ///
    /// # Errors
    /// [`RevocationError::Invalid`] for a token without `jti`, and as [`revoke`](Self::revoke).
    pub async fn revoke_token<T>(&self, claims: &Claims<T>) -> Result<(), RevocationError> {
        let jti = claims.token_id().ok_or(RevocationError::Invalid("token: it has no jti"))?;
        let revocation = Revocation::token(claims.issuer(), jti);
        // What is known of an opaque token is when to ask again, and not until when it is accepted.
        let is_signed = claims.verified().key.is_some();
        self.revoke(if is_signed { revocation.until(claims.ends_at()) } else { revocation }).await
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("entries", &self.0.list.entries()).finish_non_exhaustive()
    }
}

/// Why a revocation is not, or not everywhere, in force.
#[derive(Debug)]
#[non_exhaustive]
pub enum RevocationError {
    /// It could meet no token, and why.
    Invalid(&'static str),
    /// The list is full, see [`max_entries`](super::RevocationSettings::max_entries). Nothing is dropped for a new entry; one
    /// that revokes a whole issuer, client or subject takes the room of one.
    Full,
    /// It is in force at this guard, and the guards that share these feeds may not know of it. All others took it.
    NotPublished(Vec<NotPublished>),
}

/// A feed that did not take a revocation, or did not say so in time.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotPublished {
    /// The feed, as log and health call it.
    pub feed: String,
    /// Why not.
    pub error: FeedError,
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) => f.write_str(problem),
            Self::Full => f.write_str("the list of revocations is full"),
            Self::NotPublished(failed) => {
                let names: Vec<_> = failed.iter().map(|one| one.feed.as_str()).collect();
                let names = names.join(" and ");
                write!(f, "{names} did not take the revocation; it is in force at this guard, try again")
            }
        }
    }
}

impl std::error::Error for RevocationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotPublished(failed) => failed.first().map(|one| &one.error as _),
            Self::Invalid(_) | Self::Full => None,
        }
    }
}
