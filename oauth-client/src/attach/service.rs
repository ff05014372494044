use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::body::Body;
use super::choice::Chosen;
use super::error::AttachError;
use super::future::ResponseFuture;
use super::sent::Sent;
use super::settings::{Settings, recorded};

/// The service that [`TokenLayer`](super::TokenLayer) makes. An `Authorization` header that is already on a request
/// is replaced.
///
/// While a usable token is at hand the inner service that was polled ready is called as it is. It is cloned for two
/// purposes: to wait for a token, and to replay a request where the [`ReplayPolicy`](super::ReplayPolicy) allows it. If
/// clones of the service are expensive, put it behind an `Arc` or a `Buffer`, or use
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let other;
        let settings = match self.settings.choose(request.extensions(), request.uri()) {
            Chosen::Own => &self.settings,
            Chosen::Other(chosen) => {
                other = chosen;
                &other
            }
            Chosen::NoToken => {
                let call = self.inner.call(request.map(Body::plain));
                return ResponseFuture::without_token(call, Arc::clone(&self.settings));
            }
        };
        if let Err(error) = settings.check_origin(request.uri()) {
            return ResponseFuture::refused(error, Arc::clone(settings));
        }
        let authorized = settings.source.lend(|token| {
            let token = token?;
            let replay = settings.prepare_replay(&request, &self.inner);
            Some(Sent::on(&mut request, token).map(|sent| (sent, replay)))
        });
        match authorized {
            Some(Ok((sent, replay))) => {
                let request = recorded(request, replay.as_ref());
                let call = self.inner.call(request);
                ResponseFuture::calling(call, sent, replay, Arc::clone(settings))
            }
            Some(Err(error)) => ResponseFuture::refused(error, Arc::clone(settings)),
            None => {
                // `poll_ready` readied *this* service: it goes with the request, and a fresh clone stays behind.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(ready, request, Arc::clone(settings))
            }
        }
    }
}
