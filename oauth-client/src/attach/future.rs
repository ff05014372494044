use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::Body;
use super::error::AttachError;
use super::settings::{Settings, Spare, authorize, dress};
use crate::AccessToken;
use crate::error::Error;

pin_project! {
    /// The answer to a request that carries a token, from a [`TokenService`](super::TokenService).
    ///
    /// Dropping it at any moment loses nothing: a refresh that it waits for goes on without it.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Body<B>>>,
    {
        #[pin]
        state: State<S, S::Future, S::Response, B>,
        settings: Arc<Settings>,
    }
}

pin_project! {
    /// `Calling` is the first state while a token is at hand, and then nothing is boxed but the copy.
    #[project = StateProj]
    enum State<S, F, R, B> {
        Refused { error: Option<Error> },
        Waiting { wait: Wait<Result<AccessToken, Error>>, held: Option<Box<(S, Request<B>)>> },
        Calling { #[pin] call: F, generation: u64, spare: Option<Spare<S>> },
        Renewing { wait: Wait<Option<AccessToken>>, held: Option<Box<(R, Spare<S>)>> },
        Readying { held: Option<Box<(S, Request<Body<B>>)>>, generation: u64 },
        Replaying { #[pin] call: F, generation: u64 },
    }
}

type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>>,
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

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>, Response = Response<R>> + Clone,
    B: http_body::Body<Data = Bytes>,
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
                    let (status, headers) = (answer.status(), answer.headers());
                    let is_repeatable = || spare.as_ref().is_some_and(|spare| spare.1.is_whole());
                    let again = this.settings.wants_replay(*generation, status, headers, is_repeatable);
                    let Some(spare) = spare.take().filter(|_| again) else {
                        return Poll::Ready(Ok(answer.map(Body::plain)));
                    };
                    let (settings, refused) = (Arc::clone(this.settings), *generation);
                    let wait = Box::pin(async move { settings.another_token(refused).await });
                    // This ends the first call, and gives back what it holds: a permit, for one.
                    State::Renewing { wait, held: Some(Box::new((answer, spare))) }
                }
                StateProj::Renewing { wait, held } => {
                    let token = ready!(wait.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let (answer, spare) = *held;
                    // The API's own answer is the truth as long as there is nothing better to send.
                    let Some(token) = token else { return Poll::Ready(Ok(answer.map(Body::plain))) };
                    let (service, copy) = *spare;
                    let mut request = copy.into_request();
                    // It fitted before, and the token takes the place of the one refused.
                    if authorize(request.headers_mut(), &token).is_err() {
                        return Poll::Ready(Ok(answer.map(Body::plain)));
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

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Refused { .. } => "refused",
            State::Waiting { .. } => "waiting for a token",
            State::Calling { .. } => "calling",
            State::Renewing { .. } => "waiting for another token",
            State::Readying { .. } | State::Replaying { .. } => "sent once more",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
