//! The tower service: checks and authorizes each request, then calls the inner service or rejects.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::body::GuardBody;
use super::future::{Pending, Reader, ResponseFuture};
use super::layer::LayerConfig;
use crate::authorize::BodyCheck;
use crate::check::Check;
use crate::claims::{Claims, Untyped};
use crate::possession::Proven;
use crate::reject::Rejection;
use crate::request::RequestHead;
use crate::snapshot::Snapshot;
use crate::sync::Spread;

/// A service behind a [`Guard`](crate::Guard). Made by [`GuardLayer`](crate::GuardLayer).
pub struct GuardService<S, T = Untyped> {
    inner: S,
    config: Spread<LayerConfig<T>>,
}

impl<S, T> GuardService<S, T> {
    pub(crate) fn new(inner: S, config: Arc<LayerConfig<T>>) -> Self {
        Self { inner, config: Spread::new(config) }
    }
}

impl<S, T, ReqBody, ResBody> Service<Request<ReqBody>> for GuardService<S, T>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    T: DeserializeOwned + Send + Sync + 'static,
    ReqBody: 'static,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<GuardBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, T, ReqBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        // One snapshot decides the whole request, also when a reload replaces it meanwhile.
        let snapshot = self.config.guard.snapshot();
        let head = RequestHead::from(&request);
        // Read where it was made: to move it takes a good part of what a known token costs.
        let authorization = self.config.authorization(&snapshot, &head);
        let authorization = match &authorization {
            Ok(authorization) if authorization.is_public() => {
                let body = authorization.body_check();
                snapshot.forward_unchecked(&mut request);
                return self.forward(&snapshot, request, body, None);
            }
            Ok(authorization) => authorization,
            Err(rejection) => return self.reject(&snapshot, rejection, &request),
        };
        let body = authorization.body_check();
        match snapshot.check(&head) {
            Check::Ready(Ok(claims)) => match authorization.authorize(claims.as_ref()) {
                Ok(()) => {
                    let renewal = claims.as_ref().and_then(Claims::renewal);
                    self.config.forward(&snapshot, &mut request, claims);
                    self.forward(&snapshot, request, body, renewal)
                }
                Err(rejection) => self.reject(&snapshot, &rejection, &request),
            },
            Check::Ready(Err(rejection)) => self.reject(&snapshot, &rejection, &request),
            Check::Pending(check) => {
                let pending = self.pending(&snapshot, request);
                ResponseFuture::checking(check, pending)
            }
        }
    }
}

impl<S: Clone, T> GuardService<S, T> {
    /// Calls the inner service; first the body is compared with the headers, where a rule asks for it.
    fn forward<B: 'static>(
        &mut self,
        snapshot: &Arc<Snapshot<T>>,
        request: Request<B>,
        body: Option<BodyCheck>,
        renewal: Option<Arc<Proven>>,
    ) -> ResponseFuture<S, T, B>
    where
        S: Service<Request<B>>,
    {
        match body {
            None => ResponseFuture::calling(self.inner.call(request), renewal),
            Some(check) => self.read(snapshot, request, check, renewal),
        }
    }

    #[cold]
    fn read<B: 'static>(
        &mut self,
        snapshot: &Arc<Snapshot<T>>,
        request: Request<B>,
        check: BodyCheck,
        renewal: Option<Arc<Proven>>,
    ) -> ResponseFuture<S, T, B>
    where
        S: Service<Request<B>>,
    {
        let mut pending = Pending { renewal, ..self.pending(snapshot, request) };
        match Reader::new(&mut pending.request, check) {
            Ok(reader) => ResponseFuture::reading(reader, pending),
            Err(rejection) => {
                ResponseFuture::rejected(snapshot.reject(&rejection, (&pending.request).into()))
            }
        }
    }

    /// Takes the service that was polled ready, and leaves a fresh clone behind.
    fn pending<B>(&mut self, snapshot: &Arc<Snapshot<T>>, request: Request<B>) -> Pending<S, T, B> {
        let fresh = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, fresh);
        Pending {
            request,
            ready,
            config: Arc::clone(&self.config),
            snapshot: Arc::clone(snapshot),
            renewal: None,
        }
    }

    #[cold]
    fn reject<B>(
        &mut self,
        snapshot: &Snapshot<T>,
        rejection: &Rejection,
        request: &Request<B>,
    ) -> ResponseFuture<S, T, B>
    where
        S: Service<Request<B>>,
    {
        // Releases what `poll_ready` reserved in the inner service, such as a permit.
        self.inner = self.inner.clone();
        ResponseFuture::rejected(snapshot.reject(rejection, request.into()))
    }
}

impl<S: Clone, T> Clone for GuardService<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: self.config.clone() }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for GuardService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
