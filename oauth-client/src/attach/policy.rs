use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use http_body::SizeHint;

/// Which requests may be sent once more after the API rejected the token on them.
///
/// By default all of them, whatever their method: an API that responds with 401 has not acted. The only limit is the
/// body, which has to be repeated in full: see [`max_body`](Self::max_body).
///
/// ```
/// use oauth_client::attach::ReplayPolicy;
///
/// assert_eq!(ReplayPolicy::default().max_body(), 64 * 1024);
/// // An API that acts first and checks the token later: repeat only what is safe to repeat.
/// let careful = ReplayPolicy::when(|request| request.method().is_safe()).with_max_body(0);
/// assert!(!careful.is_never());
/// ```
///
/// # What a possible replay costs
///
/// The head of each request is copied before it is sent, because a service consumes it: two allocations, four when
/// there is a body to record, and a clone of the service. [`never`](Self::never) allocates nothing.
#[derive(Clone)]
pub struct ReplayPolicy {
    rule: Rule,
    max_body: usize,
}

#[derive(Clone)]
enum Rule {
    Never,
    Always,
    When(Arc<dyn Fn(&ReplayView<'_>) -> bool + Send + Sync>),
}

/// What a [`ReplayPolicy`] sees of a request, before it is sent.
#[derive(Debug)]
pub struct ReplayView<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: SizeHint,
}

/// A JSON request is far below this; what is above is an upload, and better repeated by who holds the file.
const MAX_BODY: usize = 64 * 1024;

impl ReplayPolicy {
    /// No request is sent twice. A refused token is dropped all the same, so that the next request gets a new one.
    #[must_use]
    pub fn never() -> Self {
        Self { rule: Rule::Never, max_body: 0 }
    }

    /// Those requests for which `rule` returns true. It is called once for each request, before that is sent.
    #[must_use]
    pub fn when(rule: impl Fn(&ReplayView<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { rule: Rule::When(Arc::new(rule)), max_body: MAX_BODY }
    }

    /// Sets the largest body, in bytes, that is recorded for a replay. With 0 only requests without one are repeated.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The largest body, in bytes, that is recorded for a replay: 64 KiB unless set. It is also the most memory that
    /// one request in flight holds for it.
    #[must_use]
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// Whether this is [`never`](Self::never).
    #[must_use]
    pub fn is_never(&self) -> bool {
        matches!(self.rule, Rule::Never)
    }

    /// Whether a copy of this request is worth making.
    pub(super) fn allows(&self, request: &ReplayView<'_>) -> bool {
        let fits = || usize::try_from(request.body.lower()).is_ok_and(|least| least <= self.max_body);
        match &self.rule {
            Rule::Never => false,
            Rule::Always => fits(),
            Rule::When(rule) => fits() && rule(request),
        }
    }
}

impl Default for ReplayPolicy {
    fn default() -> Self {
        Self { rule: Rule::Always, max_body: MAX_BODY }
    }
}

impl fmt::Debug for ReplayPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.rule {
            Rule::Never => "never",
            Rule::Always => "always",
            Rule::When(_) => "when(…)",
        };
        f.debug_struct("ReplayPolicy").field("rule", &rule).field("max_body", &self.max_body).finish()
    }
}

impl<'a> ReplayView<'a> {
    pub(super) fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap, body: SizeHint) -> Self {
        Self { method, uri, headers, body }
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.method
    }

    /// The request's URI.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.uri
    }

    /// The request's headers, before the token is put among them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers
    }

    /// The length of the request's body in bytes, where it is known beforehand.
    #[must_use]
    pub fn body_size(&self) -> Option<u64> {
        self.body.exact()
    }
}
