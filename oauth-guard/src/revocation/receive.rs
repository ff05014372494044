//! Validates logout tokens and security events with the configuration in force, whatever brings them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::statement::{Statement, StatementError, StatementKind};
use crate::defaults::{LEEWAY, REVOKED_TOKEN_LIFETIME};
use crate::guard::{Guard, WeakGuard};
use crate::keys::Arrival;
use crate::snapshot::Snapshot;

/// Validates statements. The guard does, without its type of claims.
pub(crate) trait Judge: Send + Sync {
    fn judge<'a>(
        &'a self,
        text: &'a str,
        kind: StatementKind,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Statement, StatementError>> + Send + 'a>>;
}

impl<T: Send + Sync + 'static> Judge for WeakGuard<T> {
    fn judge<'a>(
        &'a self,
        text: &'a str,
        kind: StatementKind,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Statement, StatementError>> + Send + 'a>> {
        Box::pin(async move {
            let Some(guard) = self.upgrade() else {
                return Err(StatementError::Unavailable(Duration::from_secs(1)));
            };
            let snapshot = Arc::clone(&*guard.snapshot());
            snapshot.statement(text, kind, arrival).await
        })
    }
}

/// Validates one that any caller may have sent, with the configuration that is in force now.
pub(super) async fn validate<T: Send + Sync + 'static>(
    guard: &Guard<T>,
    text: &str,
    kind: StatementKind,
) -> Result<Statement, StatementError> {
    let snapshot = Arc::clone(&*guard.snapshot());
    let arrival = Arrival { at: snapshot.clock.now().monotonic, may_fetch: false };
    snapshot.statement(text, kind, arrival).await
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// Follows the sources of the configuration that is in force.
    pub(crate) fn follow_revocations(&self) {
        let snapshot = self.snapshot();
        let _ = snapshot.feeds.judge.set(Box::new(self.downgrade()));
        snapshot.feeds.configure(
            &snapshot.revocation,
            snapshot.assembler.http.as_ref(),
            snapshot.longest_token(),
        );
    }
}

impl<T> Snapshot<T> {
    /// For how long a token can be accepted after a revocation, as far as the configuration says it.
    fn longest_token(&self) -> Duration {
        let rules = || self.issuers.values().map(|issuer| &issuer.rules);
        // The clock of its issuer may be ahead by the leeway, and the token is accepted for the leeway longer.
        let accepted = |lifetime: Duration, leeway: Duration| {
            lifetime.saturating_add(leeway.saturating_mul(2)).saturating_add(Duration::from_secs(1))
        };
        if let Some(longest) = self.revocation.longest_token {
            // Issuers that are resolved may have any leeway; theirs is the usual one.
            let resolved = self.tenants.is_some().then_some(LEEWAY);
            let leeway = rules().map(|rules| rules.leeway).chain(resolved).max();
            return accepted(longest, leeway.unwrap_or_default());
        }
        let mut longest = Duration::ZERO;
        for rules in rules() {
            let Some(age) = rules.max_token_age else { return REVOKED_TOKEN_LIFETIME };
            longest = longest.max(accepted(age, rules.leeway));
        }
        // Those that are resolved may have any.
        if self.tenants.is_some() { longest.max(REVOKED_TOKEN_LIFETIME) } else { longest }
    }
}
