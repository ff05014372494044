//! The tower layer, and what it is configured with.

use std::fmt;
use std::sync::Arc;

use http::Request;
use serde::de::DeserializeOwned;
use tower_layer::Layer;

use super::service::GuardService;
use crate::authorize::{Authorization, OfLayer, Requirement};
use crate::claims::{Claims, Untyped, subject};
use crate::guard::Guard;
use crate::reject::Rejection;
use crate::request::RequestHead;
use crate::snapshot::Snapshot;

/// Puts a [`Guard`] in front of a service. Made by [`Guard::layer`].
///
/// ```
/// use oauth_guard::{Guard, Issuer, Requirement};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .build()?;
/// let any_valid_token = guard.layer();
/// let writers = guard.layer().require(Requirement::scope("write"));
/// let token_optional = guard.layer().optional();
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
pub struct GuardLayer<T = Untyped> {
    config: Arc<LayerConfig<T>>,
}

/// The configuration of one layer, shared by its services.
pub(crate) struct LayerConfig<T> {
    pub(crate) guard: Guard<T>,
    asked: OfLayer,
    /// Whether handlers get the caller's token.
    subject_token: bool,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// A tower layer that rejects requests without a valid token, and inserts [`Claims<T>`](crate::Claims) into the
    /// extensions of the others.
    #[must_use]
    pub fn layer(&self) -> GuardLayer<T> {
        GuardLayer {
            config: Arc::new(LayerConfig {
                guard: self.clone(),
                asked: OfLayer::default(),
                subject_token: false,
            }),
        }
    }
}

impl<T> GuardLayer<T> {
    /// Requires this of each token, in addition to the [rules](crate::Rule). Call again to require both. Neither a rule's
    /// access nor a configuration file's `dry_run` or `allow_preflight` undoes it.
    ///
    /// Its scopes are named in [`Guard::resource_metadata`]. A requirement that a rule could not have, such as an empty
    /// [`Requirement::all`], is logged as an error, and the layer rejects every request.
    #[must_use]
    pub fn require(self, requirement: Requirement) -> Self {
        let requirement = match requirement.validate() {
            Ok(()) => requirement,
            Err(why) => {
                tracing::error!(target: "oauth_guard", why, "a layer requires what no token meets: it rejects every request");
                // Never met.
                Requirement::any([])
            }
        };
        self.config.guard.add_scopes(&requirement);
        self.change(|config| {
            config.asked.required = Some(match config.asked.required.take() {
                Some(other) => other & requirement,
                None => requirement,
            });
        })
    }

    /// Forwards requests without a token too, without claims. An invalid token is still rejected: it is never treated
    /// as a missing one. A [rule](crate::Rule) for the route can still ask for a token.
    #[must_use]
    pub fn optional(self) -> Self {
        self.change(|config| config.asked.optional = true)
    }

    /// Hands the caller's token on to the handlers behind this layer, as a [`SubjectToken`](crate::SubjectToken) in the
    /// request's extensions: for those that call other APIs on the caller's behalf. It is handed on also where the guard
    /// strips the token from the request itself. Nothing else hands it on.
    #[must_use]
    pub fn with_subject_token(self) -> Self {
        self.change(|config| config.subject_token = true)
    }

    fn change(self, change: impl FnOnce(&mut LayerConfig<T>)) -> Self {
        let OfLayer { required, optional, .. } = &self.config.asked;
        let asked = OfLayer { required: required.clone(), compiled: None, optional: *optional };
        let mut config =
            LayerConfig { guard: self.config.guard.clone(), asked, subject_token: self.config.subject_token };
        change(&mut config);
        let vocabulary = Arc::clone(&config.guard.snapshot().of_layers);
        config.asked.compiled = config.asked.required.as_ref().map(|needed| vocabulary.compile(needed));
        Self { config: Arc::new(config) }
    }
}

impl<T: Send + Sync + 'static> LayerConfig<T> {
    /// Forwards a request with its claims and, where that was asked for, its token.
    #[inline]
    pub(crate) fn forward<B>(
        &self,
        snapshot: &Snapshot<T>,
        request: &mut Request<B>,
        claims: Option<Claims<T>>,
    ) {
        if self.subject_token {
            // Before it is stripped.
            let subject = claims.as_ref().and_then(|claims| snapshot.subject_token(request, claims));
            subject::hand_on(request.extensions_mut(), subject);
        }
        snapshot.forward(request, claims);
    }
}

impl<T> LayerConfig<T> {
    /// What a request needs, by the rules and by this layer. The head is not copied on the way of a known token: it ends in a
    /// single byte, and a copy would have to wait until that is written.
    #[inline]
    pub(crate) fn authorization<'a>(
        &'a self,
        snapshot: &'a Snapshot<T>,
        head: &RequestHead<'a>,
    ) -> Result<Authorization<'a>, Rejection> {
        match snapshot.possession.screen(*head) {
            Ok(()) => snapshot.authorization(head, &self.asked),
            Err(rejection) => Err(snapshot.logged(rejection)),
        }
    }
}

impl<T, S> Layer<S> for GuardLayer<T> {
    type Service = GuardService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, Arc::clone(&self.config))
    }
}

impl<T> Clone for GuardLayer<T> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<T> fmt::Debug for GuardLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer")
            .field("guard", &self.config.guard)
            .field("requirement", &self.config.asked.required)
            .field("optional", &self.config.asked.optional)
            .finish()
    }
}
