//! One policy in the place of another, while requests go on.

use std::sync::{Arc, PoisonError};

use serde::de::DeserializeOwned;

use crate::builder::GuardBuilder;
use crate::config::GuardConfig;
use crate::error::BuildError;
use crate::guard::Guard;
use crate::judge::Policy;

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Puts another policy in force, for all clones of this guard and every layer that was made of it.
    ///
    /// All of it changes at once: a request is decided by the policy that was in force when it came, from the first
    /// check to the last line of a refusal. Layers' own requirements
    /// ([`GuardLayer::require`](crate::GuardLayer::require)) are code and stay as they are.
    ///
    /// The description replaces the old one whole, except for what a configuration file cannot say: the HTTP client,
    /// the issuers' resolver and the answers' hook stay as they were unless the builder brings others, and the clock
    /// stays in any case.
    /// An issuer whose keys come from the same place keeps those it has, and one that did not change at all keeps its
    /// tokens in the cache; tokens of an issuer that did change are judged anew.
    ///
    /// # Errors
    /// Everything that is wrong with the description, as [`GuardBuilder::build`] tells it. The old policy then stays
    /// in force as if nothing had been tried.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let policy = |audience: &str| Guard::builder().issuer(Issuer::new("https://auth.example.com").audience(audience));
    /// let guard = policy("orders-api").build()?;
    /// guard.reload(policy("orders-api-v2"))?;
    /// assert!(guard.reload(Guard::builder()).is_err()); // no issuer; v2 stays
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn reload(&self, description: impl Into<GuardBuilder<T>>) -> Result<(), BuildError> {
        // One at a time: each is made from the one before it.
        let _turn = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::clone(&*self.policy());
        let new = description.into().policy(Some(&old))?;
        // Before the new one is in force, so that nobody decides by it on what was remembered under the old one.
        old.hand_over_to(&new);
        tracing::info!(
            target: "oauth_guard",
            generation = new.generation,
            issuers = new.issuers.len(),
            "another policy is in force"
        );
        self.put(new);
        Ok(())
    }
}

impl<T> Policy<T> {
    /// Ends the issuers that the new policy does not have, or not as they were.
    fn hand_over_to(&self, new: &Self) {
        for (name, issuer) in &self.issuers {
            if !new.issuers.get(name).is_some_and(|kept| Arc::ptr_eq(kept, issuer)) {
                issuer.end(new.generation);
            }
        }
        if let Some(tenants) = &self.tenants
            && !new.tenants.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, tenants))
        {
            tenants.end(new.generation);
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> From<GuardConfig> for GuardBuilder<T> {
    fn from(config: GuardConfig) -> Self {
        config.into_builder().claims()
    }
}
