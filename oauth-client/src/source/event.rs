//! The events of a source, for observers.

use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;

/// What a caller wants called with each event.
pub(super) type Hook = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that happened in a [`TokenSource`](super::TokenSource). It holds no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server gave a new token.
    Refreshed {
        /// The new token's generation.
        generation: u64,
    },
    /// A token that another source obtained was found in the store and adopted.
    Adopted {
        /// The token's generation in this source.
        generation: u64,
    },
    /// The refresh failed. A token that is still valid stays in use.
    RefreshFailed {
        /// Why, and when it makes sense to try again.
        error: Error,
    },
    /// An API refused a token, and it was dropped.
    Rejected {
        /// The generation that was refused.
        generation: u64,
    },
    /// The token set was written to the store.
    Persisted,
    /// All that the source held was revoked and forgotten. A source that held nothing does not say it.
    Revoked,
    /// The server said that the user logged out, and all that the source held was forgotten
    /// ([`BackchannelLogout`](crate::login::BackchannelLogout)).
    LoggedOut,
    /// The store failed; the token is used all the same, and the write is tried again in the background. A failure that
    /// another try cannot fix ([`StoreError::permanent`](crate::store::StoreError::permanent)) is reported once, until
    /// the store works again.
    StoreFailed {
        /// What failed; its code is `store`.
        error: Error,
    },
}

impl Event {
    /// Logs the event; the names of the fields are stable.
    pub(super) fn log(&self, client: &Client) {
        let (issuer, client_id) = (client.server_id(), client.auth().client_id());
        match self {
            Self::Refreshed { generation } => {
                tracing::debug!(target: "oauth_client", issuer, client_id, generation, "token refreshed");
            }
            Self::Adopted { generation } => {
                tracing::debug!(target: "oauth_client", issuer, client_id, generation, "token adopted from the store");
            }
            // Nothing has gone wrong before the first login.
            Self::RefreshFailed { error }
                if error.is_reauthorization_required() && error.error_response().is_none() =>
            {
                tracing::info!(target: "oauth_client", issuer, client_id, code = error.code(), "a user has to log in");
            }
            Self::RefreshFailed { error } => tracing::warn!(
                target: "oauth_client", issuer, client_id,
                code = error.code(),
                retry_after_ms = error.retry_after().map(|wait| wait.as_millis()),
                error = %error.with_causes(),
                "token refresh failed"
            ),
            Self::Rejected { generation } => {
                tracing::info!(target: "oauth_client", issuer, client_id, generation, "the API rejected the token");
            }
            Self::Persisted => tracing::debug!(target: "oauth_client", issuer, client_id, "token stored"),
            Self::Revoked => tracing::info!(target: "oauth_client", issuer, client_id, "tokens revoked"),
            Self::LoggedOut => {
                tracing::info!(target: "oauth_client", issuer, client_id, event = "log_out", "the user logged out at the server");
            }
            Self::StoreFailed { error } => {
                tracing::warn!(target: "oauth_client", issuer, client_id, code = error.code(), error = %error.with_causes(), "the token store failed");
            }
        }
    }
}
