//! What a layer was told, and the decisions that follow from it. Every front asks here.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Extensions, HeaderMap, Request, StatusCode, Uri};

use super::body::{Body, Recording};
use super::copy::RequestCopy;
use super::origin::Origin;
use super::policy::{ReplayPolicy, ReplayView};
use crate::error::{Error, printable};
use crate::{AccessToken, TokenSource};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) source: TokenSource,
    pub(super) replay: ReplayPolicy,
    /// Whether each answer tells which token it was had with.
    pub(super) report: bool,
    /// `None`: anywhere.
    origins: Option<Vec<Origin>>,
}

impl Settings {
    pub(super) fn new(source: TokenSource) -> Self {
        Self { source, replay: ReplayPolicy::default(), report: false, origins: None }
    }

    pub(super) fn only_to<O: AsRef<str>>(
        &mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<(), Error> {
        self.origins =
            Some(origins.into_iter().map(|text| Origin::parse(text.as_ref())).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Whether the token may go there at all.
    pub(super) fn check_origin(&self, uri: &Uri) -> Result<(), Error> {
        match &self.origins {
            Some(allowed) if !allowed.iter().any(|origin| origin.is_of(uri)) => Err(astray(uri)),
            _ => Ok(()),
        }
    }

    /// Makes the request ready for the token and, where the policy allows a replay, copies what one would need.
    #[inline]
    pub(super) fn prepare<S: Clone, B>(
        &self,
        request: Request<B>,
        service: &S,
    ) -> (Request<Body<B>>, Option<Spare<S>>)
    where
        B: http_body::Body<Data = Bytes>,
    {
        if self.replay.is_never() {
            return (request.map(Body::new), None);
        }
        self.copied(request, service)
    }

    fn copied<S: Clone, B>(&self, request: Request<B>, service: &S) -> (Request<Body<B>>, Option<Spare<S>>)
    where
        B: http_body::Body<Data = Bytes>,
    {
        let length = request.body().size_hint();
        if !self.replay.allows(&ReplayView::new(request.method(), request.uri(), request.headers(), length)) {
            return (request.map(Body::new), None);
        }
        let recording = Recording::of(request.body());
        let body = recording.clone();
        let spare = Box::new((service.clone(), RequestCopy::of(&request, recording)));
        (request.map(|inner| Body::recorded(inner, body, self.replay.max_body())), Some(spare))
    }

    /// Judges an answer: true when the request is to be sent once more with another token. A refused token is dropped
    /// whether or not its request can be repeated, so that the next one fares better.
    ///
    /// A matcher for a provider's own "expired" would be asked here.
    pub(super) fn wants_replay(
        &self,
        generation: u64,
        status: StatusCode,
        headers: &HeaderMap,
        repeatable: bool,
    ) -> bool {
        refuses_token(status, headers) && self.source.reject(generation) && repeatable
    }

    /// Notes on an answer how it was had, where that was asked for.
    #[inline]
    pub(super) fn note(&self, extensions: &mut Extensions, generation: u64, replayed: bool) {
        if self.report {
            extensions.insert(Attached { generation, replayed });
        }
    }

    /// Waits for the token that replaces the one refused. `None` leaves the API's own answer to stand.
    pub(super) async fn another_token(&self, refused: u64) -> Option<AccessToken> {
        match self.source.token().await {
            Ok(token) if token.generation() != refused => {
                tracing::debug!(
                    refused,
                    generation = token.generation(),
                    "token refused by the API; sending the request once more"
                );
                Some(token)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(
                    refused,
                    code = error.code(),
                    "token refused by the API, and no other can be had"
                );
                None
            }
        }
    }
}

/// How an answer was had: put among its extensions where [`TokenLayer::report`](super::TokenLayer::report) asks for
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// The [generation](AccessToken::generation) of the token that the request carried, the last one if it was sent
    /// twice.
    pub generation: u64,
    /// Whether the request was sent once more because the API refused the first token.
    pub replayed: bool,
}

/// What a replay needs: a service to call, and the request.
pub(super) type Spare<S> = Box<(S, RequestCopy)>;

/// Any `Authorization` that is there already, several even, gives way to ours.
#[inline]
pub(super) fn authorize(headers: &mut HeaderMap, token: &AccessToken) -> Result<(), Error> {
    match headers.try_insert(AUTHORIZATION, token.authorization().clone()) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Error::config("headers", "the request has more headers than fit; send fewer than 24,000"))
        }
    }
}

fn refuses_token(status: StatusCode, headers: &HeaderMap) -> bool {
    // gRPC over HTTP/2 says `Trailers-Only` for an answer without a message: its status is among the headers.
    const UNAUTHENTICATED: &str = "16";
    let is_grpc = || {
        let media_type = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
        media_type.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
    };
    status == StatusCode::UNAUTHORIZED
        || status == StatusCode::OK
            && headers.get("grpc-status").is_some_and(|value| value == UNAUTHENTICATED)
            && is_grpc()
}

fn astray(uri: &Uri) -> Error {
    // Path and query may hold secrets of their own.
    let shown = match (uri.scheme_str(), uri.host()) {
        (Some(scheme), Some(host)) => format!("{scheme}://{host}"),
        _ => "no origin at all".to_owned(),
    };
    let shown = printable(&shown, 256);
    Error::config(
        "only_to",
        format!(
            "the request goes to {shown}, which is not among the origins that get the token; add it there, or send this request without the layer"
        ),
    )
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
            refuses_token(StatusCode::from_u16(status).unwrap(), &headers.collect())
        };
        assert!(refuses(401, &[]));
        assert!(refuses(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")]));
        assert!(refuses(200, &[("grpc-status", "16"), ("content-type", "application/grpc")]));
        assert!(refuses(200, &[("grpc-status", "16"), ("content-type", "Application/gRPC+proto")]));

        assert!(!refuses(403, &[("www-authenticate", "Bearer error=\"insufficient_scope\"")]));
        assert!(!refuses(200, &[("grpc-status", "7"), ("content-type", "application/grpc")]));
        assert!(!refuses(200, &[("grpc-status", "16"), ("content-type", "application/json")]));
        assert!(!refuses(200, &[("grpc-status", "16")]));
        assert!(!refuses(200, &[("content-type", "application/grpc")]), "its status comes in the trailers");
        assert!(!refuses(407, &[]), "that is the proxy's");
    }
}
