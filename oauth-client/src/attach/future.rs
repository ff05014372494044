use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::Body;
use super::error::AttachError;
use super::head::{Head, TrailersWatch};
use super::peek::Peek;
use super::sent::{Sent, Subject};
use super::settings::{Replay, Settings, Verdict, recorded};
use crate::AccessToken;
use crate::error::Error;

pin_project! {
    /// The response to a request that carries a token, from a [`TokenService`](super::TokenService).
    ///
    /// Dropping it at any moment loses nothing: a refresh that it waits for goes on without it.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<Body<B>>>,
        B: http_body::Body,
        R: http_body::Body,
    {
        #[pin]
        state: State<S, S::Future, R, B>,
        settings: Arc<Settings>,
    }
}

pin_project! {
    /// `Calling` is the first state while a token is at hand, and then nothing is boxed but the copy.
    #[project = StateProj]
    enum State<S, F, R, B>
    where
        B: http_body::Body,
        R: http_body::Body,
    {
        Refused { error: Option<Error> },
        Waiting { wait: Wait<Result<AccessToken, Error>>, held: Option<Box<(S, Request<B>)>> },
        Calling { #[pin] call: F, sent: Sent, replay: Option<Replay<S>> },
        WithoutToken { #[pin] call: F },
        Peeking { held: Option<Box<Peeking<S, R>>> },
        Renewing { wait: Wait<Option<AccessToken>>, held: Option<Box<Renewing<S, R>>> },
        Readying { held: Option<Box<Readying<S, B>>> },
    }
}

/// A response whose body is being inspected, and what its replay needs.
struct Peeking<S, R: http_body::Body> {
    head: Parts,
    peek: Box<Peek<R>>,
    sent: Sent,
    replay: Option<Replay<S>>,
}

/// A response that refuses the token, and what its replay needs.
struct Renewing<S, R: http_body::Body> {
    response: Response<Body<R>>,
    replay: Replay<S>,
    /// Whether the API has asked for a nonce on the way.
    was_asked: bool,
}

/// A request that goes out once more as soon as its service is ready.
struct Readying<S, B: http_body::Body> {
    service: S,
    request: Request<Body<B>>,
    token: AccessToken,
    sent: Sent,
    /// For the next time, if there may be one.
    replay: Option<Replay<S>>,
}

type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<Body<B>>>,
    B: http_body::Body,
    R: http_body::Body,
{
    /// The request is not sent.
    pub(super) fn refused(error: Error, settings: Arc<Settings>) -> Self {
        Self { state: State::Refused { error: Some(error) }, settings }
    }

    /// No token yet: `ready` was polled ready and waits with the request.
    pub(super) fn waiting(ready: S, request: Request<B>, settings: Arc<Settings>) -> Self {
        let source = Arc::clone(&settings);
        let wait = Box::pin(async move { source.token().await });
        Self { state: State::Waiting { wait, held: Some(Box::new((ready, request))) }, settings }
    }

    /// Sent as it is.
    pub(super) fn without_token(call: S::Future, settings: Arc<Settings>) -> Self {
        Self { state: State::WithoutToken { call }, settings }
    }

    /// Sent with a token.
    pub(super) fn calling(
        call: S::Future,
        sent: Sent,
        replay: Option<Replay<S>>,
        settings: Arc<Settings>,
    ) -> Self {
        Self { state: State::Calling { call, sent, replay }, settings }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<Body<B>>, Response = Response<R>> + Clone,
    B: http_body::Body<Data = Bytes>,
    R: http_body::Body<Data = Bytes>,
{
    type Output = Result<Response<Body<R>>, AttachError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Where a `take` finds nothing the future has completed already: it then stays pending.
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(AttachError::Token(error))),
                    None => return Poll::Pending,
                },
                StateProj::Waiting { wait, held } => {
                    let token = ready!(wait.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let (mut service, mut request) = *held;
                    let sent = token.and_then(|token| {
                        let replay = this.settings.prepare_replay(&request, &service);
                        let sent = Sent::on(&mut request, &token)?;
                        Ok((service.call(recorded(request, replay.as_ref())), sent, replay))
                    });
                    match sent {
                        Ok((call, sent, replay)) => State::Calling { call, sent, replay },
                        Err(error) => State::Refused { error: Some(error) },
                    }
                }
                StateProj::Calling { call, sent, replay } => {
                    let mut response = ready!(call.poll(cx)).map_err(AttachError::Inner)?;
                    this.settings.annotate(response.extensions_mut(), sent.generation, sent.replayed);
                    let head = Head::of(response.status(), response.headers());
                    let refused = head.refuses();
                    let verdict = match sent.observe(refused, response.headers()) {
                        Subject::Token if sent.replayed => Verdict::Accepted,
                        Subject::Token => this
                            .settings
                            .classify(refused, response.headers(), || response.body().size_hint()),
                        Subject::Proof => Verdict::Accepted,
                        Subject::Nonce => match replay.take().filter(|replay| replay.1.is_whole()) {
                            Some(replay) => {
                                let next = Readying::with_nonce(sent.take(), replay);
                                this.state.set(State::Readying { held: next.map(Box::new) });
                                continue;
                            }
                            None => Verdict::Accepted,
                        },
                    };
                    match verdict {
                        Verdict::Accepted => {
                            let watch = TrailersWatch::of(this.settings, sent, head);
                            return Poll::Ready(Ok(response.map(|body| Body::watched(body, watch))));
                        }
                        Verdict::InspectBody => {
                            let (head, body) = response.into_parts();
                            let peek = Box::new(Peek::new(body));
                            let (sent, replay) = (sent.take(), replay.take());
                            State::Peeking { held: Some(Box::new(Peeking { head, peek, sent, replay })) }
                        }
                        Verdict::Rejected => {
                            let response = response.map(Body::plain);
                            match renew(this.settings, sent, response, replay.take()) {
                                ControlFlow::Continue(renewing) => renewing,
                                ControlFlow::Break(response) => return Poll::Ready(Ok(response)),
                            }
                        }
                    }
                }
                StateProj::WithoutToken { call } => {
                    let response = ready!(call.poll(cx)).map_err(AttachError::Inner)?;
                    return Poll::Ready(Ok(response.map(Body::plain)));
                }
                StateProj::Peeking { held } => {
                    let Some(peeking) = held.as_deref_mut() else { return Poll::Pending };
                    let whole = ready!(peeking.peek.poll_whole(cx));
                    let refused = whole.is_some_and(|body| this.settings.reports_expired_token(&body));
                    let Some(peeking) = held.take() else { return Poll::Pending };
                    let Peeking { head, peek, sent, replay } = *peeking;
                    let response = Response::from_parts(head, Body::peeked(peek));
                    if !refused {
                        return Poll::Ready(Ok(response));
                    }
                    match renew(this.settings, &sent, response, replay) {
                        ControlFlow::Continue(renewing) => renewing,
                        ControlFlow::Break(response) => return Poll::Ready(Ok(response)),
                    }
                }
                StateProj::Renewing { wait, held } => {
                    let token = ready!(wait.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let Renewing { response, replay, was_asked } = *held;
                    // The API's own response is the truth as long as there is nothing better to send.
                    let Some(token) = token else { return Poll::Ready(Ok(response)) };
                    match Readying::with_token(token, replay, was_asked) {
                        Ok(readying) => State::Readying { held: Some(Box::new(readying)) },
                        Err(_) => return Poll::Ready(Ok(response)),
                    }
                }
                StateProj::Readying { held } => {
                    let Some(readying) = held.as_deref_mut() else { return Poll::Pending };
                    ready!(readying.service.poll_ready(cx)).map_err(AttachError::Inner)?;
                    let Some(readying) = held.take() else { return Poll::Pending };
                    let Readying { mut service, mut request, token, mut sent, replay } = *readying;
                    // Now and not earlier: a proof is good for a moment.
                    match sent.put_on(request.headers_mut(), &token) {
                        Ok(()) => State::Calling { call: service.call(request), sent, replay },
                        Err(error) => State::Refused { error: Some(error) },
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Clone, B: http_body::Body> Readying<S, B> {
    /// With the same token, and the nonce that the API has asked for.
    fn with_nonce(sent: Sent, replay: Replay<S>) -> Option<Self> {
        let token = sent.bound.as_ref()?.token().clone();
        // The response to it may still refuse the token.
        let next = (!sent.replayed).then(|| replay.clone());
        let (service, copy) = *replay;
        Some(Self { service, request: copy.into_request(), token, sent, replay: next })
    }

    /// With another token than the one refused.
    fn with_token(token: AccessToken, replay: Replay<S>, was_asked: bool) -> Result<Self, Error> {
        // An API may ask for a nonce with every token.
        let next = (token.binding().is_some() && !was_asked).then(|| replay.clone());
        let (service, copy) = *replay;
        let request = copy.into_request();
        let sent = Sent::with(&token, request.method(), request.uri())?.in_place_of(was_asked);
        Ok(Self { service, request, token, sent, replay: next })
    }
}

/// The token was refused: the wait for another one, if the request is to be sent once more; else the response stands.
fn renew<S, F, R, B>(
    settings: &Arc<Settings>,
    sent: &Sent,
    response: Response<Body<R>>,
    replay: Option<Replay<S>>,
) -> ControlFlow<Response<Body<R>>, State<S, F, R, B>>
where
    B: http_body::Body,
    R: http_body::Body,
{
    let (refused, was_asked) = (sent.generation, sent.was_asked());
    let again = settings.wants_replay(refused, || replay.as_ref().is_some_and(|replay| replay.1.is_whole()));
    let Some(replay) = replay.filter(|_| again) else { return ControlFlow::Break(response) };
    let settings = Arc::clone(settings);
    let wait = Box::pin(async move { settings.another_token(refused).await });
    // Leaving the state ends the first call, and gives back what it holds: a permit, for one.
    let held = Some(Box::new(Renewing { response, replay, was_asked }));
    ControlFlow::Continue(State::Renewing { wait, held })
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<Body<B>>>,
    B: http_body::Body,
    R: http_body::Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Refused { .. } => "refused",
            State::Waiting { .. } => "waiting for a token",
            State::Calling { .. } | State::WithoutToken { .. } => "calling",
            State::Peeking { .. } => "reading how the API refuses the token, if it does",
            State::Renewing { .. } => "waiting for another token",
            State::Readying { .. } => "about to be sent once more",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
