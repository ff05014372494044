//! Reload: another configuration in force, while requests go on.

use std::sync::{Arc, PoisonError};

use serde::de::DeserializeOwned;

use crate::builder::GuardBuilder;
use crate::config::GuardConfig;
use crate::error::BuildError;
use crate::guard::Guard;
use crate::snapshot::Snapshot;

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Puts another configuration in force, for all clones of this guard and all layers made from it.
    ///
    /// It changes as a whole: a request is decided by the configuration that was in force when it arrived, from the first
    /// check to the rejection. The requirements of layers ([`GuardLayer::require`](crate::GuardLayer::require)) are code
    /// and stay as they are.
    ///
    /// The new configuration replaces the old one, except for what a configuration file cannot express: the HTTP client,
    /// the issuer resolver and the rejection hook stay unless the builder sets others, and the clock always stays. An
    /// issuer whose keys come from the same location keeps them, and an unchanged issuer keeps its tokens in the cache;
    /// tokens of a changed issuer are validated again. What was learnt by introspection is asked again, once the server
    /// may be asked: a pause that it has asked for goes on.
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
