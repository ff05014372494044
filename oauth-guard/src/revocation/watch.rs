//! For connections that outlive their first request: is the token still good, and when does it end?

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::Clock;

use crate::claims::Claims;
use crate::guard::Guard;

/// Why a token is no longer accepted, from [`Guard::watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenEnd {
    /// Its lifetime is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// Its key was withdrawn, or its issuer removed or changed by a reload.
    Untrusted,
}

/// How often the clock, the keys and the configuration are looked at: none of them wakes anybody.
const LOOKS: Duration = Duration::from_secs(10);

impl<T> Claims<T> {
    /// Whether the token was revoked since: for WebSockets and gRPC streams, which outlive the check of their request. It reads
    /// a list in memory, without a lock. [`Guard::watch`] waits for it.
    ///
    /// ```
    /// use oauth_guard::Claims;
    ///
    /// fn next_message(claims: &Claims, message: &str) -> Option<String> {
    ///     (!claims.is_revoked()).then(|| format!("{message} for {}", claims.subject().unwrap_or("a client")))
    /// }
    /// ```
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.verified().issuer.revocations.is_revoked(self.verified())
    }
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// Waits until the token is no longer accepted: at once when it is revoked, in the second in which it ends, and within ten
    /// seconds when its key is withdrawn or its issuer changes.
    ///
    /// Many may wait: one costs a few hundred bytes, and a revocation wakes those whose tokens it may meet. A future that is
    /// dropped leaves nothing behind.
    ///
    /// ```
    /// use oauth_guard::{Claims, Guard};
    ///
    /// async fn stream(guard: Guard, claims: Claims) {
    ///     let mut ended = std::pin::pin!(guard.watch(&claims));
    ///     loop {
    ///         tokio::select! {
    ///             why = &mut ended => break println!("the stream is closed: {why:?}"),
    ///             () = send_next_message() => {}
    ///         }
    ///     }
    /// }
    /// # async fn send_next_message() {}
    /// ```
    pub fn watch(&self, claims: &Claims<T>) -> impl Future<Output = TokenEnd> + Send + use<T> {
        let (guard, verified) = (self.clone(), Arc::clone(claims.verified()));
        async move {
            let list = Arc::clone(&verified.issuer.revocations);
            let clock = Arc::clone(&guard.snapshot().clock);
            // Before the list is looked at: what is revoked in between wakes it.
            let watcher = list.watch(&verified);
            loop {
                if list.is_revoked(&verified) {
                    return TokenEnd::Revoked;
                }
                let is_in_force = verified.issuer.is_in_force(guard.snapshot().generation);
                if !is_in_force || !verified.is_key_trusted() {
                    return TokenEnd::Untrusted;
                }
                let left = Duration::from_secs(verified.ends_at()).saturating_sub(clock.now().wall);
                if left.is_zero() {
                    return TokenEnd::Expired;
                }
                tokio::select! {
                    () = watcher.woken() => {}
                    () = tokio::time::sleep(left.min(LOOKS)) => {}
                }
            }
        }
    }
}
