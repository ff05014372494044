//! One request with reqwest, through whatever sends it: with a token, and once more with another when the API refuses that.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use ::reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use http_body::SizeHint;
use tokio::time::Instant;

use super::choice::{Chosen, TokenChoice};
use super::error::AttachError;
use super::head::{Head, TrailersWatch};
use super::peek::Peek;
use super::policy::ReplayView;
use super::sent::{Sent, Subject};
use super::settings::{Settings, Verdict};
use crate::error::{Error, Kind};
use crate::transport::to_uri;

/// What sends a request: a client, or the rest of a stack of middleware.
pub(super) trait Send {
    type Error;

    fn send(
        &mut self,
        request: Request,
    ) -> impl Future<Output = Result<Response, Self::Error>> + std::marker::Send;
}

/// Sends a request that is ready made.
pub(super) async fn round_trip<S: Send>(
    settings: &Arc<Settings>,
    mut request: Request,
    choice: Option<&TokenChoice>,
    sender: &mut S,
) -> Result<Response, AttachError<S::Error>> {
    let uri = to_uri(request.url())?;
    let chosen = match choice {
        Some(choice) => settings.choose_by(choice),
        None => settings.choose(&http::Extensions::new(), &uri),
    };
    let settings = match &chosen {
        Chosen::Own => settings,
        Chosen::Other(other) => other,
        Chosen::NoToken => return sender.send(request).await.map_err(AttachError::Inner),
    };
    settings.check_origin(&uri)?;
    let deadline = Deadline::of(&request);
    let token = match settings.source.current() {
        Some(token) => token,
        None => deadline.bound(settings.token()).await??,
    };
    let length = request.body().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint);
    let view = ReplayView::new(request.method(), &uri, request.headers(), length);
    let mut replay = if settings.replay.allows(&view) { request.try_clone() } else { None };
    let asked = request.url().clone();
    let mut token = token;
    let mut sent = Sent::with(&token, request.method(), &uri)?;
    loop {
        sent.put_on(request.headers_mut(), &token)?;
        if let Some(left) = deadline.left() {
            *request.timeout_mut() = Some(left);
        }
        let mut response = sender.send(request).await.map_err(AttachError::Inner)?;
        settings.annotate(response.extensions_mut(), sent.generation, sent.replayed);
        if response.url().origin() != asked.origin() {
            return Ok(response);
        }
        let again = replay.take().filter(|_| is_same_place(response.url(), &asked));
        let head = Head::of(response.status(), response.headers());
        match sent.observe(head.refuses(), response.headers()) {
            Subject::Token if sent.replayed => return Ok(response),
            Subject::Proof => return Ok(response),
            Subject::Nonce => {
                let Some(again) = again else { return Ok(response) };
                // The response to it may still refuse the token.
                replay = if sent.replayed { None } else { again.try_clone() };
                request = again;
                continue;
            }
            Subject::Token => {}
        }
        let (response, refuses) = inspect(settings, response, head, &sent).await;
        let wanted = refuses && settings.wants_replay(sent.generation, || again.is_some());
        let Some(again) = again.filter(|_| wanted) else { return Ok(response) };
        let other = deadline.bound(settings.another_token(sent.generation)).await;
        let Ok(Some(other)) = other else { return Ok(response) };
        let was_asked = sent.was_asked();
        // An API may ask for a nonce with every token.
        replay = if other.binding().is_some() && !was_asked { again.try_clone() } else { None };
        sent = Sent::with(&other, again.method(), &uri)?.in_place_of(was_asked);
        (token, request) = (other, again);
    }
}

/// The same response, whose trailers may still refuse the token.
fn watched(settings: &Arc<Settings>, response: Response, sent: &Sent, head: Head) -> Response {
    let watch = TrailersWatch::of(settings, sent, head);
    if watch.is_none() {
        return response;
    }
    let url = response.url().clone();
    let (head, body) = http::Response::<Body>::from(response).into_parts();
    let body = Body::wrap(super::body::Body::watched(body, watch));
    with_url(http::Response::from_parts(head, body), url)
}

/// Whether the response refuses the token; and the response, as whole as it was.
async fn inspect(settings: &Arc<Settings>, response: Response, head: Head, sent: &Sent) -> (Response, bool) {
    let size = || match response.content_length() {
        Some(length) => SizeHint::with_exact(length),
        None => SizeHint::default(),
    };
    match settings.classify(head.refuses(), response.headers(), size) {
        Verdict::Accepted => (watched(settings, response, sent, head), false),
        Verdict::Rejected => (response, true),
        Verdict::InspectBody => {
            let url = response.url().clone();
            let (head, body) = http::Response::<Body>::from(response).into_parts();
            let mut peek = Box::new(Peek::new(body));
            let whole = poll_fn(|cx| peek.poll_whole(cx)).await;
            let refuses = whole.is_some_and(|body| settings.reports_expired_token(&body));
            let body = Body::wrap(super::body::Body::peeked(peek));
            (with_url(http::Response::from_parts(head, body), url), refuses)
        }
    }
}

/// When the limit that a request was given ends.
#[derive(Clone, Copy)]
struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    fn of(request: &Request) -> Self {
        let limit = request.timeout().copied();
        Self(limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))))
    }

    fn left(self) -> Option<Duration> {
        self.0.map(|(end, _)| end.saturating_duration_since(Instant::now()))
    }

    async fn bound<T>(self, wait: impl Future<Output = T>) -> Result<T, Error> {
        let Some((end, limit)) = self.0 else { return Ok(wait.await) };
        tokio::time::timeout_at(end, wait).await.map_err(|_| Error::new(Kind::Timeout(limit)))
    }
}

/// reqwest keeps the URL of a response in an extension that only its builder can set.
fn with_url(response: http::Response<Body>, url: Url) -> Response {
    let (head, body) = response.into_parts();
    let Ok(mut rebuilt) = http::Response::builder().url(url).body(body) else {
        // Nothing was set that could be wrong.
        return Response::from(http::Response::from_parts(head, Body::default()));
    };
    *rebuilt.status_mut() = head.status;
    *rebuilt.version_mut() = head.version;
    *rebuilt.headers_mut() = head.headers;
    rebuilt.extensions_mut().extend(head.extensions);
    Response::from(rebuilt)
}

/// Whether the response came without a redirect. The fragment never leaves the client.
fn is_same_place(reached: &Url, asked: &Url) -> bool {
    let bare = |url: &Url| {
        let mut url = url.clone();
        url.set_fragment(None);
        url
    };
    reached == asked || bare(reached) == bare(asked)
}
