//! Reload: another configuration in force, while requests go on.

use std::sync::{Arc, PoisonError};

use serde::de::DeserializeOwned;

use super::builder::GuardBuilder;
use super::handle::Guard;
use crate::config::GuardConfig;
use crate::error::BuildError;
use crate::snapshot::Snapshot;

/// How many paths a warning names.
const PATHS_LOGGED: usize = 8;

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Puts another configuration in force, for all clones of this guard and all layers made from it.
    ///
    /// **The new configuration says everything.** Nothing that code once gave the builder is added to it: no issuers, no
    /// rules, no [`deny_by_default`](crate::GuardBuilder::deny_by_default) and no realm. A [`GuardConfig`] alone therefore opens
    /// the routes that only code had closed. Where code adds to a file, make the builder
    /// in one function, and call it for the start and for each reload:
    ///
    #[cfg_attr(feature = "toml", doc = "```")]
    #[cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
    /// use oauth_guard::config::GuardConfig;
    /// use oauth_guard::{BuildError, GuardBuilder, Requirement, Rule};
    ///
    /// /// The file, and what stands in code.
    /// fn builder(file: &str) -> Result<GuardBuilder, BuildError> {
    ///     let builder = GuardConfig::from_toml(file)?.into_builder();
    ///     Ok(builder.deny_by_default().rule(Rule::new("/admin/{*rest}").require(Requirement::role("admin"))))
    /// }
    ///
    /// let file = "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n";
    /// let guard = builder(file)?.build()?;
    /// guard.reload(builder(file)?)?; // and not GuardConfig::from_toml(file)?
    /// # Ok::<(), BuildError>(())
    /// ```
    ///
    /// A reload after which fewer routes are closed is logged as a warning: where routes without a rule are no longer denied,
    /// and where the rules ask for less on the paths of a pattern that has a rule before it. Two requirements are not compared
    /// with each other.
    ///
    /// It changes as a whole: a request is decided by the configuration that was in force when it arrived, from the first
    /// check to the rejection. The requirements of layers ([`GuardLayer::require`](crate::GuardLayer::require)) are code
    /// and stay as they are.
    ///
    /// Only what a configuration file cannot express stays: the HTTP client, the issuer resolver and the rejection hook unless
    /// the builder sets others, and the clock always. An
    /// issuer whose keys come from the same location keeps them, unless `danger_allow_http` is withdrawn or its authorities
    /// change, and an unchanged issuer keeps its tokens in the cache;
    /// tokens of a changed issuer are validated again. What was learnt by introspection is asked again, once the server
    /// may be asked: a pause that it has asked for goes on.
    ///
    /// Routes that were made from this guard stay where they are, such as those of `metadata_router` and `revocation_routes`
    /// (feature `axum`): their paths change with a restart.
    ///
    /// # Errors
    /// All configuration errors, as from [`GuardBuilder::build`]. The old configuration then stays in force, unchanged.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let config = |audience: &str| Guard::builder().issuer(Issuer::new("https://auth.example.com").audience(audience));
    /// let guard = config("orders-api").build()?;
    /// guard.reload(config("orders-api-v2"))?;
    /// assert!(guard.reload(Guard::builder()).is_err()); // no issuer; v2 stays
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn reload(&self, config: impl Into<GuardBuilder<T>>) -> Result<(), BuildError> {
        // One reload at a time: each snapshot is built from the one before it.
        let _reloading = self.reloading().lock().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::clone(&*self.snapshot());
        let new = config.into().snapshot_after(&old)?;
        old.warn_of_what_opens(&new);
        old.warn_of_moved_routes(&new);
        // Before the new one is in force, so that it never uses tokens cached under an issuer that changed.
        old.hand_over_to(&new);
        tracing::info!(
            target: "oauth_guard",
            generation = new.generation,
            issuers = new.issuers.len(),
            "another configuration is in force"
        );
        self.store(new);
        self.follow_revocations();
        Ok(())
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> From<GuardConfig> for GuardBuilder<T> {
    fn from(config: GuardConfig) -> Self {
        config.into_builder().claims()
    }
}

impl<T> Snapshot<T> {
    /// A rule in code is not in the file that is loaded, so a reload may open what it had closed.
    fn warn_of_what_opens(&self, next: &Self) {
        let (had, has) = (&self.rules, &next.rules);
        if had.denies_by_default() && !has.denies_by_default() {
            tracing::warn!(
                target: "oauth_guard",
                "after this reload, routes without a rule are open to every valid token: default_access was \"deny\" before, from the file or from GuardBuilder::deny_by_default, which has to be called for each reload"
            );
        }
        let paths = had.weakened_by(has);
        if !paths.is_empty() {
            tracing::warn!(
                target: "oauth_guard", rules = paths.len(), paths = ?paths.get(..PATHS_LOGGED).unwrap_or(&paths),
                "after this reload, less is required on paths that have a rule before it; rules that code adds have to be added for each reload"
            );
        }
    }

    /// The program has mounted its routes, and a reload cannot move them.
    fn warn_of_moved_routes(&self, next: &Self) {
        let (had, has) = (&self.revocation, &next.revocation);
        for (key, had, has) in [
            ("backchannel_logout", &had.backchannel_logout, &has.backchannel_logout),
            ("security_events", &had.security_events, &has.security_events),
        ] {
            if had != has {
                tracing::warn!(
                    target: "oauth_guard", key, before = had.as_deref(), now = has.as_deref(),
                    "the path of an endpoint for revocations changes: routes in use keep the old one until a restart"
                );
            }
        }
        let path = |snapshot: &Self| snapshot.resource.as_ref().map(|document| document.path().to_owned());
        let (before, now) = (path(self), path(next));
        if before != now {
            tracing::warn!(
                target: "oauth_guard", before, now,
                "the path of the RFC 9728 document changes: a metadata_router in use keeps the old one until a restart"
            );
        }
    }

    /// Ends the issuers that the next snapshot does not have, or has in another configuration, and what threads hold of this
    /// one.
    pub(crate) fn hand_over_to(&self, next: &Self)
    where
        T: Send + Sync + 'static,
    {
        for (name, issuer) in &self.issuers {
            if !next.issuers.get(name).is_some_and(|kept| Arc::ptr_eq(kept, issuer)) {
                issuer.end(next.generation);
            }
        }
        if let Some(tenants) = &self.tenants
            && !next.tenants.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, tenants))
        {
            tenants.end(next.generation);
        }
        // The same cache as before, unless its size is another one.
        next.cache.begin(next.generation);
    }
}
