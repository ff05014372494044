//! The guard: the handle that users hold. It checks tokens and authorizes requests without a body or a framework.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Response;
use serde::de::DeserializeOwned;

use crate::authorize::{OfLayer, Requirement, compare, log_dry_run};
use crate::check::Check;
use crate::claims::{Claims, Untyped};
use crate::describe::ResourceMetadata;
use crate::reject::Rejection;
use crate::request::{RequestHead, Unread};
use crate::snapshot::Snapshot;

/// Validates bearer tokens and authorizes requests. Cheap to clone; clones share keys, cache and configuration.
///
/// Most services only need [`layer`](Self::layer). [`check`](Self::check) and [`authorize`](Self::authorize) are the
/// same steps for code without a tower stack.
///
/// ```
/// use oauth_guard::{Guard, Issuer};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .build()?;
/// let layer = guard.layer();
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
pub struct Guard<T = Untyped>(Arc<Shared<T>>);

/// What all clones of a guard, its layers and its services share: the snapshot in force.
struct Shared<T> {
    snapshot: ArcSwap<Snapshot<T>>,
    /// Locked while a new snapshot is built from the current one.
    reloading: Mutex<()>,
    /// The scopes that layers require, for the RFC 9728 document. They outlive a reload, as layers do.
    layer_scopes: Mutex<BTreeSet<String>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Validates the token of a request and, if it is bound to a key, what proves that the caller has the key: the DPoP proof
    /// or the certificate. A proof is used up by that, so a second check of the same request finds a replay.
    ///
    /// `Ok(None)` means that the request has no token; the caller decides whether to accept that. The result is
    /// [`Check::Ready`] unless keys or the issuer must be fetched; [`Check::Pending`] is a future that borrows nothing.
    pub fn check<'a>(&self, request: impl Into<RequestHead<'a>>) -> Check<T> {
        self.snapshot().check(&request.into())
    }

    /// Applies the [rules](crate::Rule) to a request, for code without a tower stack. `claims` are the result of
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// The rejection: a token is required and missing, the token grants too little, or the path is ambiguous.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer, Rule};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .rule(Rule::new("/health").public())
    ///     .build()?;
    /// assert!(guard.authorize(&http::Request::get("/health").body(())?, None).is_ok());
    /// assert!(guard.authorize(&http::Request::get("/orders").body(())?, None).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn authorize<'a>(
        &self,
        request: impl Into<RequestHead<'a>>,
        claims: Option<&Claims<T>>,
    ) -> Result<(), Rejection> {
        self.authorize_with(request.into(), claims, None)
    }

    /// The same where [MCP rules](crate::Rule::mcp) need the body: `body` is the whole of it. Without it, the requests
    /// that such rules are for are rejected.
    ///
    /// # Errors
    /// As [`authorize`](Self::authorize), and when the body contradicts the headers.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer, Rule};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("https://api.example.com/mcp"))
    ///     .rule(Rule::new("/mcp").mcp("tools/list").public())
    ///     .build()?;
    /// let request = http::Request::post("/mcp").header("mcp-method", "tools/list").body(())?;
    /// let listing = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    /// let calling = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_all"}}"#;
    /// assert!(guard.authorize_with_body(&request, listing, None).is_ok());
    /// assert_eq!(guard.authorize_with_body(&request, calling, None).unwrap_err().code(), "invalid_request");
    /// assert_eq!(guard.authorize(&request, None).unwrap_err().code(), "unchecked_body");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn authorize_with_body<'a>(
        &self,
        request: impl Into<RequestHead<'a>>,
        body: &[u8],
        claims: Option<&Claims<T>>,
    ) -> Result<(), Rejection> {
        self.authorize_with(request.into(), claims, Some(body))
    }

    fn authorize_with(
        &self,
        request: RequestHead<'_>,
        claims: Option<&Claims<T>>,
        body: Option<&[u8]>,
    ) -> Result<(), Rejection> {
        let snapshot = self.snapshot();
        let authorization = snapshot.authorization(&request, OfLayer::NOTHING)?;
        authorization.authorize(claims)?;
        let Some(check) = authorization.body_check() else { return Ok(()) };
        let body = body.ok_or(Rejection::UncheckedBody)?;
        let compared = if body.len() > check.limit {
            Err(Unread::TooLong.describe())
        } else {
            compare(request.headers, body)
        };
        match compared.map_err(Rejection::MalformedRequest) {
            Err(rejection) if check.dry_run => {
                log_dry_run(&rejection, None, None);
                Ok(())
            }
            compared => compared,
        }
    }

    /// The response of a rejection, as a [layer](Self::layer) sends it: status, challenge, `DPoP-Nonce`, in the caller's
    /// protocol. For code without a tower stack.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .build()?;
    /// let request = http::Request::get("/orders").body(())?;
    /// let rejection = guard.authorize(&request, None).unwrap_err();
    /// assert_eq!(guard.rejection_response(&rejection, &request).status(), 401);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn rejection_response<'a>(
        &self,
        rejection: &Rejection,
        request: impl Into<RequestHead<'a>>,
    ) -> Response<Bytes> {
        self.snapshot().reject_with_bytes(rejection, request.into())
    }

    /// Checks one more requirement, in a handler that knows it only at run time.
    ///
    /// # Errors
    /// The rejection. In a [dry run](crate::GuardBuilder::dry_run) it is logged instead. A requirement that a rule could
    /// not have, such as an empty [`Requirement::all`], is logged as an error and not met.
    pub fn require(&self, requirement: &Requirement, claims: &Claims<T>) -> Result<(), Rejection> {
        if let Err(why) = requirement.validate() {
            tracing::error!(target: "oauth_guard", why, "a handler requires what no token meets");
            return Err(Rejection::InsufficientScope { needed: Box::default() });
        }
        let snapshot = self.snapshot();
        snapshot.requirement_only(requirement).authorize(Some(claims))
    }
}

/// A guard that does not keep itself alive.
pub(crate) struct WeakGuard<T>(Weak<Shared<T>>);

impl<T> WeakGuard<T> {
    pub(crate) fn upgrade(&self) -> Option<Guard<T>> {
        self.0.upgrade().map(Guard)
    }
}

impl<T> Guard<T> {
    pub(crate) fn downgrade(&self) -> WeakGuard<T> {
        WeakGuard(Arc::downgrade(&self.0))
    }

    pub(crate) fn new(snapshot: Snapshot<T>) -> Self {
        Self(Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            reloading: Mutex::default(),
            layer_scopes: Mutex::default(),
        }))
    }

    /// The snapshot in force. Load it once per decision, so that no request is decided by two of them.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot<T>>> {
        self.0.snapshot.load()
    }

    /// Puts another snapshot in force.
    pub(crate) fn store(&self, snapshot: Snapshot<T>) {
        self.0.snapshot.store(Arc::new(snapshot));
    }

    /// Locked by each reload: a new snapshot is built from the one before it.
    pub(crate) fn reloading(&self) -> &Mutex<()> {
        &self.0.reloading
    }

    /// Removes an issuer that [`resolve_issuers`](crate::GuardBuilder::resolve_issuers) found. Its tokens are rejected
    /// from now on, cached ones included, until it is resolved again. A resolution under way is discarded, and a name
    /// that was unknown is resolved again. Returns whether the issuer was known.
    ///
    /// Resolved issuers do not expire: call this when a tenant is deleted or its conditions change. It waits for a
    /// [reload](Self::reload) under way.
    pub fn forget_issuer(&self, name: &str) -> bool {
        // A reload under way would put tenants in force that do not know of it.
        let _reloading = self.reloading().lock().unwrap_or_else(PoisonError::into_inner);
        self.snapshot().tenants.as_ref().is_some_and(|tenants| tenants.forget(name))
    }

    /// This API's RFC 9728 metadata, if [`GuardBuilder::resource`](crate::GuardBuilder::resource) is set. A reload or
    /// another layer may change it, so call this for each response.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<ResourceMetadata> {
        let mut document = self.snapshot().resource.clone()?;
        let of_layers = self.0.layer_scopes.lock().unwrap_or_else(PoisonError::into_inner);
        document.add_scopes(&of_layers);
        Some(document)
    }

    /// Notes the scopes that a layer requires.
    pub(crate) fn add_scopes(&self, requirement: &Requirement) {
        let mut scopes = BTreeSet::new();
        requirement.scopes(&mut scopes);
        if !scopes.is_empty() {
            let mut of_layers = self.0.layer_scopes.lock().unwrap_or_else(PoisonError::into_inner);
            of_layers.extend(scopes.into_iter().map(str::to_owned));
        }
    }
}

impl<T> Clone for Guard<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("issuers", &self.snapshot().issuers.keys()).finish_non_exhaustive()
    }
}
