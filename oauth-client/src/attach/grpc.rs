//! For gRPC clients: bodies as the channel takes them, and a status where there is no token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::body::Body;
use super::error::AttachError;
use super::future::ResponseFuture;
use super::layer::TokenLayer;
use super::service::TokenService;
use crate::error::Error;

impl TokenLayer {
    /// For the channel of a gRPC client. `body` makes the channel's body type of any other: with tonic it is
    /// `tonic::body::Body::new`, and a generated client takes the whole in one line:
    ///
    /// ```text
    /// let mut greeter = GreeterClient::new(TokenLayer::new(source).grpc(tonic::body::Body::new).layer(channel));
    /// ```
    ///
    /// With [`allowed_origins`](Self::allowed_origins), and with tokens that are bound to a key, the client has to know
    /// where it sends: `GreeterClient::with_origin(…, "https://api.example.com")`.
    ///
    /// A call without a token is not sent, and ends with a gRPC status as if the server had sent it, not with an error
    /// that tonic knows nothing of (`Unknown`):
    ///
    /// | status | when |
    /// |---|---|
    /// | 14, `Unavailable` | [waiting helps](Error::is_transient): the authorization server is away or overloaded |
    /// | 16, `Unauthenticated` | [a new login is needed](Error::is_reauthorization_required) |
    /// | 13, `Internal` | anything else, such as an origin that is not allowed or a client that is not registered |
    ///
    /// Its message has the error's [code](Error::code) and nothing else, because servers tend to hand the status of a call
    /// on to their own callers. What happened in detail is in the log: at WARN for a mistake in the configuration, such as a
    /// client without the origin it needs, otherwise at DEBUG.
    #[must_use]
    pub fn grpc<F>(self, body: F) -> GrpcTokenLayer<F> {
        GrpcTokenLayer { layer: self, body }
    }
}

/// Wraps the channel of a gRPC client so that each call leaves with a token. Made by [`TokenLayer::grpc`].
#[derive(Clone)]
pub struct GrpcTokenLayer<F> {
    layer: TokenLayer,
    body: F,
}

impl<S, F: Clone> Layer<S> for GrpcTokenLayer<F> {
    type Service = GrpcTokenService<S, F>;

    fn layer(&self, inner: S) -> GrpcTokenService<S, F> {
        GrpcTokenService(self.layer.layer(GrpcBodies { inner, body: self.body.clone() }))
    }
}

/// The service that [`GrpcTokenLayer`] makes.
#[derive(Clone)]
pub struct GrpcTokenService<S, F>(TokenService<GrpcBodies<S, F>>);

impl<S, F, B, R> Service<Request<B>> for GrpcTokenService<S, F>
where
    GrpcBodies<S, F>: Service<Request<Body<B>>, Response = Response<R>> + Clone,
    B: http_body::Body<Data = Bytes>,
    R: http_body::Body<Data = Bytes>,
{
    type Response = Response<Body<R>>;
    type Error = AttachError<<GrpcBodies<S, F> as Service<Request<Body<B>>>>::Error>;
    type Future = GrpcResponseFuture<ResponseFuture<GrpcBodies<S, F>, B, R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        GrpcResponseFuture { call: self.0.call(request) }
    }
}

/// The channel, with request bodies of another type.
#[derive(Clone)]
pub struct GrpcBodies<S, F> {
    inner: S,
    body: F,
}

impl<S, F, B, C> Service<Request<B>> for GrpcBodies<S, F>
where
    S: Service<Request<C>>,
    F: Fn(B) -> C,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.inner.call(request.map(&self.body))
    }
}

pin_project! {
    /// The response to a call of a [`GrpcTokenService`].
    pub struct GrpcResponseFuture<F> {
        #[pin]
        call: F,
    }
}

impl<F, R, E> Future for GrpcResponseFuture<F>
where
    F: Future<Output = Result<Response<Body<R>>, AttachError<E>>>,
    R: http_body::Body,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().call.poll(cx)) {
            Err(AttachError::Token(error)) => Ok(without_token(&error)),
            other => other,
        })
    }
}

/// The status in the headers of a response without a body: "trailers-only".
fn without_token<R: http_body::Body>(error: &Error) -> Response<Body<R>> {
    let status = if error.is_transient() {
        "14"
    } else if error.is_reauthorization_required() {
        "16"
    } else {
        "13"
    };
    if error.problems().is_empty() {
        tracing::debug!(target: "oauth_client", code = error.code(), error = %error.with_causes(), status, "a call was not sent: no token");
    } else {
        // The caller sees no more than `config`, and neither time nor a login mends it.
        tracing::warn!(target: "oauth_client", code = error.code(), error = %error.with_causes(), status, "a call was not sent: no token");
    }
    let mut response = Response::new(Body::nothing());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status));
    // A server's own code may be any text: what would need percent encoding is left out.
    let code: String =
        error.code().chars().filter(|char| matches!(char, ' '..='~') && *char != '%').collect();
    if let Ok(message) = HeaderValue::try_from(format!("no access token: {code}")) {
        headers.insert("grpc-message", message);
    }
    response
}

impl<F> fmt::Debug for GrpcTokenLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcTokenLayer").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, F> fmt::Debug for GrpcTokenService<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrpcTokenService").field(&self.0).finish()
    }
}

impl<S: fmt::Debug, F> fmt::Debug for GrpcBodies<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcBodies").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for GrpcResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;
    use crate::error::Kind;
    use crate::logged::Logged;

    /// The status of a call that fails so, and what is logged unless it is for debugging.
    fn status_and_log(error: &Error) -> (HeaderValue, String) {
        let log = Logged::listen();
        let response = without_token::<Empty<Bytes>>(error);
        (response.headers()["grpc-status"].clone(), log.end())
    }

    #[test]
    fn a_mistake_in_the_configuration_is_a_warning_that_says_what_to_do() {
        let (status, log) = status_and_log(&Error::config("allowed_origins", "give it a full URI"));
        assert_eq!(status, "13");
        assert!(log.contains(" WARN ") && log.contains("allowed_origins: give it a full URI"), "{log}");
        for passing in [Kind::Interrupted, Kind::Reauthorization(None), Kind::Unsupported("no".to_owned())] {
            assert_eq!(status_and_log(&Error::new(passing)).1, "");
        }
    }
}
