//! One request to an API, and what the API's responses to it lead to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, StatusCode};
use url::Url;

use super::authorizer::{Authorizer, Current, is_unknown};
use super::scope::{covers, union, wanted};
use crate::discover::{Challenge, Found, follow_or_default, is_same};
use crate::dpop::{Dpop, proof_error};
use crate::error::{Error, printable};
use crate::source::TokenSource;
use crate::transport::Limits;

/// One request and what it leads to; made by [`Authorizer::attempt`].
#[derive(Debug)]
#[must_use = "it is for one request"]
pub struct Attempt {
    authorizer: Authorizer,
    current: Option<Arc<Current>>,
    /// Whether the current token turned out to be gone, so that the request goes without one.
    without: bool,
    authorizations: u32,
}

/// What a response asks for.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// A token, or another one.
    Token,
    /// A token that may do more.
    MoreScope,
}

impl Attempt {
    pub(super) fn new(authorizer: Authorizer, current: Option<Arc<Current>>) -> Self {
        Self { authorizer, current, without: false, authorizations: 0 }
    }

    /// Where the token of this request comes from. Without a source the request goes without a token: the API then says
    /// which server to ask.
    #[must_use]
    pub fn source(&self) -> Option<&TokenSource> {
        self.current.as_ref().filter(|_| !self.without).map(|current| &current.source)
    }

    /// Reports why the source returned no token. `true` means that another authorization helps: the grant is lost
    /// ([`Error::is_reauthorization_required`]), or the server no longer knows the client that registered itself, which
    /// is forgotten then. The request goes without a token, and the API's response leads to another. `false` means
    /// that the error stands.
    pub fn recovers_from(&mut self, error: &Error) -> bool {
        let Some(current) = &self.current else { return false };
        let unknown = current.registered.as_deref().filter(|_| is_unknown(error));
        if let Some(client_id) = unknown {
            self.authorizer.0.identities.forget(&current.issuer, client_id);
        }
        let helps = unknown.is_some() || error.is_reauthorization_required();
        self.without |= helps;
        helps
    }

    /// Acts on the response to the request. `true` means that there is another token, so that the request should be
    /// sent once more; `false` means that the response stands.
    ///
    /// A 401 leads to an authorization, and so does a 403 with `insufficient_scope`. Requests that are rejected at the
    /// same time share one. The number of authorizations is limited: one request leads to at most
    /// [`max_authorizations`](super::AuthorizerBuilder::max_authorizations); if a token is refused that was just
    /// obtained, another authorization follows only if the API has moved to another server; a scope that the server
    /// says it has granted is not asked for again, and none is asked for twice for one request. A challenge without
    /// scopes asks for no more than was needed so far.
    ///
    /// Dropping the future abandons the login. A client that registered itself meanwhile is kept.
    ///
    /// # Errors
    /// `discovery` for metadata that are missing or not to be trusted, or, for a login, do not list PKCE; `unsupported`
    /// where there is no client for the server; and the errors of registration, of a [login](crate::Client::finish) and
    /// of token requests.
    pub async fn again(&mut self, status: StatusCode, headers: &HeaderMap) -> Result<bool, Error> {
        let Some(need) = self.need(status, headers) else { return Ok(false) };
        let authorizer = self.authorizer.clone();
        let inner = &authorizer.0;
        if self.authorizations >= inner.max_authorizations {
            return Ok(false);
        }
        let failures = inner.failures.load(Ordering::Acquire);
        let mut authorizing = inner.authorizing.lock().await;
        let latest = inner.current.load_full();
        let is_latest = match (&latest, &self.current) {
            (Some(latest), Some(ours)) => Arc::ptr_eq(latest, ours),
            (latest, ours) => latest.is_none() && ours.is_none(),
        };
        if !is_latest {
            // Another request has led to it while this one was under way.
            self.adopt(latest);
            return Ok(true);
        }
        // Those who waited for one that failed share its failure: no person is asked as often as there are requests.
        if let Some(failure) = &authorizing.failure
            && inner.failures.load(Ordering::Acquire) != failures
        {
            return Err(failure.clone());
        }
        match self.authorize(&need, headers, &mut authorizing.dpop).await {
            Ok(None) => Ok(false),
            Ok(Some(current)) => {
                let current = Arc::new(current);
                inner.current.store(Some(Arc::clone(&current)));
                authorizing.failure = None;
                self.adopt(Some(current));
                Ok(true)
            }
            Err(error) => {
                authorizing.failure = Some(error.clone());
                inner.failures.fetch_add(1, Ordering::AcqRel);
                Err(error)
            }
        }
    }

    /// A new authorization; `None` where one is of no use.
    async fn authorize(
        &self,
        need: &Need,
        headers: &HeaderMap,
        made: &mut Option<Dpop>,
    ) -> Result<Option<Current>, Error> {
        let inner = &self.authorizer.0;
        let limits = Limits { allow_http: inner.settings.allow_http, ..Limits::metadata() };
        let (http, url) = (&inner.http, inner.url.as_str());
        let found = follow_or_default(http, url, headers, &limits, inner.default_endpoints).await?;
        if inner.exact_resource {
            is_exactly(&inner.url, &found.resource.resource)?;
        }
        let Some(scope) = self.scope(need, &found) else { return Ok(None) };
        let was_bound = self.current.as_ref().is_some_and(|current| current.is_bound);
        let dpop = inner.dpop(&found, headers, was_bound, made)?;
        inner.authorize(&found, scope, dpop, self.current.as_deref()).await.map(Some)
    }

    fn adopt(&mut self, current: Option<Arc<Current>>) {
        self.current = current;
        self.without = false;
        self.authorizations += 1;
    }

    fn need(&self, status: StatusCode, headers: &HeaderMap) -> Option<Need> {
        let challenges = Challenge::from_headers(headers);
        let says = |error: &str| challenges.iter().any(|one| one.parameter("error") == Some(error));
        match status {
            // Nothing is wrong with the token: the proof beside it is not what the API wants, or the login.
            StatusCode::UNAUTHORIZED if self.source().is_some() && proof_error(headers).is_some() => None,
            StatusCode::UNAUTHORIZED if says("insufficient_user_authentication") => None,
            StatusCode::UNAUTHORIZED => Some(Need::Token),
            StatusCode::FORBIDDEN if self.source().is_some() && says("insufficient_scope") => {
                Some(Need::MoreScope)
            }
            _ => None,
        }
    }

    /// The scopes to ask for; `None` where asking is of no use.
    fn scope(&self, need: &Need, found: &Found) -> Option<Vec<String>> {
        let more = wanted(&found.scope, &found.resource, &found.server);
        let ours = self.current.as_ref().filter(|current| current.issuer == found.server.issuer);
        let Some(current) = ours else { return Some(more) };
        let scope = union(&current.scope, &more);
        match need {
            Need::Token if self.authorizations > 0 => None,
            // A challenge without scopes asks for a token, and not for more than was needed so far.
            Need::Token if found.scope.is_empty() && !current.scope.is_empty() => Some(current.scope.clone()),
            Need::Token => Some(scope),
            Need::MoreScope => {
                let token = current.source.current();
                let granted = token.as_ref().and_then(|token| token.tokens().scope());
                // Without a word on it, what was asked for was granted (RFC 6749 section 5.1).
                let granted = granted.unwrap_or(&current.scope);
                let is_new = !covers(&current.scope, &scope);
                // What was declined may be granted another time; the same request does not ask for it twice.
                let is_open = self.authorizations == 0 && !covers(granted, &scope);
                (is_new || is_open).then_some(scope)
            }
        }
    }
}

/// Refuses a token that would be good for more than the API that was called.
fn is_exactly(called: &Url, resource: &str) -> Result<(), Error> {
    if Url::parse(resource).is_ok_and(|resource| is_same(&resource, called)) {
        return Ok(());
    }
    Err(Error::discovery(format!(
        "resource {:?} is above the API at {:?}, and exact_resource is set; the API has to name its own URL",
        printable(resource, 256),
        printable(called.as_str(), 256)
    )))
}
