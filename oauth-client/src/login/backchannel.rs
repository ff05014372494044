//! The relying party's side of OpenID Connect Back-Channel Logout 1.0: a route that the server calls when a user logs out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tower_service::Service;

use super::Login;
use crate::client::Client;
use crate::error::{BoxError, Error};
use crate::id_token::LogoutToken;
use crate::source::TokenSource;
use crate::token::Secret;

/// The largest form that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// How long a form may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many tokens are remembered, so that each has its effect once.
const REMEMBERED: usize = 10_000;

/// A tower service for the `backchannel_logout_uri` of a web app: it validates logout tokens and logs the
/// [sources](TokenSource) of those logins out. Clones share their logins.
///
/// The response is 200 for a good token, 400 with a JSON error for a bad one, 405 for another method than POST, and 503 with
/// `Retry-After` while the issuer's keys are unavailable, or a store cannot be emptied.
///
/// ```no_run
/// use oauth_client::Client;
/// use oauth_client::login::{BackchannelLogout, Login};
///
/// # async fn run(client: Client, login: Login) -> Result<(), oauth_client::Error> {
/// let logout = BackchannelLogout::new(client.clone()).on_logout(|token| {
///     println!("drop the app's own sessions of {:?}, {:?}", token.subject(), token.session());
/// });
/// // With axum: Router::new().route_service("/backchannel-logout", logout.clone())
///
/// // After each login:
/// let source = client.source(oauth_client::grant::login()).starting_with(login.clone()).build()?;
/// let registration = logout.register(&login, &source); // keep it in the app's session, next to the source
/// # drop(registration);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BackchannelLogout(Arc<Shared>);

struct Shared {
    client: Client,
    hook: Option<Hook>,
    state: Mutex<State>,
}

type Hook = Arc<dyn Fn(&LogoutToken) + Send + Sync>;

#[derive(Default)]
struct State {
    logins: HashMap<u64, Registered>,
    next: u64,
    /// The ids of tokens that took effect, oldest first.
    seen: VecDeque<String>,
}

struct Registered {
    subject: String,
    session: Option<String>,
    since: Duration,
    source: TokenSource,
}

impl BackchannelLogout {
    /// For the logins of this client, which needs an issuer.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Shared { client, hook: None, state: Mutex::default() }))
    }

    /// Called with each good token, after the sources are logged out: for the app's own sessions.
    #[must_use]
    pub fn on_logout(self, hook: impl Fn(&LogoutToken) + Send + Sync + 'static) -> Self {
        let shared = Shared {
            client: self.0.client.clone(),
            hook: Some(Arc::new(hook)),
            state: Mutex::new(std::mem::take(&mut *self.0.state())),
        };
        Self(Arc::new(shared))
    }

    /// Logs the source out when that login ends at the server: by its session (`sid` of the ID token), or as all logins of its
    /// user. It is forgotten when the registration is dropped. The server cannot name a login without an ID token: the
    /// result is then `None`.
    pub fn register(&self, login: &Login, source: &TokenSource) -> Option<Registration> {
        let token = login.id_token()?;
        let session = token.claims().get("sid").and_then(serde_json::Value::as_str);
        let registered = Registered {
            subject: token.subject().to_owned(),
            session: session.map(str::to_owned),
            since: token.issued_at(),
            source: source.clone(),
        };
        let mut state = self.0.state();
        let number = state.next;
        state.next += 1;
        state.logins.insert(number, registered);
        Some(Registration { shared: Arc::clone(&self.0), number })
    }

    /// Validates a logout token and logs out the sources it is about, for frameworks without tower services. Returns
    /// the token. A token that comes again has no further effect.
    ///
    /// # Errors
    /// As [`Client::validate_logout_token`], and `store` when a store cannot be emptied.
    pub async fn log_out(&self, token: impl Into<Secret>) -> Result<LogoutToken, Error> {
        let token = self.0.client.validate_logout_token(&token.into()).await?;
        if self.0.state().seen.iter().any(|id| id == token.id()) {
            return Ok(token);
        }
        let (mut tried, mut failed) = (HashSet::new(), None);
        // Those that are registered meanwhile too; and one store that is away keeps no other login alive.
        while let Some((number, source)) = self.0.next_meant(&token, &tried, failed.is_none()) {
            tried.insert(number);
            match source.log_out().await {
                Ok(_) => self.0.forget(number),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(hook) = &self.0.hook {
            hook(&token);
        }
        Ok(token)
    }

    async fn respond<B>(self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        if request.method() != Method::POST {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let token = match token(request).await {
            Ok(token) => token,
            Err(what) => return refused(what),
        };
        match self.log_out(token).await {
            Ok(_) => empty(StatusCode::OK),
            Err(error) if error.code() == "invalid_logout_token" => refused(&error.to_string()),
            Err(error) => {
                tracing::warn!(target: "oauth_client", code = error.code(), error = %error.with_causes(), "a logout could not be made");
                let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
                let wait = error.retry_after().map_or(1, |wait| wait.as_secs().max(1));
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
                response
            }
        }
    }
}

impl Registered {
    /// A token with `sid` means that session; one without it, all logins of the user until then.
    fn is_meant(&self, token: &LogoutToken) -> bool {
        match (token.session(), &self.session, token.subject()) {
            (Some(named), Some(own), _) => named == own,
            (_, _, Some(subject)) => self.subject == subject && self.since <= token.issued_at(),
            _ => false,
        }
    }
}

impl Shared {
    /// A login that the token means and that was not tried yet. When there is none, the token has had its effect, unless
    /// something failed.
    fn next_meant(
        &self,
        token: &LogoutToken,
        tried: &HashSet<u64>,
        is_good: bool,
    ) -> Option<(u64, TokenSource)> {
        let mut state = self.state();
        let mut logins = state.logins.iter();
        if let Some((number, one)) =
            logins.find(|(number, one)| !tried.contains(number) && one.is_meant(token))
        {
            return Some((*number, one.source.clone()));
        }
        if is_good {
            state.seen.push_back(token.id().to_owned());
            if state.seen.len() > REMEMBERED {
                state.seen.pop_front();
            }
        }
        None
    }

    fn forget(&self, number: u64) {
        let forgotten = self.state().logins.remove(&number);
        // Without the lock: a source drops what its app has given to it, another registration perhaps.
        drop(forgotten);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A login that a logout may end, from [`BackchannelLogout::register`]. Dropped, it is forgotten.
#[must_use = "dropped, the login is forgotten, and no logout reaches it"]
pub struct Registration {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.forget(self.number);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

impl fmt::Debug for BackchannelLogout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackchannelLogout")
            .field("logins", &self.0.state().logins.len())
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for BackchannelLogout
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = LogoutFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> LogoutFuture {
        let logout = self.clone();
        LogoutFuture(Box::pin(async move { logout.respond(request).await }))
    }
}

/// The response of a [`BackchannelLogout`].
pub struct LogoutFuture(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>);

impl Future for LogoutFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

impl fmt::Debug for LogoutFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogoutFuture")
    }
}

/// The one token of the form.
async fn token<B>(request: Request<B>) -> Result<String, &'static str>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err("Content-Type: expected application/x-www-form-urlencoded");
    }
    let body = Limited::new(request.into_body(), LONGEST).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => return Err("the form is too long, or does not end"),
    };
    let mut tokens = url::form_urlencoded::parse(&body).filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err("logout_token: is missing"),
        (Some(_), Some(_)) => Err("logout_token: is there more than once"),
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// OpenID Connect Back-Channel Logout section 2.8.
fn refused(what: &str) -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::BAD_REQUEST);
    let body = serde_json::json!({ "error": "invalid_request", "error_description": what });
    *response.body_mut() = Full::from(body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
