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
use super::peek::Peek;
use super::settings::{Settings, Spare, Verdict, authorize, dress};
use crate::AccessToken;
use crate::error::Error;

pin_project! {
    /// The answer to a request that carries a token, from a [`TokenService`](super::TokenService).
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
        Calling { #[pin] call: F, generation: u64, spare: Option<Spare<S>> },
        Peeking { held: Option<Box<Peeking<S, R>>>, generation: u64 },
        Renewing { wait: Wait<Option<AccessToken>>, held: Option<Box<(Response<Body<R>>, Spare<S>)>> },
        Readying { held: Option<Box<(S, Request<Body<B>>)>>, generation: u64 },
        Replaying { #[pin] call: F, generation: u64 },
    }
}

/// An answer whose body is being looked at, and what its replay needs.
struct Peeking<S, R: http_body::Body> {
    head: Parts,
    peek: Box<Peek<R>>,
    spare: Option<Spare<S>>,
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
        let source = settings.source.clone();
        let wait = Box::pin(async move { source.token().await });
        Self { state: State::Waiting { wait, held: Some(Box::new((ready, request))) }, settings }
    }

    /// Sent with the token of that generation.
    pub(super) fn calling(
        call: S::Future,
        generation: u64,
        spare: Option<Spare<S>>,
        settings: Arc<Settings>,
    ) -> Self {
        Self { state: State::Calling { call, generation, spare }, settings }
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
        // Where a `take` finds nothing the future has answered already: it then stays pending.
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(AttachError::Token(error))),
                    None => return Poll::Pending,
                },
                StateProj::Waiting { wait, held } => {
                    let token = ready!(wait.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let (mut service, request) = *held;
                    let sent = token.and_then(|token| {
                        let spare = this.settings.spare(&request, &service);
                        let request = dress(request, &token, spare.as_ref())?;
                        Ok((service.call(request), token.generation(), spare))
                    });
                    match sent {
                        Ok((call, generation, spare)) => State::Calling { call, generation, spare },
                        Err(error) => State::Refused { error: Some(error) },
                    }
                }
                StateProj::Calling { call, generation, spare } => {
                    let mut answer = ready!(call.poll(cx)).map_err(AttachError::Inner)?;
                    this.settings.note(answer.extensions_mut(), *generation, false);
                    let size = || answer.body().size_hint();
                    match this.settings.judge(answer.status(), answer.headers(), size) {
                        Verdict::Accepted => return Poll::Ready(Ok(answer.map(Body::plain))),
                        Verdict::LookInside => {
                            let (head, body) = answer.into_parts();
                            let peek = Box::new(Peek::new(body));
                            let held = Some(Box::new(Peeking { head, peek, spare: spare.take() }));
                            State::Peeking { held, generation: *generation }
                        }
                        Verdict::Refused => {
                            let answer = answer.map(Body::plain);
                            match renew(this.settings, *generation, answer, spare.take()) {
                                ControlFlow::Continue(renewing) => renewing,
                                ControlFlow::Break(answer) => return Poll::Ready(Ok(answer)),
                            }
                        }
                    }
                }
                StateProj::Peeking { held, generation } => {
                    let Some(peeking) = held.as_deref_mut() else { return Poll::Pending };
                    let whole = ready!(peeking.peek.poll_whole(cx));
                    let refused = whole.is_some_and(|body| this.settings.is_refusal(&body));
                    let Some(peeking) = held.take() else { return Poll::Pending };
                    let Peeking { head, peek, spare } = *peeking;
                    let answer = Response::from_parts(head, Body::peeked(peek));
                    if !refused {
                        return Poll::Ready(Ok(answer));
                    }
                    match renew(this.settings, *generation, answer, spare) {
                        ControlFlow::Continue(renewing) => renewing,
                        ControlFlow::Break(answer) => return Poll::Ready(Ok(answer)),
                    }
                }
                StateProj::Renewing { wait, held } => {
                    let token = ready!(wait.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let (answer, spare) = *held;
                    // The API's own answer is the truth as long as there is nothing better to send.
                    let Some(token) = token else { return Poll::Ready(Ok(answer)) };
                    let (service, copy) = *spare;
                    let mut request = copy.into_request();
                    // It fitted before, and the token takes the place of the one refused.
                    if authorize(request.headers_mut(), &token).is_err() {
                        return Poll::Ready(Ok(answer));
                    }
                    State::Readying {
                        held: Some(Box::new((service, request))),
                        generation: token.generation(),
                    }
                }
                StateProj::Readying { held, generation } => {
                    let Some((service, _)) = held.as_deref_mut() else { return Poll::Pending };
                    ready!(service.poll_ready(cx)).map_err(AttachError::Inner)?;
                    let Some(held) = held.take() else { return Poll::Pending };
                    let (mut service, request) = *held;
                    State::Replaying { call: service.call(request), generation: *generation }
                }
                StateProj::Replaying { call, generation } => {
                    let mut answer = ready!(call.poll(cx)).map_err(AttachError::Inner)?;
                    this.settings.note(answer.extensions_mut(), *generation, true);
                    return Poll::Ready(Ok(answer.map(Body::plain)));
                }
            };
            this.state.set(next);
        }
    }
}

/// The token was refused: the wait for another one, if the request is to be sent once more; else the answer stands.
fn renew<S, F, R, B>(
    settings: &Arc<Settings>,
    refused: u64,
    answer: Response<Body<R>>,
    spare: Option<Spare<S>>,
) -> ControlFlow<Response<Body<R>>, State<S, F, R, B>>
where
    B: http_body::Body,
    R: http_body::Body,
{
    let again = settings.wants_replay(refused, || spare.as_ref().is_some_and(|spare| spare.1.is_whole()));
    let Some(spare) = spare.filter(|_| again) else { return ControlFlow::Break(answer) };
    let settings = Arc::clone(settings);
    let wait = Box::pin(async move { settings.another_token(refused).await });
    // Leaving the state ends the first call, and gives back what it holds: a permit, for one.
    ControlFlow::Continue(State::Renewing { wait, held: Some(Box::new((answer, spare))) })
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
            State::Calling { .. } => "calling",
            State::Peeking { .. } => "reading how the API refuses the token, if it does",
            State::Renewing { .. } => "waiting for another token",
            State::Readying { .. } | State::Replaying { .. } => "sent once more",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
