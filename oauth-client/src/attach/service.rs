use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::body::Body;
use super::error::AttachError;
use super::future::ResponseFuture;
use super::settings::{Settings, dress};

/// The service that [`TokenLayer`](super::TokenLayer) makes. An `Authorization` header that is already on a request
/// is replaced.
///
/// While a usable token is at hand the inner service that was polled ready is called as it is. It is cloned for two
/// things: to wait for a token, and, where the [`ReplayPolicy`](super::ReplayPolicy) allows a replay, to have
/// something to replay with. Let a service whose clones are dear sit behind an `Arc` or a `Buffer`, or use
/// [`ReplayPolicy::never`](super::ReplayPolicy::never).
#[derive(Clone, Debug)]
pub struct TokenService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> TokenService<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    pub(crate) fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<Body<B>>, Response = Response<R>> + Clone,
    B: http_body::Body<Data = Bytes>,
    R: http_body::Body<Data = Bytes>,
{
    type Response = Response<Body<R>>;
    type Error = AttachError<S::Error>;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(AttachError::Inner)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        if let Err(error) = settings.check_origin(request.uri()) {
            return ResponseFuture::refused(error, settings);
        }
        let Some(token) = settings.source.current() else {
            // `poll_ready` readied *this* service: it goes with the request, and a fresh clone stays behind.
            let clone = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, clone);
            return ResponseFuture::waiting(ready, request, settings);
        };
        let spare = settings.spare(&request, &self.inner);
        match dress(request, &token, spare.as_ref()) {
            Ok((request, sent)) => ResponseFuture::calling(self.inner.call(request), sent, spare, settings),
            Err(error) => ResponseFuture::refused(error, settings),
        }
    }
}
