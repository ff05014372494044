//! A reqwest client whose requests carry a token: `client.get(url).send().await`, and no more thought to expiry.
//!
//! The rules are those of the [layer](super#when-the-api-refuses-the-token), with what reqwest adds to them: it
//! follows redirects by itself, so a response that came from another URL than the one asked for is never the reason
//! for a replay, and one from another origin says nothing of the token at all, because reqwest does not take it
//! there. A [proof](crate::dpop) names the requested URL and is useless at another one: request the final URL. A body
//! can be repeated when reqwest can clone it: bytes, not a stream.
//!
//! ```
//! use oauth_client::TokenSource;
//! use oauth_client::attach::reqwest::AuthorizedClient;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA")?;
//! let client = AuthorizedClient::new(reqwest::Client::new(), source).allowed_origins(["https://api.example.com"])?;
//!
//! let refused = client.get("https://evil.example/orders").send().await.unwrap_err();
//! assert_eq!(refused.token_error().unwrap().code(), "config");
//! # Ok(()) }
//! ```

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use ::reqwest::{Body, Client, IntoUrl, Request, RequestBuilder, Response, ResponseBuilderExt, Url};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body::SizeHint;
use tokio::time::Instant;

use super::error::AttachError;
use super::peek::Peek;
use super::policy::ReplayView;
use super::sent::{Sent, Subject};
use super::settings::{Settings, TrailersWatch, Verdict, refuses_token, setters};
use crate::TokenSource;
use crate::error::{Error, Kind};
use crate::transport::to_uri;

/// A `reqwest::Client` and where its tokens come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuthorizedClient {
    client: Client,
    settings: Arc<Settings>,
}

impl AuthorizedClient {
    /// Sends with `client`, with tokens from `source`, to any origin, with the default
    /// [`ReplayPolicy`](super::ReplayPolicy).
    #[must_use]
    pub fn new(client: Client, source: TokenSource) -> Self {
        Self { client, settings: Arc::new(Settings::new(source)) }
    }

    /// Starts a GET request.
    pub fn get(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::GET, url)
    }

    /// Starts a HEAD request.
    pub fn head(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::HEAD, url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::POST, url)
    }

    /// Starts a PUT request.
    pub fn put(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::PUT, url)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::PATCH, url)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::DELETE, url)
    }

    /// Starts a request. [`AuthorizedRequest::send`] reports a URL that cannot be parsed.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> AuthorizedRequest {
        AuthorizedRequest { client: self.clone(), builder: self.client.request(method, url) }
    }

    /// Sends a request that is ready made. An `Authorization` header on it is replaced.
    ///
    /// # Errors
    /// [`AttachError::Token`] when no token was available or the request must not carry one: it was not sent then.
    /// [`AttachError::Inner`] when reqwest failed.
    pub async fn execute(&self, mut request: Request) -> Result<Response, AttachError<::reqwest::Error>> {
        let uri = to_uri(request.url())?;
        self.settings.check_origin(&uri)?;
        let deadline = Deadline::of(&request);
        let token = match self.settings.source.current() {
            Some(token) => token,
            None => deadline.bound(self.settings.source.token()).await??,
        };
        let length = request.body().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint);
        let view = ReplayView::new(request.method(), &uri, request.headers(), length);
        let mut replay = if self.settings.replay.allows(&view) { request.try_clone() } else { None };
        let asked = request.url().clone();
        let mut token = token;
        let mut sent = Sent::with(&token, request.method(), &uri)?;
        loop {
            sent.put_on(request.headers_mut(), &token)?;
            if let Some(left) = deadline.left() {
                *request.timeout_mut() = Some(left);
            }
            let mut response = self.client.execute(request).await.map_err(AttachError::Inner)?;
            self.settings.annotate(response.extensions_mut(), sent.generation, sent.replayed);
            if response.url().origin() != asked.origin() {
                return Ok(response);
            }
            let again = replay.take().filter(|_| is_same_place(response.url(), &asked));
            let refused = refuses_token(response.status(), response.headers());
            match sent.observe(refused, response.headers()) {
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
            let (response, refuses) = self.inspect(response, refused, &sent).await;
            let wanted = refuses && self.settings.wants_replay(sent.generation, || again.is_some());
            let Some(again) = again.filter(|_| wanted) else { return Ok(response) };
            let other = deadline.bound(self.settings.another_token(sent.generation)).await;
            let Ok(Some(other)) = other else { return Ok(response) };
            let was_asked = sent.was_asked();
            // An API may ask for a nonce with every token.
            replay = if other.binding().is_some() && !was_asked { again.try_clone() } else { None };
            sent = Sent::with(&other, again.method(), &uri)?.in_place_of(was_asked);
            (token, request) = (other, again);
        }
    }

    /// The same response, whose trailers may still refuse the token.
    fn watched(&self, response: Response, sent: &Sent) -> Response {
        let watch = TrailersWatch::of(&self.settings, sent, response.status(), response.headers());
        if watch.is_none() {
            return response;
        }
        let url = response.url().clone();
        let (head, body) = http::Response::<Body>::from(response).into_parts();
        let body = Body::wrap(super::body::Body::watched(body, watch));
        with_url(http::Response::from_parts(head, body), url)
    }

    /// Whether the response refuses the token; and the response, as whole as it was.
    async fn inspect(&self, response: Response, refused: bool, sent: &Sent) -> (Response, bool) {
        let size = || match response.content_length() {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        };
        match self.settings.classify(refused, response.headers(), size) {
            Verdict::Accepted => (self.watched(response, sent), false),
            Verdict::Rejected => (response, true),
            Verdict::InspectBody => {
                let url = response.url().clone();
                let (head, body) = http::Response::<Body>::from(response).into_parts();
                let mut peek = Box::new(Peek::new(body));
                let whole = poll_fn(|cx| peek.poll_whole(cx)).await;
                let refuses = whole.is_some_and(|body| self.settings.reports_expired_token(&body));
                let body = Body::wrap(super::body::Body::peeked(peek));
                (with_url(http::Response::from_parts(head, body), url), refuses)
            }
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

setters!(AuthorizedClient);

/// A request being put together; the token comes on it when it is sent.
#[derive(Debug)]
#[must_use = "nothing is sent before `send` is awaited"]
pub struct AuthorizedRequest {
    client: AuthorizedClient,
    builder: RequestBuilder,
}

impl AuthorizedRequest {
    /// Adds a header.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|builder| builder.header(name, value))
    }

    /// Adds headers; those of the same name are replaced.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|builder| builder.headers(headers))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.with(|builder| builder.body(body))
    }

    /// Limits the time from [`send`](Self::send) to the end of the response's body: the wait for a token and a replay
    /// included. Where it ends before there is a token, the error is [`AttachError::Token`] with the code `timeout`, and
    /// nothing was sent. A timeout of the `reqwest::Client` itself counts for each request that is sent.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|builder| builder.timeout(limit))
    }

    /// Sets the HTTP version.
    pub fn version(self, version: Version) -> Self {
        self.with(|builder| builder.version(version))
    }

    /// Anything else that reqwest's own builder can do with the features you gave it:
    /// `.with(|request| request.json(&order))`.
    pub fn with(mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Puts the token on the request and sends it.
    ///
    /// # Errors
    /// As [`AuthorizedClient::execute`].
    pub async fn send(self) -> Result<Response, AttachError<::reqwest::Error>> {
        let request = self.builder.build().map_err(AttachError::Inner)?;
        self.client.execute(request).await
    }
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
