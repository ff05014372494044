//! The future of a guarded call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::Entry;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::body::GuardBody;
use super::layer::LayerConfig;
use crate::authorize::{BodyCheck, compare, log_dry_run};
use crate::check::CheckFuture;
use crate::claims::Claims;
use crate::possession::Proven;
use crate::possession::dpop::DPOP_NONCE;
use crate::reject::Rejection;
use crate::request::{Reading, RequestHead, Unread, body as request_body};
use crate::snapshot::Snapshot;
use crate::telemetry;

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
        Renewing { #[pin] call: S::Future, proven: Arc<Proven> },
        Rejected { response: Option<Response<Full<Bytes>>> },
        // Boxed: most responses are of calls, and as large as the largest state.
        Checking { check: CheckFuture<T>, pending: Option<Box<Pending<S, T, ReqBody>>> },
        Reading { reader: Reader, pending: Option<Box<Pending<S, T, ReqBody>>> },
    }
}

impl<S, T, ReqBody> State<S, T, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    /// The one way to the inner service.
    fn forwarded(call: S::Future, renewal: Option<Arc<Proven>>) -> Self {
        telemetry::accepted();
        match renewal {
            None => Self::Calling { call },
            Some(proven) => Self::Renewing { call, proven },
        }
    }
}

/// What waits for the check: the request, the service that is ready for it, the layer's configuration, and the snapshot
/// that was in force when the request arrived.
pub(crate) struct Pending<S, T, ReqBody> {
    pub(crate) request: Request<ReqBody>,
    pub(crate) ready: S,
    pub(crate) config: Arc<LayerConfig<T>>,
    pub(crate) snapshot: Arc<Snapshot<T>>,
    /// The proof whose nonce ages: the response brings the next one.
    pub(crate) renewal: Option<Arc<Proven>>,
}

/// Reads the body of a request, and compares it with the headers.
pub(crate) struct Reader {
    reading: Reading,
    check: BodyCheck,
}

impl Reader {
    /// Takes the body out of the request.
    ///
    /// # Errors
    /// Its type is none that could be put back.
    pub(crate) fn new<B: 'static>(request: &mut Request<B>, check: BodyCheck) -> Result<Self, Rejection> {
        match request_body::read(request.body_mut(), check.limit) {
            Some(reading) => Ok(Self { reading, check }),
            None => {
                let body = std::any::type_name::<B>();
                tracing::error!(
                    target: "oauth_guard", body,
                    "an MCP rule needs the body, and a body of this type cannot be read and handed on: map it to oauth_guard::RequestBody in front of the guard"
                );
                Err(Rejection::UncheckedBody)
            }
        }
    }

    /// Puts the body back, once it is read.
    fn poll<B: 'static>(
        &mut self,
        request: &mut Option<&mut Request<B>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Rejection>> {
        let read = ready!(self.reading.as_mut().poll(context));
        let Some(request) = request else { return Poll::Pending };
        let is_broken = read.outcome == Err(Unread::Broken);
        let outcome = match &read.outcome {
            Ok(whole) => compare(request.headers(), whole),
            Err(unread) => Err(unread.describe()),
        };
        request_body::put_back(request.body_mut(), read.body);
        Poll::Ready(match outcome.map_err(Rejection::MalformedRequest) {
            Err(rejection) if self.check.dry_run && !is_broken => {
                log_dry_run(&rejection, None, None);
                Ok(())
            }
            other => other,
        })
    }
}

impl<S, T, ReqBody> ResponseFuture<S, T, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    /// The inner service's response, with the next nonce for the caller's proofs if there is one.
    pub(crate) fn calling(call: S::Future, renewal: Option<Arc<Proven>>) -> Self {
        Self { state: State::forwarded(call, renewal) }
    }

    pub(crate) fn rejected(response: Response<Full<Bytes>>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(crate) fn checking(check: CheckFuture<T>, pending: Pending<S, T, ReqBody>) -> Self {
        Self { state: State::Checking { check, pending: Some(Box::new(pending)) } }
    }

    pub(crate) fn reading(reader: Reader, pending: Pending<S, T, ReqBody>) -> Self {
        Self { state: State::Reading { reader, pending: Some(Box::new(pending)) } }
    }
}

impl<S, T, ReqBody, ResBody> Future for ResponseFuture<S, T, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    T: DeserializeOwned + Send + Sync + 'static,
    ReqBody: 'static,
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
                StateProj::Renewing { call, proven } => {
                    let mut response = ready!(call.poll(context))?;
                    // One that is there is of a guard further in, or of the service's own.
                    if let (Entry::Vacant(place), Some(nonce)) =
                        (response.headers_mut().entry(DPOP_NONCE), &proven.renewal)
                    {
                        place.insert(nonce.clone());
                    }
                    return Poll::Ready(Ok(response.map(GuardBody::inner)));
                }
                StateProj::Rejected { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(response.map(GuardBody::rejected))),
                    // Polled again after completion: there is nothing more to return.
                    None => return Poll::Pending,
                },
                StateProj::Checking { check, pending } => {
                    let checked = ready!(Pin::new(check).poll(context));
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    let Pending { mut request, mut ready, config, snapshot, .. } = *pending;
                    let authorized = checked.and_then(|claims| {
                        let authorization = config.authorization(&snapshot, &RequestHead::from(&request))?;
                        let body = authorization.body_check();
                        authorization.authorize(claims.as_ref())?;
                        Ok((claims, body))
                    });
                    match authorized {
                        Ok((claims, body)) => {
                            let renewal = claims.as_ref().and_then(Claims::renewal);
                            config.forward(&snapshot, &mut request, claims);
                            match body.map(|check| Reader::new(&mut request, check)) {
                                None => State::forwarded(ready.call(request), renewal),
                                Some(Ok(reader)) => {
                                    let pending = Pending { request, ready, config, snapshot, renewal };
                                    State::Reading { reader, pending: Some(Box::new(pending)) }
                                }
                                Some(Err(rejection)) => {
                                    let response = snapshot.reject(&rejection, (&request).into());
                                    State::Rejected { response: Some(response) }
                                }
                            }
                        }
                        // The service that was polled ready is dropped here, and its permit with it.
                        Err(rejection) => {
                            State::Rejected { response: Some(snapshot.reject(&rejection, (&request).into())) }
                        }
                    }
                }
                StateProj::Reading { reader, pending } => {
                    let mut request = pending.as_mut().map(|pending| &mut pending.request);
                    let read = ready!(reader.poll(&mut request, context));
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    let Pending { request, mut ready, snapshot, renewal, .. } = *pending;
                    match read {
                        Ok(()) => State::forwarded(ready.call(request), renewal),
                        Err(rejection) => {
                            let rejection = snapshot.logged(rejection);
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
            State::Reading { .. } => "Reading",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
