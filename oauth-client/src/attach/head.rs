//! What the head of a response says of the token, and the trailers of one with gRPC messages.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::sent::Sent;
use super::settings::Settings;
use crate::dpop::proof_error;
use crate::www_authenticate::Challenge;

/// What the status and the headers of a response say of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Silent,
    Refuses,
    /// A gRPC response with messages: its trailers say it.
    Open,
}

impl Head {
    #[inline]
    pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        match status {
            StatusCode::UNAUTHORIZED if !wants_another_login(headers) => Self::Refuses,
            StatusCode::OK if is_grpc(headers) => Self::of_grpc(headers),
            _ => Self::Silent,
        }
    }

    /// gRPC over HTTP/2 says `Trailers-Only` for a response without a message: its status is among the headers.
    fn of_grpc(headers: &HeaderMap) -> Self {
        match headers.get(GRPC_STATUS) {
            None => Self::Open,
            Some(_) if refuses_by_grpc_status(headers) => Self::Refuses,
            Some(_) => Self::Silent,
        }
    }

    #[inline]
    pub(super) fn refuses(self) -> bool {
        self == Self::Refuses
    }
}

const GRPC_STATUS: &str = "grpc-status";

/// Whether the API wants a more recent or a stronger login (RFC 9470 section 3): the token is valid, and another one of
/// the same login would be refused as well.
#[cold]
fn wants_another_login(headers: &HeaderMap) -> bool {
    let challenges = Challenge::from_headers(headers);
    let says = |code| challenges.iter().any(|challenge| challenge.parameter("error") == Some(code));
    says("insufficient_user_authentication") && !says("invalid_token")
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    media_type.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}

fn refuses_by_grpc_status(headers: &HeaderMap) -> bool {
    const UNAUTHENTICATED: &str = "16";
    headers.get(GRPC_STATUS).is_some_and(|value| value == UNAUTHENTICATED) && !wants_another_login(headers)
}

/// Waits for the trailers of a gRPC response with messages, which say whether the token was refused. It is too late for a
/// replay then, but the next request gets another token.
pub(super) struct TrailersWatch {
    settings: Arc<Settings>,
    generation: u64,
}

impl TrailersWatch {
    /// What a response with this head needs. The response to a replay does not count against the new token.
    #[inline]
    pub(super) fn of(settings: &Arc<Settings>, sent: &Sent, head: Head) -> Option<Self> {
        (head == Head::Open && !sent.replayed)
            .then(|| Self { settings: Arc::clone(settings), generation: sent.generation })
    }

    pub(super) fn observe(self, trailers: &HeaderMap) {
        if refuses_by_grpc_status(trailers) && proof_error(trailers).is_none() {
            self.settings.source.reject(self.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_refused_by_401_and_by_grpc_status_16_alone() {
        let refuses = |status: u16, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)));
            Head::of(StatusCode::from_u16(status).unwrap(), &headers.collect()).refuses()
        };
        assert!(refuses(401, &[]));
        assert!(refuses(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")]));
        assert!(refuses(200, &[("grpc-status", "16"), ("content-type", "application/grpc")]));
        assert!(refuses(200, &[("grpc-status", "16"), ("content-type", "Application/gRPC+proto")]));

        let step_up = r#"Bearer error="insufficient_user_authentication", max_age="60""#;
        assert!(!refuses(401, &[("www-authenticate", step_up)]), "RFC 9470: the token is valid");
        let grpc =
            [("grpc-status", "16"), ("content-type", "application/grpc"), ("www-authenticate", step_up)];
        assert!(!refuses(200, &grpc));
        let both = r#"Bearer error="insufficient_user_authentication", DPoP error="invalid_token""#;
        assert!(refuses(401, &[("www-authenticate", both)]));

        assert!(!refuses(403, &[("www-authenticate", "Bearer error=\"insufficient_scope\"")]));
        assert!(!refuses(200, &[("grpc-status", "7"), ("content-type", "application/grpc")]));
        assert!(!refuses(200, &[("grpc-status", "16"), ("content-type", "application/json")]));
        assert!(!refuses(200, &[("grpc-status", "16")]));
        assert!(!refuses(200, &[("content-type", "application/grpc")]), "its status comes in the trailers");
        assert!(!refuses(407, &[]), "that is the proxy's");
    }
}
