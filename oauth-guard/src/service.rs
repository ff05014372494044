//! The tower service: bearer, cache and policy in front of another service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::body::GuardBody;
use crate::claims::{Claims, Untyped};
use crate::future::{Held, ResponseFuture};
use crate::guard::{Check, RequestHead};
use crate::judge::Policy;
use crate::layer::Gate;
use crate::policy::Demand;
use crate::refuse::{Refusal, grpc, log};

/// A service behind a [`Guard`](crate::Guard). Made by [`GuardLayer`](crate::GuardLayer).
pub struct GuardService<S, T = Untyped> {
    inner: S,
    gate: Arc<Gate<T>>,
}

impl<S, T> GuardService<S, T> {
    pub(crate) fn new(inner: S, gate: Arc<Gate<T>>) -> Self {
        Self { inner, gate }
    }
}

impl<S, T, ReqBody, ResBody> Service<Request<ReqBody>> for GuardService<S, T>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    T: DeserializeOwned + Send + Sync + 'static,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<GuardBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, T, ReqBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        // One policy decides all of it, also when another is put in its place meanwhile.
        let policy = self.gate.guard.policy();
        let head = RequestHead::from(&request);
        let demand = match self.gate.demand(&policy, head) {
            Ok(demand) if demand.is_public() => {
                // Not looked at, and kept from those who have no business with it all the same.
                policy.places.cover(&mut request);
                return ResponseFuture::calling(self.inner.call(request));
            }
            Ok(demand) => demand,
            Err(refusal) => return self.refuse(&policy, &refusal, &request),
        };
        match policy.check(head) {
            Check::Now(outcome) => match outcome.and_then(|claims| demand.pass(claims)) {
                Ok(claims) => {
                    policy.let_through(&mut request, claims);
                    ResponseFuture::calling(self.inner.call(request))
                }
                Err(refusal) => self.refuse(&policy, &refusal, &request),
            },
            Check::Later(check) => {
                // The service that was polled ready is the one to call; a fresh clone stays behind.
                let fresh = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, fresh);
                let (gate, policy) = (Arc::clone(&self.gate), Arc::clone(&policy));
                ResponseFuture::checking(check, Held { request, ready, gate, policy })
            }
        }
    }
}

impl<S: Clone, T> GuardService<S, T> {
    #[cold]
    fn refuse<B>(
        &mut self,
        policy: &Policy<T>,
        refusal: &Refusal,
        request: &Request<B>,
    ) -> ResponseFuture<S, T, B>
    where
        S: Service<Request<B>>,
    {
        // What `poll_ready` reserved in the service, a permit perhaps, goes back with it.
        self.inner = self.inner.clone();
        ResponseFuture::refused(policy.refuse(refusal, request.headers()))
    }
}

impl<T> Gate<T> {
    /// What a request has to bring.
    pub(crate) fn demand<'a>(
        &'a self,
        policy: &'a Policy<T>,
        head: RequestHead<'_>,
    ) -> Result<Demand<'a>, Refusal> {
        policy
            .demand(head, self.requirement.as_ref(), self.optional)
            .inspect_err(|refusal| log::note(refusal, &log::Origin::default()))
    }
}

impl<T> Policy<T> {
    /// Hands the claims on, and covers the token they are from.
    pub(crate) fn let_through<B>(&self, request: &mut Request<B>, claims: Option<Claims<T>>)
    where
        T: Send + Sync + 'static,
    {
        let Some(claims) = claims else { return };
        self.places.cover(request);
        request.extensions_mut().insert(claims);
    }

    /// The whole answer.
    #[cold]
    pub(crate) fn refuse(&self, refusal: &Refusal, headers: &HeaderMap) -> Response<Full<Bytes>> {
        self.challenge.respond(refusal, grpc::is_spoken(headers))
    }
}

impl<S: Clone, T> Clone for GuardService<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for GuardService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
