//! The future of a guarded call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::body::GuardBody;
use crate::guard::{CheckFuture, RequestHead};
use crate::judge::Policy;
use crate::layer::Gate;

pin_project! {
    /// The answer of a [`GuardService`](crate::GuardService): the inner service's, or a refusal.
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
        Refused { response: Option<Response<Full<Bytes>>> },
        Checking { check: CheckFuture<T>, held: Option<Held<S, T, ReqBody>> },
    }
}

/// What waits for the check: the request, the service that is ready for it, what is asked of it, and the policy that
/// was in force when it came.
pub(crate) struct Held<S, T, ReqBody> {
    pub(crate) request: Request<ReqBody>,
    pub(crate) ready: S,
    pub(crate) gate: Arc<Gate<T>>,
    pub(crate) policy: Arc<Policy<T>>,
}

impl<S, T, ReqBody> ResponseFuture<S, T, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(crate) fn calling(call: S::Future) -> Self {
        Self { state: State::Calling { call } }
    }

    pub(crate) fn refused(response: Response<Full<Bytes>>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(crate) fn checking(check: CheckFuture<T>, held: Held<S, T, ReqBody>) -> Self {
        Self { state: State::Checking { check, held: Some(held) } }
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
                        ready!(call.poll(context)).map(|answer| answer.map(GuardBody::inner)),
                    );
                }
                StateProj::Refused { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(response.map(GuardBody::refused))),
                    // Polled again after the end: nothing more will come.
                    None => return Poll::Pending,
                },
                StateProj::Checking { check, held } => {
                    let outcome = ready!(Pin::new(check).poll(context));
                    let Some(Held { mut request, mut ready, gate, policy }) = held.take() else {
                        return Poll::Pending;
                    };
                    let passed = outcome
                        .and_then(|claims| gate.demand(&policy, RequestHead::from(&request))?.pass(claims));
                    match passed {
                        Ok(claims) => {
                            policy.let_through(&mut request, claims);
                            State::Calling { call: ready.call(request) }
                        }
                        // The readied service is dropped here, and its permit with it.
                        Err(refusal) => {
                            State::Refused { response: Some(policy.refuse(&refusal, request.headers())) }
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
            State::Calling { .. } => "Calling",
            State::Refused { .. } => "Refused",
            State::Checking { .. } => "Checking",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
