//! The future of a guarded call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::body::GuardBody;
use crate::check::CheckFuture;
use crate::claims::Claims;
use crate::layer::LayerConfig;
use crate::possession::dpop::DPOP_NONCE;
use crate::request::RequestHead;
use crate::snapshot::Snapshot;

pin_project! {
    /// The response of a [`GuardService`](crate::GuardService): the inner service's, or a rejection.
    pub struct ResponseFuture<S, T, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, T, ReqBody>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, T, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Calling { #[pin] call: S::Future },
        // The caller's nonce ages: the response brings the next one.
        Renewing { #[pin] call: S::Future, nonce: Arc<HeaderValue> },
        Rejected { response: Option<Response<Full<Bytes>>> },
        Checking { check: CheckFuture<T>, pending: Option<Pending<S, T, ReqBody>> },
    }
}

/// What waits for the check: the request, the service that is ready for it, the layer's configuration, and the snapshot
/// that was in force when the request arrived.
pub(crate) struct Pending<S, T, ReqBody> {
    pub(crate) request: Request<ReqBody>,
    pub(crate) ready: S,
    pub(crate) config: Arc<LayerConfig<T>>,
    pub(crate) snapshot: Arc<Snapshot<T>>,
}

impl<S, T, ReqBody> ResponseFuture<S, T, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(crate) fn calling(call: S::Future) -> Self {
        Self { state: State::Calling { call } }
    }

    pub(crate) fn calling_with(call: S::Future, nonce: Arc<HeaderValue>) -> Self {
        Self { state: State::Renewing { call, nonce } }
    }

    pub(crate) fn rejected(response: Response<Full<Bytes>>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(crate) fn checking(check: CheckFuture<T>, pending: Pending<S, T, ReqBody>) -> Self {
        Self { state: State::Checking { check, pending: Some(pending) } }
    }
}

impl<S, T, ReqBody, ResBody> Future for ResponseFuture<S, T, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    T: DeserializeOwned + Send + Sync + 'static,
    ResBody: Body<Data = Bytes>,
{
    type Output = Result<Response<GuardBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Calling { call } => {
                    return Poll::Ready(
                        ready!(call.poll(context)).map(|response| response.map(GuardBody::inner)),
                    );
                }
                StateProj::Renewing { call, nonce } => {
                    let mut response = ready!(call.poll(context))?;
                    // One of the service's own is about its own proofs.
                    response.headers_mut().entry(DPOP_NONCE).or_insert_with(|| HeaderValue::clone(nonce));
                    return Poll::Ready(Ok(response.map(GuardBody::inner)));
                }
                StateProj::Rejected { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(response.map(GuardBody::rejected))),
                    // Polled again after completion: there is nothing more to return.
                    None => return Poll::Pending,
                },
                StateProj::Checking { check, pending } => {
                    let checked = ready!(Pin::new(check).poll(context));
                    let Some(Pending { mut request, mut ready, config, snapshot }) = pending.take() else {
                        return Poll::Pending;
                    };
                    let authorized = checked.and_then(|claims| {
                        config.authorization(&snapshot, RequestHead::from(&request))?.forward(claims)
                    });
                    match authorized {
                        Ok(claims) => {
                            let nonce = claims.as_ref().and_then(Claims::renewal);
                            config.forward(&snapshot, &mut request, claims);
                            let call = ready.call(request);
                            match nonce {
                                None => State::Calling { call },
                                Some(nonce) => State::Renewing { call, nonce },
                            }
                        }
                        // The service that was polled ready is dropped here, and its permit with it.
                        Err(rejection) => {
                            State::Rejected { response: Some(snapshot.reject(&rejection, (&request).into())) }
                        }
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S, T, ReqBody> fmt::Debug for ResponseFuture<S, T, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } | State::Renewing { .. } => "Calling",
            State::Rejected { .. } => "Rejected",
            State::Checking { .. } => "Checking",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
