//! The judge: one token to its claims or to a refusal, without a body or a framework in sight.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri};
use serde::de::DeserializeOwned;

use crate::builder::GuardBuilder;
use crate::claims::{Claims, Untyped};
use crate::judge::Policy;
use crate::layer::GuardLayer;
use crate::policy::{Demand, Requirement};
use crate::refuse::Refusal;

/// Judges bearer tokens. Cheap to clone; clones share keys and cache.
///
/// Most services only need [`layer`](Self::layer). [`check`](Self::check) is the same judgement for whoever has
/// no tower stack.
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
pub struct Guard<T = Untyped>(pub(crate) Arc<Live<T>>);

/// What all clones of a guard, its layers and its services share: the policy in force.
pub(crate) struct Live<T> {
    policy: ArcSwap<Policy<T>>,
    /// Held while a policy is made from the one before it.
    pub(crate) reloading: Mutex<()>,
}

impl Guard {
    /// Starts the description of a guard. Claims are read by name; for a type of your own go on with
    /// [`GuardBuilder::claims`].
    pub fn builder() -> GuardBuilder<Untyped> {
        GuardBuilder::new()
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// A tower layer that lets requests with a good token through, with [`Claims<T>`] in their extensions.
    #[must_use]
    pub fn layer(&self) -> GuardLayer<T> {
        GuardLayer::new(self.clone())
    }

    /// Judges the token of a request.
    ///
    /// `Ok(None)` means that there is no token, which is for the caller of this method to allow or refuse.
    /// Whatever can be told without a fetch is told at once; else the answer is a future that borrows nothing.
    pub fn check<'a>(&self, request: impl Into<RequestHead<'a>>) -> Check<T> {
        self.policy().check(request.into())
    }

    /// Asks the [rules](crate::Rule) whether a request may pass, for whoever has no tower stack: `claims` are what
    /// [`check`](Self::check) said about it.
    ///
    /// # Errors
    /// The refusal: nothing there where a token is needed, too little granted, or a path that two servers could read
    /// differently.
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
    ) -> Result<(), Refusal> {
        let policy = self.policy();
        policy.demand(request.into(), None, false)?.admit(claims)
    }

    /// Asks whether a token grants this too, in a handler that knows only then what it takes.
    ///
    /// # Errors
    /// The refusal, unless this is a [dry run](GuardBuilder::dry_run).
    pub fn require(&self, requirement: &Requirement, claims: &Claims<T>) -> Result<(), Refusal> {
        let policy = self.policy();
        Demand::of(&policy, requirement).admit(Some(claims))
    }
}

impl<T> Guard<T> {
    pub(crate) fn new(policy: Policy<T>) -> Self {
        Self(Arc::new(Live { policy: ArcSwap::from_pointee(policy), reloading: Mutex::default() }))
    }

    /// The policy in force. Whoever decides something takes it once, so that nothing is decided by two of them.
    pub(crate) fn policy(&self) -> arc_swap::Guard<Arc<Policy<T>>> {
        self.0.policy.load()
    }

    /// Puts another policy in force.
    pub(crate) fn put(&self, policy: Policy<T>) {
        self.0.policy.store(Arc::new(policy));
    }

    /// Drops an issuer that [`resolve_issuers`](GuardBuilder::resolve_issuers) found: its tokens are refused from now
    /// on, those that were let in before as well, unless it is found again. An answer that is on its way is not taken,
    /// and a name that was none is asked about anew. Says whether it was known.
    ///
    /// Issuers that were found do not expire: call this when one is gone or is to be accepted under other conditions.
    pub fn forget_issuer(&self, name: &str) -> bool {
        self.policy().tenants.as_ref().is_some_and(|tenants| tenants.forget(name))
    }
}

impl<T> Clone for Guard<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("issuers", &self.policy().issuers.keys()).finish_non_exhaustive()
    }
}

/// What of a request a guard looks at.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    #[cfg_attr(
        not(feature = "axum"),
        expect(dead_code, reason = "only axum's routers leave something in there")
    )]
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The path as it was received. Nested routers of axum take their prefix off and leave the whole in an extension.
    pub(crate) fn path(self) -> &'a str {
        #[cfg(feature = "axum")]
        if let Some(original) = self.extensions.get::<::axum::extract::OriginalUri>() {
            return original.0.path();
        }
        self.uri.path()
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            headers: request.headers(),
            uri: request.uri(),
            extensions: request.extensions(),
        }
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            headers: &parts.headers,
            uri: &parts.uri,
            extensions: &parts.extensions,
        }
    }
}

/// The answer to [`Guard::check`].
#[derive(Debug)]
pub enum Check<T = Untyped> {
    /// It could be told at once. `None`: the request has no bearer token.
    Now(Result<Option<Claims<T>>, Refusal>),
    /// Keys have to be fetched first.
    Later(CheckFuture<T>),
}

impl<T> Check<T> {
    /// Waits, if there is anything to wait for.
    ///
    /// # Errors
    /// The refusal.
    pub async fn answer(self) -> Result<Option<Claims<T>>, Refusal> {
        match self {
            Self::Now(outcome) => outcome,
            Self::Later(future) => future.await,
        }
    }
}

pub(crate) type Outcome<T> = Result<Option<Claims<T>>, Refusal>;

/// An answer that waits for keys. It owns what it needs; dropping it does not stop the fetch.
pub struct CheckFuture<T = Untyped>(pub(crate) Pin<Box<dyn Future<Output = Outcome<T>> + Send>>);

impl<T> Future for CheckFuture<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for CheckFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckFuture")
    }
}
