//! Counters through the `metrics` facade; without the feature nothing is counted. Every one names the server and the
//! client, so that two sources of one program can be distinguished.

use std::time::Duration;

use super::Event;
use crate::client::Client;

/// One token request was sent.
pub(super) fn token_request(client: &Client) {
    #[cfg(feature = "metrics")]
    metrics::counter!("oauth_client_token_requests_total", "issuer" => issuer(client), "client_id" => client_id(client))
        .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = client;
}

/// One refresh is over, this long after it began.
pub(super) fn refresh(client: &Client, took: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("oauth_client_refresh_seconds", "issuer" => issuer(client), "client_id" => client_id(client))
        .record(took);
    #[cfg(not(feature = "metrics"))]
    let _ = (client, took);
}

pub(super) fn event(client: &Client, event: &Event) {
    #[cfg(feature = "metrics")]
    {
        let (name, code) = match event {
            Event::Refreshed { .. } => ("refreshed", ""),
            Event::Adopted { .. } => ("adopted", ""),
            Event::RefreshFailed { error } => ("refresh_failed", known(error.code())),
            Event::Rejected { .. } => ("rejected", ""),
            Event::Persisted => ("persisted", ""),
            Event::Revoked => ("revoked", ""),
            Event::LoggedOut => ("log_out", ""),
            Event::StoreFailed { error } => ("store_failed", known(error.code())),
        };
        metrics::counter!(
            "oauth_client_events_total",
            "event" => name, "code" => code, "issuer" => issuer(client), "client_id" => client_id(client)
        )
        .increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (client, event);
}

/// The issuer, or the token endpoint where none is configured.
#[cfg(feature = "metrics")]
fn issuer(client: &Client) -> String {
    client.server_id().to_owned()
}

#[cfg(feature = "metrics")]
fn client_id(client: &Client) -> String {
    client.auth().client_id().to_owned()
}

/// A code that may be a label: a server chooses its own codes, and each new one would be a new time series.
#[cfg(feature = "metrics")]
fn known(code: &str) -> &'static str {
    const KNOWN: [&str; 22] = [
        "access_denied",
        "config",
        "discovery",
        "interrupted",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "malformed_response",
        "rate_limited",
        "reauthorization_required",
        "redirect",
        "secret",
        "server_error",
        "store",
        "temporarily_unavailable",
        "timeout",
        "too_large",
        "transport",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
    ];
    KNOWN.into_iter().find(|known| *known == code).unwrap_or("other")
}
