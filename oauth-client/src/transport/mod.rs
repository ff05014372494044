//! HTTP as a tower service, with the limits that requests carrying credentials need.
//!
//! [`HttpClient`] wraps any `Service<http::Request<_>, Response = http::Response<_>>`: the bundled reqwest, a
//! hyper-util client, or a mock's router in process. Whatever is inside, every exchange has a total time limit, the
//! response's body is capped, plain http goes to loopback only, and a redirect is an error and never followed: a 307
//! would send the client secret again, to wherever the response points. A URL that a foreign document names is held to
//! public addresses ([`Limits::public_only`]).
//!
//! ```
//! use bytes::Bytes;
//! use oauth_client::transport::{HttpClient, Limits, RequestBody};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! let service = tower::service_fn(|_request: http::Request<RequestBody>| async {
//!     Ok::<_, std::io::Error>(http::Response::new(http_body_util::Full::new(Bytes::from_static(b"{}"))))
//! });
//! let http = HttpClient::from_service(service);
//! let request = http::Request::get("https://auth.example.com/jwks").body(Bytes::new()).unwrap();
//! assert_eq!(http.send(request, &Limits::keys()).await?.body(), "{}");
//!
//! let insecure = http::Request::get("http://auth.example.com/jwks").body(Bytes::new()).unwrap();
//! assert_eq!(http.send(insecure, &Limits::keys()).await.unwrap_err().code(), "config");
//! # Ok(()) }
//! ```

mod body;
#[cfg(feature = "reqwest")]
mod bundled;
#[cfg(feature = "reqwest")]
mod clients;
mod decode;
mod manners;
mod private;
#[cfg(feature = "reqwest")]
mod reqwest_builder;
#[cfg(feature = "reqwest")]
mod tls;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::Body;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_service::Service;
use url::Url;

pub use self::body::RequestBody;
pub(crate) use self::body::wiped;
use self::manners::Manners;
pub(crate) use self::manners::{header_problem, user_agent_problem};
pub use self::private::is_private;
#[cfg(feature = "reqwest")]
pub use self::tls::Tls;
use crate::error::{BoxError, Error, ErrorResponse, Kind, printable};
use crate::secret::SecretSource;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What one exchange may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the first byte sent to the last byte received, connecting included.
    pub timeout: Duration,
    /// The largest body that is read, in bytes. More is an error with code `too_large`. Of a response that is an error,
    /// the start is read.
    pub max_body: usize,
    /// Whether plain http is allowed to other machines than this one.
    pub allow_http: bool,
    /// Whether hosts of this machine and its network are refused, with code `discovery`: for a URL that a foreign
    /// document names. Hosts that [look](is_private) private are refused by every transport. The bundled one also
    /// refuses names that resolve to private addresses, when it connects; a service of your own, or a proxy, resolves
    /// names by itself and has to do the same.
    pub public_only: bool,
}

/// Marks a request that must reach public addresses only: an extension, for a service that can enforce this.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PublicOnly;

impl Limits {
    /// For token requests: 10 seconds, 1 MiB.
    #[must_use]
    pub fn token() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_body: 1024 * 1024,
            allow_http: false,
            public_only: false,
        }
    }

    /// For key sets: 5 seconds, 512 KiB.
    #[must_use]
    pub fn keys() -> Self {
        Self { timeout: Duration::from_secs(5), max_body: 512 * 1024, allow_http: false, public_only: false }
    }

    /// For server metadata: 5 seconds, 512 KiB.
    #[must_use]
    pub fn metadata() -> Self {
        Self::keys()
    }
}

/// How much of the body of a response that is an error is read, in bytes: it is for its code and text only.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// JSON is the first wish. Whatever else a server has comes last and not never: some gateways refuse a request with
/// 406 that takes only one type, and what comes is judged by its content, not by its name.
pub(crate) const ACCEPT_JSON: HeaderValue = HeaderValue::from_static("application/json, */*;q=0.1");

/// The same for key sets, which have a media type of their own (RFC 7517 section 8.5).
const ACCEPT_KEY_SET: HeaderValue =
    HeaderValue::from_static("application/json, application/jwk-set+json;q=0.9, */*;q=0.1");

/// An HTTP client for requests that carry credentials. Cheap to clone.
///
/// Every request has a `User-Agent`, `oauth-client/<version>` unless another is [set](Self::user_agent), because some
/// firewalls refuse requests without one; and it asks for an uncompressed response. One that comes as gzip or deflate
/// all the same is decoded, and [`Limits::max_body`] counts decoded bytes.
#[derive(Clone)]
pub struct HttpClient {
    transport: Arc<dyn Transport>,
    manners: Arc<Manners>,
}

/// What is left for one response.
#[derive(Clone, Copy)]
struct Room {
    /// The largest body, in bytes.
    most: usize,
    began: Instant,
    time: Duration,
}

trait Transport: Send + Sync {
    fn call(
        &self,
        request: Request<RequestBody>,
        room: Room,
    ) -> BoxFuture<'static, Result<Response<Bytes>, Error>>;
}

impl HttpClient {
    /// Any tower HTTP service. It is cloned for each request and asked to be ready before it is called.
    ///
    /// It resolves names by itself. Requests to hosts that a foreign document names carry the extension
    /// [`PublicOnly`]: there it should connect to no private address that a public name resolves to.
    #[must_use]
    pub fn from_service<S, B>(service: S) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { transport: Arc::new(Tower(Mutex::new(service))), manners: Arc::default() }
    }

    /// Sends this `User-Agent` instead of `oauth-client/<version>`.
    ///
    /// # Errors
    /// `config`, naming `user_agent`, for a text that a header cannot carry, or none.
    pub fn user_agent(mut self, text: &str) -> Result<Self, Error> {
        Arc::make_mut(&mut self.manners).set_user_agent(text)?;
        Ok(self)
    }

    /// Further headers, such as a gateway's `x-api-key`, for requests to these origins (scheme, host and port of the
    /// URLs given; their paths do not count) and to no others. The values count as secrets and are read for each request. A
    /// header that a request has by itself stays as it is.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// use oauth_client::secret::from_file;
    /// # use oauth_client::transport::HttpClient;
    /// # fn example(http: HttpClient) -> Result<HttpClient, oauth_client::Error> {
    /// http.headers_for(["https://auth.example.com"], [("x-api-key", from_file("/run/secrets/gateway"))])
    /// # }
    /// ```
    ///
    /// # Errors
    /// `config`, naming `headers`, for an address that is not a URL, for what is no header's name, and for headers that
    /// are the transport's own, such as `Host`.
    pub fn headers_for<O: AsRef<str>, N: AsRef<str>, V: Into<SecretSource>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error> {
        Arc::make_mut(&mut self.manners).add_headers(origins, headers)?;
        Ok(self)
    }

    /// A bearer token for requests to these origins that have no `Authorization` of their own: for servers that show
    /// their keys to known callers only, as a Kubernetes API server does. It is read for each request.
    ///
    /// # Errors
    /// `config`, naming `token_file`, for an address that is not a URL.
    pub fn bearer_for<O: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
        token: impl Into<SecretSource>,
    ) -> Result<Self, Error> {
        Arc::make_mut(&mut self.manners).add_bearer(origins, token.into())?;
        Ok(self)
    }

    /// Sends one request and reads its whole response, whatever its status but a redirect.
    ///
    /// # Errors
    /// `config` for plain http to another machine, `discovery` for a private address where [`Limits::public_only`] is
    /// set, `timeout`, `transport`, `too_large`, `redirect`, `malformed_response` for a compressed response that cannot be
    /// decoded, and what the source of a [header](Self::headers_for) fails with.
    pub async fn send(&self, request: Request<Bytes>, limits: &Limits) -> Result<Response<Bytes>, Error> {
        self.begin(request, limits)?.await
    }

    /// As [`send`](Self::send), by a future that does not hold the request beside what has become of it.
    pub(crate) fn begin(
        &self,
        request: Request<Bytes>,
        limits: &Limits,
    ) -> Result<impl Future<Output = Result<Response<Bytes>, Error>> + Send + use<'_>, Error> {
        let exchange = self.exchange(request, limits)?;
        let time = limits.timeout;
        Ok(async move {
            match tokio::time::timeout(time, exchange).await {
                Ok(response) => response,
                Err(_) => Err(Error::new(Kind::Timeout(time))),
            }
        })
    }

    fn exchange(
        &self,
        mut request: Request<Bytes>,
        limits: &Limits,
    ) -> Result<BoxFuture<'_, Result<Response<Bytes>, Error>>, Error> {
        require_https(request.uri(), limits.allow_http)?;
        if limits.public_only {
            private::require_public(request.uri())?;
            request.extensions_mut().insert(PublicOnly);
        }
        self.manners.apply(request.headers_mut());
        let room = Room { most: limits.max_body, began: Instant::now(), time: limits.timeout };
        if self.manners.has_headers() {
            return Ok(Box::pin(async move {
                self.manners.add_headers_to(&mut request).await?;
                self.transport.call(request.map(RequestBody::new), room).await
            }));
        }
        Ok(self.transport.call(request.map(RequestBody::new), room))
    }

    /// Fetches a JSON document.
    ///
    /// # Errors
    /// As [`send`](Self::send); and any status but 2xx is an error that keeps the status and `Retry-After`.
    pub async fn get_json(&self, url: &Url, limits: &Limits) -> Result<Response<Bytes>, Error> {
        self.get(url, ACCEPT_JSON, limits).await
    }

    /// Fetches a JSON Web Key Set, as JSON or by its own media type (RFC 7517 section 8.5).
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub async fn get_key_set(&self, url: &Url, limits: &Limits) -> Result<Response<Bytes>, Error> {
        self.get(url, ACCEPT_KEY_SET, limits).await
    }

    async fn get(&self, url: &Url, accept: HeaderValue, limits: &Limits) -> Result<Response<Bytes>, Error> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = to_uri(url)?;
        request.headers_mut().insert(ACCEPT, accept);
        let response = self.send(request, limits).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let wait = retry_after_by_server(response.headers());
        Err(Error::new(Kind::ErrorResponse(ErrorResponse::new(response.status()))).with_retry_after(wait))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

/// The mutex makes services that are not `Sync` welcome; it is held for the clone only.
struct Tower<S>(Mutex<S>);

impl<S, B> Transport for Tower<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn call(
        &self,
        request: Request<RequestBody>,
        room: Room,
    ) -> BoxFuture<'static, Result<Response<Bytes>, Error>> {
        let Room { most, began, time } = room;
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let response = service.oneshot(request).await.map_err(|error| no_response(error.into()))?;
            let (mut head, body) = response.into_parts();
            if head.status.is_redirection() {
                return Err(Error::new(Kind::Redirect(head.status)));
            }
            // Of an error the status counts; its body may be whatever a gateway makes of it.
            let body = if head.status.is_success() {
                decode::plain(&head.headers, body::read_capped(body, most).await?, most)?
            } else {
                let most = most.min(MAX_ERROR_BODY);
                let start = body::read_start(body, most, time.saturating_sub(began.elapsed())).await;
                decode::plain(&head.headers, start, most).unwrap_or_default()
            };
            if head.headers.remove(CONTENT_ENCODING).is_some() {
                head.headers.remove(CONTENT_LENGTH);
            }
            Ok(Response::from_parts(head, body))
        })
    }
}

/// RFC 6749 section 3.2 demands TLS; loopback traffic never leaves the machine.
pub(crate) fn require_https(uri: &Uri, allow_http: bool) -> Result<(), Error> {
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if allow_http || uri.host().is_some_and(is_loopback) => Ok(()),
        Some("http") => Err(Error::config(
            "danger_allow_http",
            format!(
                "{} is plain http, where anyone on the path can read the secrets; use https, or danger_allow_http in a test",
                printable(&format!("http://{}", uri.host().unwrap_or_default()), 256)
            ),
        )),
        _ => Err(Error::config("url", "expected an absolute https URL")),
    }
}

/// Whether a URL's host is this very machine, where plain http never leaves the machine: `localhost`, names below it
/// (RFC 6761 section 6.3), with a dot at the end or not, and loopback addresses. An IPv6 address may have its brackets.
///
/// ```
/// use oauth_client::transport::is_loopback;
///
/// assert!(is_loopback("localhost") && is_loopback("127.0.0.1") && is_loopback("[::1]"));
/// assert!(!is_loopback("localhost.example.com") && !is_loopback("10.0.0.1"));
/// ```
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let local_name = name == "localhost" || name.ends_with(".localhost");
    local_name || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) fn to_uri(url: &Url) -> Result<Uri, Error> {
    url.as_str().parse().map_err(|_| {
        // Path and query may hold a secret.
        let origin = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        Error::config("url", format!("a URL at {} is too long to be requested", printable(&origin, 256)))
    })
}

/// `Retry-After` (RFC 9110 section 10.2.3), as seconds or as a date, from `now` on the wall clock. Longer than a day is
/// taken as a day; what is not understood counts as absent.
pub(crate) fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    // A slip of the server's, such as milliseconds, is not to end a program's work for good.
    const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is a long time too.
        return Some(text.parse().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT));
    }
    Some(unix_time(text)?.saturating_sub(now).min(MAX_WAIT))
}

/// The same without a clock of one's own: a date counts from the server's own `Date`.
pub(crate) fn retry_after_by_server(headers: &HeaderMap) -> Option<Duration> {
    let server_date = headers.get(DATE).and_then(|date| unix_time(date.to_str().ok()?));
    retry_after(headers, server_date.unwrap_or(Duration::MAX))
}

fn unix_time(http_date: &str) -> Option<Duration> {
    httpdate::parse_http_date(http_date).ok()?.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()
}

/// Sorts a failed call: a connection that never stood has certainly not carried the request.
fn no_response(source: BoxError) -> Error {
    // What the bundled transport says of its certificates is ours already.
    let source = match source.downcast::<Error>() {
        Ok(error) => return *error,
        Err(source) => source,
    };
    let sent = !never_sent(&*source);
    Error::new(Kind::Transport { sent, source })
}

/// Marks an error from before the first byte of the request was written.
#[derive(Debug, thiserror::Error)]
#[error("no connection")]
pub(crate) struct NotSent(#[source] pub(crate) BoxError);

fn never_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let refused = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        error.is::<NotSent>() || refused == Some(std::io::ErrorKind::ConnectionRefused)
    })
}

#[cfg(test)]
mod tests;
